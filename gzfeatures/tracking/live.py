"""Record a training in MLflow while it runs: curves, scores by class, and machine load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gzfeatures.errors import OutputError
from gzfeatures.tracking import epoch_classes, run_contents
from gzfeatures.tracking.machine import Machine

if TYPE_CHECKING:
    from gzfeatures.tracking.runs import Tracking

RETRY_SECONDS = 60.0
"""Shortest time in seconds between two attempts to reach a lost server.

Each attempt takes seconds, which the training should not lose after every epoch."""


class Live:
    """Record a training's MLflow run; the object is called with the history after every epoch.

    The run is opened by the first call, so that a training that is only read again opens none. It
    is marked as failed when the training ends in an error or is interrupted;
    `Tracking.record_candidate` adds scores and files to it. A server or database that cannot be
    written is said once and never stops the training: epochs are kept until it is there again.

    Parameters
    ----------
    tracking : Tracking
        Where it is recorded.
    experiment, name : str
        Names of the experiment and of the run.
    say : callable, optional
        Takes a line for the user; default the progress of `tracking`.

    Attributes
    ----------
    run : str or None
        Run id, once there is one.
    logged : int
        Epochs it has.
    """

    def __init__(
        self,
        tracking: Tracking,
        experiment: str,
        name: str,
        say: Callable[[str], object] | None = None,
    ) -> None:
        self.tracking, self.experiment, self.name = tracking, experiment, name
        self.run: str | None = None
        self.logged = 0
        self._machine: Machine | None = None
        self._say = say or tracking.progress.say

    def __call__(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Log the epochs that are new, or print that they cannot be recorded."""
        # each attempt to reach a lost server takes seconds, so try once a minute and not after
        # every short epoch
        lost_at = self.tracking.lost_at
        if lost_at is not None and time.monotonic() - lost_at < RETRY_SECONDS:
            return
        try:
            self._log(history)
        except OutputError as error:
            if self.tracking.lost_at is None:
                self._say(f"the training goes on without its record: {error}")
            self.tracking.lost_at = time.monotonic()
            return
        if self.tracking.lost_at is not None:
            self._say(f"recorded again in {self.tracking.uri}, with the epochs that were missing")
        self.tracking.lost_at = None

    def _log(self, history: Sequence[Mapping[str, Any]]) -> None:
        with self.tracking.writing() as client:
            # open the run only now: a training that had finished earlier has no new epochs and
            # needs no run
            if self.run is None:
                self.run = self.tracking.opened(
                    client, self.experiment, self.name, {"kind": "training"}
                )
            run_contents.log_history(client, self.run, history, after=self.logged)
            epoch_classes.log_classes(client, self.run, history, after=self.logged)
            if self._machine is not None:
                run_contents.log(client, self.run, self._machine.sample(), {}, step=len(history))
        self.logged = len(history)

    def __enter__(self) -> Live:
        self._machine = Machine()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.run is None:
            return
        try:
            with self.tracking.writing() as client:
                client.set_terminated(self.run, "FINISHED" if kind is None else "FAILED")
        except OutputError as lost:
            # if the training itself failed, the user has to see that error, so print the failure to
            # record instead of raising it
            if self.tracking.lost_at is None:
                self._say(f"the end of the training is not recorded: {lost}")
            self.tracking.lost_at = time.monotonic()
