"""Record each round of a person's labelling as an MLflow run, to show a learning curve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from gzfeatures.errors import OutputError
from gzfeatures.tracking import run_contents
from gzfeatures.tracking.live import RETRY_SECONDS

if TYPE_CHECKING:
    from gzfeatures.teaching.rounds import RoundRecord
    from gzfeatures.tracking.runs import Tracking


class CampaignRecord:
    """Record rounds of labelling in MLflow; call this object with a round's results when it ends.

    Every round is an MLflow run, whose numbers are logged at step = number of labels. So the UI can
    plot accuracy over labels for all rounds of one campaign (one label file). If the server or
    database cannot be written, the user is told once, labelling continues, and rounds are recorded
    later.

    Parameters
    ----------
    tracking : Tracking
        Database or server that records the rounds.
    experiment : str
        Name of the MLflow experiment; each campaign has its own.
    say : callable
        Prints a line for the user.
    """

    def __init__(self, tracking: Tracking, experiment: str, say: Callable[[str], object]) -> None:
        self.tracking, self.experiment, self._say = tracking, experiment, say
        # use a single thread, because several would not keep the order of the rounds
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="rounds")
        self._waiting: list[RoundRecord] = []
        self._lost_at: float | None = None

    def __call__(self, record: RoundRecord) -> None:
        """Record a finished round of labelling in another thread, so that labelling continues."""
        self._writer.submit(self._add, record)

    def close(self) -> None:
        """Record the rounds of labelling that are still waiting; print how many failed."""
        self._writer.submit(self._all)
        self._writer.shutdown()
        if self._waiting:
            self._say(f"{len(self._waiting)} rounds are not recorded")

    def _add(self, record: RoundRecord) -> None:
        self._waiting.append(record)
        # each attempt to reach a server that does not answer takes seconds: try once a minute
        if self._lost_at is None or time.monotonic() - self._lost_at >= RETRY_SECONDS:
            self._all()

    def _all(self) -> None:
        """Record all waiting rounds of labelling, or print why they cannot be recorded."""
        lost = self._lost_at
        try:
            while self._waiting:
                self._write(self._waiting[0])
                self._waiting.pop(0)
        except OutputError as error:
            if lost is None:
                self._say(f"labelling goes on without its record: {error}")
            self._lost_at = time.monotonic()
            return
        self._lost_at = None

    def _write(self, record: RoundRecord) -> None:
        values: dict[str, Any] = {"labels": record.labels, "set_aside": record.set_aside}
        if record.accuracy is not None:
            values |= {
                "accuracy": record.accuracy.value,
                "accuracy_low": record.accuracy.low,
                "accuracy_high": record.accuracy.high,
            }
        tags = {"kind": "round", "campaign": self.experiment, "head": record.head or "none"}
        with (
            self.tracking.writing() as client,
            self.tracking.filled(
                client, self.experiment, f"round {record.number}", tags, None
            ) as run,
        ):
            points = ((name, float(value), record.labels) for name, value in values.items())
            run_contents.log_points(client, run, points)
            about = {"round": record.number, "classes": ", ".join(record.classes)}
            run_contents.log(client, run, {}, about)
            client.log_text(run, json.dumps(record.asked, indent=1) + "\n", "asked.json")
