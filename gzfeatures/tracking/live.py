"""Record a training while it runs: its curves, and how busy the machine is, after every epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from gzfeatures.tracking import run_contents
from gzfeatures.tracking.machine import Machine

if TYPE_CHECKING:
    from gzfeatures.tracking.runs import Tracking


class Live:
    """Record the run of a training; call it with the history after every epoch.

    The run is opened by the first call, so that a training that is only read again opens none. It
    is marked as failed when the training ends in an error or is interrupted;
    `Tracking.record_candidate` adds scores and files to it.

    Parameters
    ----------
    tracking : Tracking
        Where it is recorded.
    experiment, name : str
        Names of the experiment and of the run.

    Attributes
    ----------
    run : str or None
        Run id, once there is one.
    logged : int
        Epochs it has.
    """

    def __init__(self, tracking: Tracking, experiment: str, name: str) -> None:
        self.tracking, self.experiment, self.name = tracking, experiment, name
        self.run: str | None = None
        self.logged = 0
        self._machine: Machine | None = None

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that are new; raise OutputError where they cannot be recorded."""
        with self.tracking.writing() as client:
            # a training that is only read again never comes here, and opens no run
            if self.run is None:
                self.run = self.tracking.opened(
                    client, self.experiment, self.name, {"kind": "training"}
                )
            run_contents.log_history(client, self.run, history, after=self.logged)
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
        if self.run is not None:
            with self.tracking.writing() as client:
                client.set_terminated(self.run, "FINISHED" if kind is None else "FAILED")
