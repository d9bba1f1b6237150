"""Connect to the MLflow database or server that records runs.

If the database is an SQLite file, only one process at a time writes to it: each locks a file before
it writes. The database is also created under this lock, with all tables, so no process fails with
"database is locked".
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
from gzfeatures.tracking.database import (
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
    # MLflow sends usage statistics by default, without asking the user: switch this off here and in
    # child processes
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # keep MLflow's UI from starting eight processes for jobs, which gzfeatures does not use
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
DEFAULTS = {
    # with MLflow's own values (7 retries, 2 minutes each), a server that stops answering would
    # delay a run by a quarter of an hour; with these values, by 40 s
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""Settings of MLflow that apply unless the user has set the environment variable."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Time limits (retries, s) if a server has not answered yet, or did not answer the last request.

They are short because the work to be recorded waits. After an answer `DEFAULTS` apply."""
BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""Time limits for marking a run as failed: short, because often the server caused the failure."""
KNOWN_WARNINGS = (
    "The ``noload`` loader strategy is deprecated",
    ".*Any type hint is inferred as AnyType",
    ".*An input example was not provided",
    # MLflow's own code causes this pandas warning when it reads the example rows of a model
    "Operation with range is deprecated",
)
"""Warnings of MLflow about its own code, or about details that gzfeatures omits on purpose."""
DRIVERS = {"psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}
"""Python module that connects to a database → package to install, if its name differs."""
PROCESS = "gzfeatures.process"
"""Tag of an MLflow run that names the process which writes it: host, process id, start time."""
DEFAULT_ROOT = Path("mlruns")
LOCK_SECONDS = 600.0
"""Longest time in seconds that a process waits for its turn to write to the database."""


class Connection:
    """Write experiments and runs to an MLflow database or server.

    Parameters
    ----------
    uri : str, optional
        Address for MLflow: `sqlite:///…`, `postgresql://…`, `http://…`. By default the file
        `mlflow.db` in `root`; without `root`, the address in `$MLFLOW_TRACKING_URI`.
    root : Path, optional
        Folder of the default database and of the files of its runs; by default `mlruns`. With a
        server as `uri`, files are stored on the server; with another SQLite file, beside that file.
    upgrade : bool
        Upgrade an SQLite database of an older MLflow, after making a copy.
    progress : Progress
        Tells the user that a training cannot be recorded; by default it shows nothing.

    Attributes
    ----------
    uri : str
        The address without its password.
    notes : list of str
        Messages for the user: the database was upgraded, or had been copied or moved.

    Raises
    ------
    NotRecorded
        MLflow is not installed, the database cannot be created, or the server does not answer.
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
        """Time of the last request (s, monotonic clock) if it was not answered, otherwise None."""
        self._answered = False
        with self.writing() as client:
            client.search_experiments(max_results=1)

    @contextmanager
    def writing(self) -> Iterator[MlflowClient]:
        """Yield an MLflow client for writing; only one process at a time writes to a database file.

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
        patience = IMPATIENT if self._served and not self._answered else {}
        # hide warnings about which the user can do nothing
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
        """Yield a client of the server, or of the SQLite database, which is locked meanwhile."""
        from filelock import FileLock
        from mlflow import MlflowClient

        if self._database is None:
            yield MlflowClient(self._address, self._address)
            return
        self._database.parent.mkdir(parents=True, exist_ok=True)
        # two processes that write to one SQLite file would fail with "database is locked"; this
        # lock makes the second wait
        turn = FileLock(f"{self._database}.lock", timeout=LOCK_SECONDS)
        with turn, without_strays(self._address):
            if not self._database.exists():
                try:
                    make_database(self._database)
                except OutputError as error:
                    raise self._unrecorded(str(error)) from error
            # check the database once per process, before the first write: each check takes time
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
        """Return the error to raise if the database is damaged, or cannot be written now."""
        if self._database is not None and is_damaged(self._database):
            remedy = "move the database away, or record elsewhere with --tracking-uri"
            return DamagedDatabase(
                "cannot be recorded", where=self.uri, found=_masked(why), remedy=remedy
            )
        return NotRecorded("cannot be recorded", where=self.uri, found=_masked(why))

    def experiment_id(self, client: MlflowClient, name: str) -> str:
        """Return the id of an MLflow experiment; create the experiment if there is none.

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
        """Create an MLflow run and return its id; mark runs whose processes have died as killed."""
        home = self.experiment_id(client, experiment)
        # a process that was killed could not end its run: the UI would show it as running for ever
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
        """Yield a run's id for writing; then mark the run as finished, or as failed on an error."""
        run = opened or self.opened(client, experiment, name, tags)
        if opened:
            # the run of a training may be marked as finished: mark it as running until all is
            # written, so that it does not look complete if this process is killed
            client.update_run(run, status="RUNNING")
        try:
            for tag, value in tags.items() if opened else ():
                client.set_tag(run, tag, value)
            yield run
        except BaseException:
            # if the server does not answer, marking the run as failed fails too: ignore this second
            # error, because the first error names the cause
            with suppress(Exception), limited(BRIEF):
                client.set_terminated(run, "FAILED")
            raise
        client.set_terminated(run)


@contextmanager
def limited(limits: Mapping[str, str]) -> Iterator[None]:
    """Shorten the time limits of MLflow's client in a `with` block; respect limits of the user.

    Parameters
    ----------
    limits : mapping of str to str
        `IMPATIENT` or `BRIEF`: environment variable → number of retries or seconds; or nothing.
    """
    before = {name: os.environ[name] for name in limits if name in os.environ}
    # change only values that gzfeatures has set itself; any other value was set by the user
    own = {name: {values[name] for values in (DEFAULTS, IMPATIENT, BRIEF)} for name in before}
    ours = [name for name, value in before.items() if value in own[name]]
    os.environ.update({name: min(limits[name], before[name], key=float) for name in ours})
    try:
        yield
    finally:
        os.environ.update({name: before[name] for name in ours})


def without_mlflow() -> MissingExtraError | None:
    """Return, without raising it, the error that MLflow is missing; None if it is installed."""
    try:
        require_packages("recording a run", "mlflow")
    except MissingExtraError as error:
        return error
    return None


def _masked(text: str) -> str:
    """Return a text with passwords in web addresses replaced by dots."""
    return re.sub(r"(//[^:/@\s]*):[^/@\s]*@", r"\1:…@", text)
