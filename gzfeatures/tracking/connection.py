"""Connect to the MLflow database or server in which runs are recorded, one writer at a time.

Writers of one SQLite file take turns on a file lock, and the database appears under that lock,
schema and all, before anything runs in parallel: they never meet "database is locked".
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures import fingerprint
from gzfeatures.errors import GzError, MissingExtraError, OutputError, require_packages
from gzfeatures.progress import SILENT, Progress
from gzfeatures.tracking._compat_mlflow import EXPERIMENT_TAGS, silence_store
from gzfeatures.tracking.client import (
    ARTIFACTS,
    WAIT_SECONDS,
    DamagedDatabase,
    NotRecorded,
    address_of,
    file_of,
    is_damaged,
    make_database,
    require_beside,
    require_no_diversion,
    require_schema,
    settle,
    without_strays,
)
from gzfeatures.tracking.machine import has_ended, this_process

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {
    # nobody asked the user's consent to MLflow's usage statistics, so neither this process nor its
    # children send them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # otherwise the MLflow UI starts eight processes for jobs, which gzfeatures does not use
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
DEFAULTS = {
    # with MLflow's defaults (7 retries of 2 minutes) a server that stops answering would delay a
    # run by a quarter of an hour; with these values, by 40 s
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""Settings of MLflow that the user's environment variables override."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Settings for the first question to a server, and for one that did not answer the last time.

The work that is to be recorded waits meanwhile. Those of `DEFAULTS` count from its first answer."""
BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""Settings for the mark on a run that failed, which is most often lost with the server."""
KNOWN_WARNINGS = (
    "The ``noload`` loader strategy is deprecated",
    ".*Any type hint is inferred as AnyType",
    ".*An input example was not provided",
    # MLflow itself causes this warning when it compares an example's columns under the newest
    # pandas
    "Operation with range is deprecated",
)
"""Warnings of MLflow on import, or on information that gzfeatures omits on purpose."""
DRIVERS = {"psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}
"""Database modules whose package to install has another name."""
PROCESS = "gzfeatures.process"
"""Tag that names the process that fills a run."""
DEFAULT_ROOT = Path("mlruns")
LOCK_SECONDS = 600.0
"""Longest time in seconds that a writer waits for its turn."""


class Connection:
    """Write experiments and runs to an MLflow database or server.

    Parameters
    ----------
    uri : str, optional
        Address MLflow knows: `sqlite:///…`, `postgresql://…`, `http://…`. Default the file
        `mlflow.db` under `root`, or where neither is given the address in `$MLFLOW_TRACKING_URI`.
    root : Path, optional
        Folder of the default database, `mlruns`; also of the artifacts, unless a server keeps them
        or the database is another SQLite file, beside which they lie then.
    upgrade : bool
        Bring a SQLite database of an older MLflow up to date, after a copy.
    progress : Progress
        Where it is told that a training cannot be recorded; nowhere by default.

    Attributes
    ----------
    uri : str
        The address without its password.
    notes : list of str
        What was done to a database that is of an older MLflow, or was copied or moved.

    Raises
    ------
    NotRecorded
        MLflow is not installed, the database cannot be made, or the server not be reached.
    OutputError
        The database is damaged, or of another version of MLflow.
    """

    def __init__(
        self,
        uri: str | None = None,
        root: Path | None = None,
        *,
        upgrade: bool = False,
        progress: Progress = SILENT,
    ) -> None:
        self.progress = progress
        address = uri or (os.environ.get("MLFLOW_TRACKING_URI") if root is None else None)
        folder = (root or DEFAULT_ROOT).resolve()
        self._address = address or address_of(folder / "mlflow.db")
        self.uri = _masked(self._address)
        self.notes: list[str] = []
        self._database = file_of(self._address)
        self._upgrade, self._settled = upgrade, self._database is None
        self._served = self._address.startswith(("http:", "https:", "databricks"))
        self._artifacts = (
            self._database.parent if self._database else folder
        ).resolve() / ARTIFACTS
        self.lost_at: float | None = None
        """When it was last asked and did not answer (s, monotonic); None while it does."""
        self._answered = False
        with self.writing() as client:
            client.search_experiments(max_results=1)

    @contextmanager
    def writing(self) -> Iterator[MlflowClient]:
        """Yield an MLflow client for writing; an SQLite database has one writer at a time.

        Raises
        ------
        NotRecorded
            MLflow is not installed; the server does not answer; the database cannot be written.
        DamagedDatabase
            SQLite cannot read the database.
        """
        if (missing := without_mlflow()) is not None:
            raise NotRecorded("cannot be recorded", where=self.uri, found=missing.what,
                              remedy=missing.remedy)  # fmt: skip
        os.environ.update(ENVIRONMENT)
        os.environ.update(DEFAULTS | os.environ)
        silence_store()
        # warnings about MLflow's own code do not concern the user
        patience = IMPATIENT if self._served and not self._answered else {}
        with warnings.catch_warnings(), limited(patience):
            for message in KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message)
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            try:
                with self._client() as client:
                    yield client
                self._answered = True
            except GzError:
                raise
            except (MlflowException, SQLAlchemyError, OSError) as error:
                self._answered = False
                raise self._unrecorded(str(error)) from error
            except ModuleNotFoundError as error:
                remedy = f"pip install '{DRIVERS.get(str(error.name), error.name)}'"
                raise NotRecorded(
                    "cannot be recorded", where=self.uri, found=str(error), remedy=remedy
                ) from error

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """Yield a client of the server, or of the SQLite database while this process locks it."""
        from filelock import FileLock
        from mlflow import MlflowClient

        if self._database is None:
            yield MlflowClient(self._address, self._address)
            return
        self._database.parent.mkdir(parents=True, exist_ok=True)
        # two simultaneous writers of one SQLite file would fail with "database is locked", so they
        # take turns
        turn = FileLock(f"{self._database}.lock", timeout=LOCK_SECONDS)
        with turn, without_strays(self._address):
            if not self._database.exists():
                try:
                    make_database(self._database)
                except OutputError as error:
                    raise self._unrecorded(str(error)) from error
            # check the schema only once, because no other process changes it while this one runs
            if not self._settled:
                require_no_diversion(self._database)
                done = [
                    require_schema(self._database, self._upgrade),
                    settle(self._database),
                ]
                self.notes += [note for note in done if note]
                self._settled = True
            joint = "&" if "?" in self._address else "?"
            address = f"{self._address}{joint}timeout={WAIT_SECONDS}"
            yield MlflowClient(address, address)

    def _unrecorded(self, why: str) -> OutputError:
        """Return the error to raise for a database or server that cannot be written."""
        if self._database is not None and is_damaged(self._database):
            remedy = "move the database away, or record elsewhere with --tracking-uri"
            return DamagedDatabase(
                "cannot be recorded", where=self.uri, found=_masked(why), remedy=remedy
            )
        return NotRecorded("cannot be recorded", where=self.uri, found=_masked(why))

    def experiment_id(self, client: MlflowClient, name: str) -> str:
        """Return the id of an MLflow experiment, which is created on first use.

        Raises
        ------
        OutputError
            An experiment of this name was deleted in the database.
        """
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise OutputError(
                f"experiment '{name}' was deleted here",
                where=self.uri,
                rule="be active",
                found=experiment.experiment_id,
                remedy=(
                    f"restore it ('mlflow experiments restore -x {experiment.experiment_id}', "
                    "with this address as MLFLOW_TRACKING_URI), "
                    "or give this one another name (--set name=…)"
                ),
            )
        if experiment is not None:
            if self._database is not None:
                require_beside(self._database, name, experiment.artifact_location)
            return str(experiment.experiment_id)
        artifacts = (
            None if self._served else f"{self._artifacts.as_uri()}/{fingerprint.of(name)[:12]}"
        )
        return str(client.create_experiment(name, artifacts, EXPERIMENT_TAGS))

    def opened(
        self, client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]
    ) -> str:
        """Return the id of a new MLflow run; mark runs of ended processes as killed."""
        home = self.experiment_id(client, experiment)
        # a killed process cannot close its run, which the UI would show as running for ever
        for run in client.search_runs([home], "attributes.status = 'RUNNING'"):
            if PROCESS in run.data.tags and has_ended(run.data.tags[PROCESS]):
                client.set_terminated(run.info.run_id, "KILLED")
        created = client.create_run(home, tags={**tags, PROCESS: this_process()}, run_name=name)
        return str(created.info.run_id)

    @contextmanager
    def filled(
        self,
        client: MlflowClient,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        opened: str | None = None,
    ) -> Iterator[str]:
        """Yield the id of a run; mark the run as finished afterwards, or as failed on error."""
        run = opened or self.opened(client, experiment, name, tags)
        if opened:
            # keep the run marked as unfinished until all is written, in case this process is killed
            client.update_run(run, status="RUNNING")
        try:
            for tag, value in tags.items() if opened else ():
                client.set_tag(run, tag, value)
            yield run
        except BaseException:
            # raise the original error, and not that of a lost server, which cannot mark the run as
            # failed
            with suppress(Exception), limited(BRIEF):
                client.set_terminated(run, "FAILED")
            raise
        client.set_terminated(run)


@contextmanager
def limited(limits: Mapping[str, str]) -> Iterator[None]:
    """Set time limits of MLflow's client for the block; keep limits that the user has set.

    All questions to a server get their limits here.

    Parameters
    ----------
    limits : mapping of str to str
        `IMPATIENT`, `BRIEF` or nothing, by the name of the environment variable.
    """
    before = {name: os.environ[name] for name in limits if name in os.environ}
    # a value of the environment that is not one of gzfeatures was set by the user, so keep it
    own = {name: {values[name] for values in (DEFAULTS, IMPATIENT, BRIEF)} for name in before}
    ours = [name for name, value in before.items() if value in own[name]]
    os.environ.update({name: min(limits[name], before[name], key=float) for name in ours})
    try:
        yield
    finally:
        os.environ.update({name: before[name] for name in ours})


def without_mlflow() -> MissingExtraError | None:
    """Return the error to raise if MLflow is not installed; None if it is."""
    try:
        require_packages("recording a run", "mlflow")
    except MissingExtraError as error:
        return error
    return None


def _masked(text: str) -> str:
    """Return text in which passwords in addresses are hidden."""
    return re.sub(r"(//[^:/@\s]*):[^/@\s]*@", r"\1:…@", text)
