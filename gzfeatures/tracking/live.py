"""Record a training in MLflow while it runs: loss curves, scores per class, machine load."""

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
"""Shortest time in seconds between two attempts to reach a server that does not answer.

Each attempt takes seconds, by which the training would be delayed after every epoch."""


class Live:
    """Record a training in MLflow; call this object after each epoch with all epochs' results.

    The first call creates the MLflow run; a training whose finished checkpoint is only read again
    creates none. If the training fails or is interrupted, the run is marked as failed.
    `Tracking.record_candidate` later adds scores and files. If the server or database cannot be
    written, the user is told once, the training continues, and its epochs are logged when the
    server answers again.

    Parameters
    ----------
    tracking : Tracking
        Database or server that records the training.
    experiment, name : str
        Names of the experiment and of the run.
    say : callable, optional
        Prints a line for the user; by default the progress of `tracking`.

    Attributes
    ----------
    run : str or None
        Id of the MLflow run; None before the first call.
    logged : int
        Number of epochs already logged.
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
        """Log the epochs that are not yet logged, or print why they cannot be logged."""
        # an attempt to reach a server that does not answer takes seconds, perhaps longer than the
        # epoch itself: try only once a minute
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
            # the run is created here, at the first logged epoch, and not earlier: a training that
            # had already finished logs no epoch and needs no run
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
            # print this error instead of raising it: if the training failed too, its error must
            # reach the user, and an error raised here would replace it
            if self.tracking.lost_at is None:
                self._say(f"the end of the training is not recorded: {lost}")
            self.tracking.lost_at = time.monotonic()
