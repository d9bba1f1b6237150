"""Record a run in MLflow; what MLflow does not accept now is kept in the run folder."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gzfeatures import outputs
from gzfeatures.errors import OutputError
from gzfeatures.files import locked_file
from gzfeatures.progress import SILENT, Progress
from gzfeatures.report.report import UNRECORDED, Report
from gzfeatures.tracking.client import NotRecorded
from gzfeatures.tracking.later.waiting import WaitingRun
from gzfeatures.tracking.records import KEY, CandidateRecord, ComparisonRecord
from gzfeatures.tracking.runs import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.evaluation.candidate import Candidate

FINISHED = "FINISHED"


class UnrecordedTraining:
    """Stand in for the MLflow record of a training that is not recorded; keep its run's name.

    Parameters
    ----------
    name : str
    """

    run: str | None = None
    logged = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing after an epoch, because losses and scores are saved beside the checkpoint."""


class Recorder:
    """Record compared models and their comparison in MLflow, or else in the run folder for later.

    Parameters
    ----------
    tracking : Tracking or None
        Where runs are recorded; None where that is known not to work.
    progress : Progress
        Where it is told, once, that the run is not recorded; nowhere by default.
    """

    def __init__(self, tracking: Tracking | None, progress: Progress = SILENT) -> None:
        self._tracking, self._progress = tracking, progress
        self._lost: OutputError | None = None
        self._records: list[CandidateRecord] = []

    @classmethod
    def at(
        cls,
        uri: str | None,
        experiment: str,
        *,
        upgrade: bool = False,
        progress: Progress = SILENT,
        remedy: str = "gzfeatures record RUN_FOLDER",
    ) -> Self:
        """Return a recorder for a database or server; tell the user if it cannot be reached.

        Parameters
        ----------
        uri, upgrade, progress
            As of `Connection`.
        experiment : str
            Name of the experiment.
        remedy : str
            Command that records the run later.

        Raises
        ------
        OutputError
            The database is damaged or of another version of MLflow, or the experiment was deleted
            there: it does not come back by itself, and nothing was computed yet.
        """
        try:
            tracking = Tracking(uri, upgrade=upgrade, progress=progress)
            tracking.require(experiment)
        except NotRecorded as error:
            progress.say(f"the run goes on without its record: {error}; afterwards, '{remedy}'")
            return cls(None, progress)
        for line in (f"recorded in {tracking.uri}", *tracking.notes):
            progress.say(line)
        return cls(tracking, progress)

    @property
    def uri(self) -> str | None:
        """Return the address where the run is recorded; None if it is not recorded."""
        return None if self._tracking is None or self._lost is not None else self._tracking.uri

    def training(self, experiment: str, name: str) -> AbstractContextManager[Any]:
        """Return an object that records a training, called with the history after each epoch."""
        if self._tracking is None:
            return contextlib.nullcontext(UnrecordedTraining(name))
        return self._tracking.training(experiment, name)

    def record_candidate(
        self,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Any = None,
    ) -> str | None:
        """Record a compared model's scores and files in MLflow; return the run's id, or None."""
        record = CandidateRecord.of(experiment, candidate, artifacts, live)
        run = self._tried(lambda t: t.write_candidate(record, {KEY: record.key}))
        self._records.append(dataclasses.replace(record, run=run))
        return run

    def comparison(self, experiment: str, report: Report, folder: Path) -> str | None:
        """Record the comparison of all compared models in MLflow; return its run's id, or None.

        Whatever was not recorded until then is written to the run folder, which is said.
        """
        record = ComparisonRecord.of(experiment, report)
        run = self._tried(lambda t: t.write_comparison(record, folder, {KEY: record.key}))
        if self.uri is not None:
            # an earlier run in this folder may have left a file of unrecorded results, which is now
            # out of date
            outputs.remove(folder / UNRECORDED)
            return run
        address = self._tracking.uri if self._tracking is not None else None
        WaitingRun(self._records, dataclasses.replace(record, run=run), address).write(folder)
        if self._lost is not None:
            remedy = f"afterwards, 'gzfeatures record {folder}'"
            self._progress.say(f"the run is whole, but not its record: {self._lost}; {remedy}")
        return None

    def _tried(self, write: Callable[[Tracking], str]) -> str | None:
        # each question to a lost server takes seconds, so do not ask it again for every other model
        if self._tracking is None or self._lost is not None:
            return None
        try:
            return write(self._tracking)
        except OutputError as error:
            self._lost = error
            return None


class TrainingRecorder(Recorder):
    """Record trainings outside of an experiment in MLflow, or else beside their checkpoint."""

    def record_candidate(
        self,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Any = None,
    ) -> str | None:
        """Record a trained network in MLflow; return the run's id, or None if it must wait.

        What was not recorded is written to the folder of its checkpoint, which is said.

        Parameters
        ----------
        experiment, candidate, live
            As of `Tracking.record_candidate`.
        artifacts : sequence of Path
            Files and the folder of the checkpoint, in which they lie.
        """
        run = super().record_candidate(experiment, candidate, artifacts, live)
        folder = next(path for path in artifacts if path.is_dir())
        if run is not None:
            # an earlier training in this folder may have left a file of unrecorded results, which
            # is now out of date
            outputs.remove(folder / UNRECORDED)
            return run
        WaitingRun(self._records[-1:], None).write(folder)
        why = "" if self._lost is None else f": {self._lost}"
        self._progress.say(
            f"the training is not recorded{why}; afterwards, 'gzfeatures record {folder}'"
        )
        return None


def record_waiting(folder: Path, tracking: Tracking) -> WaitingRun:
    """Record what waits in a run folder; skip what MLflow has already.

    One process at a time records a folder: two would find nothing recorded, and record all of it
    twice.

    Parameters
    ----------
    folder : Path
        Run folder.
    tracking : Tracking
        Where to.

    Returns
    -------
    WaitingRun
        All of it, with the ids of the runs.

    Raises
    ------
    MissingFileError
        Nothing waits there, or an artifact is gone.
    InputError
        The file of what waits cannot be read.
    OutputError
        It cannot be recorded now; what was recorded until then is noted in the folder.
    """
    WaitingRun.read(folder)  # without waiting results, stop before a lock file is made
    with locked_file(folder / UNRECORDED):
        # another process may have recorded everything while this one waited for the lock, so read
        # the file again
        return _recorded(WaitingRun.read(folder), folder, tracking)


def _recorded(waiting: WaitingRun, folder: Path, tracking: Tracking) -> WaitingRun:
    comparison, done = waiting.comparison, list(waiting.candidates)
    if waiting.uri != tracking.uri:
        # ids of runs in another database or server mean nothing in this one
        done = [dataclasses.replace(record, run=None) for record in done]
        comparison = comparison and dataclasses.replace(comparison, run=None)
    for place, record in enumerate(done):
        # ask MLflow for every run, even if it was recorded here before, because the database may
        # have been replaced since
        done[place] = dataclasses.replace(record, run=_candidate_again(tracking, record))
        WaitingRun(done, comparison, tracking.uri).write(folder)
    if comparison is not None:
        run = _comparison_again(tracking, comparison, folder)
        comparison = dataclasses.replace(comparison, run=run)
    finished = WaitingRun(done, comparison, tracking.uri)
    finished.write(folder)
    return finished


def _candidate_again(tracking: Tracking, record: CandidateRecord) -> str:
    with tracking.writing() as client:
        home = tracking.experiment_id(client, record.experiment)
        if (run := _finished(client, home, record.key)) is not None:
            return run
        opened = record.opened if _is_active(client, record.opened) else None
    logged = record.logged if opened is not None else 0
    record = dataclasses.replace(record, opened=opened, logged=logged)
    return tracking.write_candidate(record, {KEY: record.key})


def _comparison_again(tracking: Tracking, record: ComparisonRecord, folder: Path) -> str:
    with tracking.writing() as client:
        home = tracking.experiment_id(client, record.experiment)
        if (run := _finished(client, home, record.key)) is not None:
            return run
    return tracking.write_comparison(record, folder, {KEY: record.key})


def _finished(client: MlflowClient, home: str, key: str) -> str | None:
    """Return the id of the finished run with this key; delete half-written runs with it."""
    for run in client.search_runs([home], f"tags.`{KEY}` = '{key}'"):
        if run.info.status == FINISHED:
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    return None


def _is_active(client: MlflowClient, run: str | None) -> bool:
    """Return whether the run that a training began still exists in MLflow."""
    from mlflow.exceptions import MlflowException

    if run is None:
        return False
    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException:
        # the id belongs to a run in another database or server
        return False
