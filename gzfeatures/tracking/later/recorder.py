"""Record a run as far as MLflow takes it; the rest waits in the run folder, and never stops it."""

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
    """Stand for the record of a training that has none; it keeps the name of its run.

    Parameters
    ----------
    name : str
    """

    run: str | None = None
    logged = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Do nothing after an epoch: the history lies beside the checkpoint."""


class Recorder:
    """Record candidates and comparison, and write what MLflow does not take to the run folder.

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
        """Open a database or server, or say once why the run is not recorded there.

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
        """Return where the run is recorded; None where it is not."""
        return None if self._tracking is None or self._lost is not None else self._tracking.uri

    def training(self, experiment: str, name: str) -> AbstractContextManager[Any]:
        """Open the record of a training, which is called with the history after every epoch."""
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
        """Record one candidate as `Tracking` does; return the run's id, or None."""
        record = CandidateRecord.of(experiment, candidate, artifacts, live)
        run = self._tried(lambda t: t.write_candidate(record, {KEY: record.key}))
        self._records.append(dataclasses.replace(record, run=run))
        return run

    def comparison(self, experiment: str, report: Report, folder: Path) -> str | None:
        """Record the comparison as `Tracking` does; return its run's id, or None.

        Whatever was not recorded until then is written to the run folder, which is said.
        """
        record = ComparisonRecord.of(experiment, report)
        run = self._tried(lambda t: t.write_comparison(record, folder, {KEY: record.key}))
        if self.uri is not None:
            # an earlier run in this folder may have left its own
            outputs.remove(folder / UNRECORDED)
            return run
        address = self._tracking.uri if self._tracking is not None else None
        WaitingRun(self._records, dataclasses.replace(record, run=run), address).write(folder)
        if self._lost is not None:
            remedy = f"afterwards, 'gzfeatures record {folder}'"
            self._progress.say(f"the run is whole, but not its record: {self._lost}; {remedy}")
        return None

    def _tried(self, write: Callable[[Tracking], str]) -> str | None:
        # a server that was lost once is not asked again for each of the other candidates
        if self._tracking is None or self._lost is not None:
            return None
        try:
            return write(self._tracking)
        except OutputError as error:
            self._lost = error
            return None


class TrainingRecorder(Recorder):
    """Record trainings that are no part of a run; what MLflow does not take waits with them."""

    def record_candidate(
        self,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Any = None,
    ) -> str | None:
        """Record a network as `Tracking` does; return the run's id, or None.

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
            # an earlier training in this folder may have left its own
            outputs.remove(folder / UNRECORDED)
            return run
        WaitingRun(self._records[-1:], None).write(folder)
        why = "" if self._lost is None else f": {self._lost}"
        self._progress.say(
            f"the training is not recorded{why}; afterwards, 'gzfeatures record {folder}'"
        )
        return None


def record_waiting(folder: Path, tracking: Tracking) -> WaitingRun:
    """Record what waits in a run folder; what is recorded already is left as it is.

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
    WaitingRun.read(folder)  # a folder without one gets no lock
    with locked_file(folder / UNRECORDED):
        # another process may have recorded it in the meantime
        return _recorded(WaitingRun.read(folder), folder, tracking)


def _recorded(waiting: WaitingRun, folder: Path, tracking: Tracking) -> WaitingRun:
    comparison, done = waiting.comparison, list(waiting.candidates)
    if waiting.uri != tracking.uri:
        # ids of runs elsewhere say nothing of this place
        done = [dataclasses.replace(record, run=None) for record in done]
        comparison = comparison and dataclasses.replace(comparison, run=None)
    for place, record in enumerate(done):
        # each is asked for, also one that was recorded here: the database may be a new one since
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
    """Return the finished run of a record; delete one that was left half written."""
    for run in client.search_runs([home], f"tags.`{KEY}` = '{key}'"):
        if run.info.status == FINISHED:
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    return None


def _is_active(client: MlflowClient, run: str | None) -> bool:
    """Return whether the run that a training opened is there, and not deleted."""
    from mlflow.exceptions import MlflowException

    if run is None:
        return False
    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException:
        # another server, or another database
        return False
