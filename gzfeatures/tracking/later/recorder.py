"""Record an experiment in MLflow; save results in its folder if MLflow cannot record them now."""

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
from gzfeatures.tracking.database import NotRecorded
from gzfeatures.tracking.later.waiting import WaitingRun
from gzfeatures.tracking.records import KEY, CandidateRecord, ComparisonRecord
from gzfeatures.tracking.runs import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.evaluation.candidate import Candidate

FINISHED = "FINISHED"


class UnrecordedTraining:
    """Replace the object that records a training in MLflow: store the run's name, record nothing.

    Parameters
    ----------
    name : str
        Name of the MLflow run in which the training is recorded later.
    """

    run: str | None = None
    logged = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing after an epoch: the training itself saves losses and scores in its folder."""


class Recorder:
    """Record compared models and their comparison in MLflow, or save them to be recorded later.

    Parameters
    ----------
    tracking : Tracking or None
        Database or server that records runs; None if it is known to be unreachable.
    progress : Progress
        Tells the user, once, that runs are not recorded; by default it shows nothing.
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
        """Return a recorder for an MLflow database or server; tell the user if it is unreachable.

        Parameters
        ----------
        uri, upgrade, progress
            As in `Connection`.
        experiment : str
            Name of the experiment.
        remedy : str
            Command by which the user can record the run later, for the message.

        Raises
        ------
        OutputError
            The database is damaged or of another version of MLflow, or the experiment was deleted
            in it. The user must act, so this is an error before anything is computed.
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
        """Return the address of the recording database or server; None if it is unreachable."""
        return None if self._tracking is None or self._lost is not None else self._tracking.uri

    def training(self, experiment: str, name: str) -> AbstractContextManager[Any]:
        """Return a context manager with an object that records a training epoch by epoch."""
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
        """Record a compared model's scores and files in MLflow; return the run's id; None if it
        cannot be recorded now."""
        record = CandidateRecord.of(experiment, candidate, artifacts, live)
        run = self._tried(lambda t: t.write_candidate(record, {KEY: record.key}))
        self._records.append(dataclasses.replace(record, run=run))
        return run

    def comparison(self, experiment: str, report: Report, folder: Path) -> str | None:
        """Record the comparison of all models in MLflow; return the id of its run, or None.

        If a model or the comparison could not be recorded, all results are written to the
        experiment's folder, and the user is told.
        """
        record = ComparisonRecord.of(experiment, report)
        run = self._tried(lambda t: t.write_comparison(record, folder, {KEY: record.key}))
        if self.uri is not None:
            # now all results are recorded: delete the file of unrecorded results, which an earlier
            # call may have left in this folder
            outputs.remove(folder / UNRECORDED)
            return run
        address = self._tracking.uri if self._tracking is not None else None
        WaitingRun(self._records, dataclasses.replace(record, run=run), address).write(folder)
        if self._lost is not None:
            remedy = f"afterwards, 'gzfeatures record {folder}'"
            self._progress.say(f"the run is whole, but not its record: {self._lost}; {remedy}")
        return None

    def _tried(self, write: Callable[[Tracking], str]) -> str | None:
        # each attempt to reach a server that does not answer takes seconds: after the first
        # failure, make no further attempt
        if self._tracking is None or self._lost is not None:
            return None
        try:
            return write(self._tracking)
        except OutputError as error:
            self._lost = error
            return None


class TrainingRecorder(Recorder):
    """Record single trainings in MLflow, or save their results to be recorded later.

    A single training belongs to no experiment that compares models; `gzfeatures finetune` runs it.
    Results that MLflow cannot record now are saved in the checkpoint's folder, and
    `gzfeatures record FOLDER` records them later.
    """

    def record_candidate(
        self,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Any = None,
    ) -> str | None:
        """Record a trained network in MLflow; return the run's id, or None if it is not recorded.

        If it cannot be recorded, the result is written to the network's checkpoint folder, and the
        user is told.

        Parameters
        ----------
        experiment, candidate, live
            As in `Tracking.record_candidate`.
        artifacts : sequence of Path
            The folder of the checkpoint, and files in it.
        """
        run = super().record_candidate(experiment, candidate, artifacts, live)
        folder = next(path for path in artifacts if path.is_dir())
        if run is not None:
            # now the result is recorded: delete the file of unrecorded results, which an earlier
            # training may have left in this folder
            outputs.remove(folder / UNRECORDED)
            return run
        WaitingRun(self._records[-1:], None).write(folder)
        why = "" if self._lost is None else f": {self._lost}"
        self._progress.say(
            f"the training is not recorded{why}; afterwards, 'gzfeatures record {folder}'"
        )
        return None


def record_waiting(folder: Path, tracking: Tracking) -> WaitingRun:
    """Record in MLflow the results saved in an experiment's folder; skip those already recorded.

    Only one process at a time records a folder: two processes at once would both see no result in
    MLflow, and each would record all results.

    Parameters
    ----------
    folder : Path
        Folder of the experiment or checkpoint.
    tracking : Tracking
        Database or server that records the results.

    Returns
    -------
    WaitingRun
        The results, with the ids of their MLflow runs.

    Raises
    ------
    MissingFileError
        The folder has no unrecorded results, or a file to be stored is missing.
    InputError
        The file of unrecorded results cannot be read.
    OutputError
        The results cannot be recorded now; the file in the folder says which are recorded.
    """
    WaitingRun.read(folder)  # without unrecorded results, fail before the lock file is created
    with locked_file(folder / UNRECORDED):
        # read again: while this process waited for the lock, another may have recorded everything
        return _recorded(WaitingRun.read(folder), folder, tracking)


def _recorded(waiting: WaitingRun, folder: Path, tracking: Tracking) -> WaitingRun:
    comparison, done = waiting.comparison, list(waiting.candidates)
    if waiting.uri != tracking.uri:
        # forget the ids of recorded runs: they are in another database or server, and all results
        # must be recorded in this one
        done = [dataclasses.replace(record, run=None) for record in done]
        comparison = comparison and dataclasses.replace(comparison, run=None)
    for place, record in enumerate(done):
        # search the run in MLflow even if the file says that it was recorded, because somebody may
        # have replaced the database
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
    """Return the id of the finished MLflow run with a key; delete unfinished runs with this key."""
    for run in client.search_runs([home], f"tags.`{KEY}` = '{key}'"):
        if run.info.status == FINISHED:
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    return None


def _is_active(client: MlflowClient, run: str | None) -> bool:
    """Return whether an MLflow run exists in this database or server and is not deleted."""
    from mlflow.exceptions import MlflowException

    if run is None:
        return False
    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException:
        # MLflow does not know the id: the run is in another database or server
        return False
