"""Record each candidate and the comparison as MLflow runs, in SQLite or on a server.

Runs are flat so that sorting and filtering in the UI never hide one; tags say what each is. Writers
of one SQLite file take turns on a file lock, and the database appears under that lock, schema and
all, before anything runs in parallel: they never meet "database is locked".
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

from gzfeatures import fingerprint, user_folders
from gzfeatures.errors import GzError, InputError, OutputError
from gzfeatures.figures import style
from gzfeatures.files import require_file
from gzfeatures.progress import SILENT, Progress
from gzfeatures.report import figures, html_page
from gzfeatures.tracking import epoch_classes, models, run_contents
from gzfeatures.tracking._compat_mlflow import EXPERIMENT_TAGS, NOTE, VIEW, VIEW_QUERY
from gzfeatures.tracking.client import (
    ARTIFACTS,
    WAIT_SECONDS,
    address_of,
    file_of,
    make_database,
    require_beside,
    require_no_diversion,
    require_schema,
    settle,
    without_strays,
)
from gzfeatures.tracking.live import Live
from gzfeatures.tracking.machine import has_ended, this_process
from gzfeatures.tracking.wheel import FOLDER, write_wheel

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.report.report import Report

ENVIRONMENT = {
    # this process and its children must not send usage statistics
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # otherwise MLflow starts eight processes that have nothing to do here
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
DEFAULTS = {
    # with few retries, a missing server is reported within seconds instead of minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""Settings of MLflow that the user's environment variables override."""
KNOWN_WARNINGS = (
    "The ``noload`` loader strategy is deprecated",
    ".*Any type hint is inferred as AnyType",
    ".*An input example was not provided",
)
"""Warnings of MLflow on import, or on information that gzfeatures omits on purpose."""
DRIVERS = {"psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}
"""Database modules whose package to install has another name."""
PROCESS = "gzfeatures.process"
"""Tag that names the process that fills a run."""
MOST_RUNS = 10_000
"""Most runs of an experiment that are searched for the candidates of a comparison."""
DEFAULT_ROOT = Path("mlruns")


class Tracking:
    """Record candidates and comparisons as MLflow runs.

    Parameters
    ----------
    uri : str, optional
        Address MLflow knows: `sqlite:///…`, `postgresql://…`, `http://…`. Default the file
        `mlflow.db` under `root`, or where neither is said `$MLFLOW_TRACKING_URI`.
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
    OutputError
        The database cannot be made, or the server not be reached; the database is of another
        version of MLflow.
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
        with self.writing() as client:
            client.search_experiments(max_results=1)

    def require(self, experiment: str) -> None:
        """Refuse an experiment that cannot be recorded, before any run starts.

        Raises
        ------
        OutputError
            An experiment of this name was deleted in the database.
        """
        with self.writing() as client:
            self._experiment(client, experiment)

    def training(self, experiment: str, name: str) -> Live:
        """Return the recorder of a training that is about to begin."""
        return Live(self, experiment, name)

    def record_candidate(
        self,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Live | None = None,
    ) -> str:
        """Record one candidate as a run.

        Parameters
        ----------
        experiment : str
            Name of the experiment.
        candidate : Candidate
            What was fitted and scored.
        artifacts : sequence of Path
            Files and folders to keep with it. A head (`.skops`) becomes a registered model, and the
            folder of the checkpoint it reads from goes into that; of a network, the folder becomes
            the model. `history.json`, a list with one object of numbers per epoch, also becomes
            curves.
        live : Live, optional
            The training's own run, which is then filled in place of a new one.

        Returns
        -------
        str
            Run id.

        Raises
        ------
        MissingFileError
            An artifact is not there.
        OutputError
            The run cannot be recorded. In either case what there is of it is marked as failed.
        """
        tags, opened = run_contents.tags(experiment, candidate), live.run if live else None
        record = {
            "tags": tags,
            "parameters": dict(candidate.parameters),
            "scores": candidate.scores.asdict(),
        }
        # one lock for the whole record, so that other writers see no half-written run
        with (
            self.writing() as client,
            self._run(
                client,
                experiment,
                # a training that was only read again gets the same name as a new training
                candidate.name if live is None else live.name,
                tags | {NOTE: run_contents.summary_line(candidate)},
                opened,
            ) as run,
            TemporaryDirectory() as folder,
        ):
            run_contents.log(
                client, run, run_contents.metrics(candidate), run_contents.parameters(candidate)
            )
            client.log_inputs(run, [run_contents.dataset(candidate)])
            # MLflow cuts long parameters, but this JSON file contains them completely
            client.log_text(run, json.dumps(record, indent=1, default=str), "pairing.json")
            if candidate.scores.confusion is not None:
                drawn = figures.confusion(candidate.scores.confusion, candidate.scores.classes)
                client.log_artifact(
                    run, str(style.write_png(drawn, Path(folder) / "confusion.png"))
                )
            # a head or network becomes a model; other files are stored with the run
            for path in artifacts:
                self._keep(
                    client, experiment, candidate, run, require_file(path, "artifact"), artifacts
                )
                if path.name == "history.json":
                    logged = live.logged if live else 0
                    history = json.loads(path.read_text("utf-8"))
                    run_contents.log_history(client, run, history, after=logged)
                    epoch_classes.log_classes(client, run, history, after=logged)
        return run

    def comparison(self, experiment: str, report: Report, folder: Path) -> str:
        """Record the comparison of all candidates as a run.

        Its ranking also becomes the experiment's description in the UI.

        Parameters
        ----------
        experiment : str
            Name of the experiment.
        report : Report
            The comparison.
        folder : Path
            Where `Report.write` put it; HTML, Markdown, JSON, figures and, where there is one, the
            map are kept.

        Returns
        -------
        str
            Run id.

        Raises
        ------
        OutputError
            The run cannot be recorded; what there is of it is marked as failed.
        """
        # the UI first shows one line of the description, so begin with the headline, without its #
        ranking = report.markdown().removeprefix("# ")
        tags = {
            "kind": "comparison",
            "experiment": experiment,
            "scheme": report.labels.scheme,
            "split": report.split.fingerprint,
            NOTE: ranking,
        }
        with self.writing() as client, self._run(client, experiment, "comparison", tags) as run:
            numbers = {"pairings": float(len(report.candidates))} | run_contents.best(report)
            run_contents.log(client, run, numbers, dict(html_page.flat(report.provenance)))
            # a run without a map has fewer files
            for name in (
                "report.html",
                "report.md",
                "report.json",
                "map.html",
                "map.json",
                "map.parquet",
            ):
                if (folder / name).exists():
                    client.log_artifact(run, str(folder / name))
            client.log_artifacts(run, str(folder / "figures"), "figures")
            described = self._experiment(client, experiment)
            # the UI's view filters by this tag, so that the ranking shows no old runs
            _mark_latest(client, described, report, run)
            client.set_experiment_tag(described, NOTE, ranking)
            client.set_experiment_tag(described, VIEW, run_contents.view(report))
        return run

    def pages(self, port: int) -> dict[str, str]:
        """Return the UI's address of each experiment with a comparison, by experiment name."""
        with self.writing() as client:
            experiments = client.search_experiments(max_results=100)
        pages = {}
        for experiment in experiments:
            # only a comparison gives an experiment this tag, which holds a ranked view
            if VIEW in experiment.tags:
                place = f"{experiment.experiment_id}/runs?{VIEW_QUERY}"
                pages[experiment.name] = f"http://127.0.0.1:{port}/#/experiments/{place}"
        return pages

    def ui(self, port: int = 5000, say: Callable[[str], object] | None = None) -> NoReturn:
        """Replace this process by the MLflow UI on 127.0.0.1, until interrupted.

        Parameters
        ----------
        port : int
            Port to listen on.
        say : callable, optional
            Takes a line with the address of each experiment's page.

        Raises
        ------
        InputError
            The records are on a server, which has a UI of its own.
        """
        if self._served:
            raise InputError(
                "the tracking server has its own UI", where=self.uri, remedy="open it in a browser"
            )
        # listen only on this machine, because the UI has no login
        options = {
            "--backend-store-uri": self._address,
            "--default-artifact-root": self._artifacts.as_uri(),
            "--host": "127.0.0.1",
            "--port": str(port),
            "--workers": "1",
        }
        if say is not None:
            for name, address in self.pages(port).items():
                say(f"{name}: {address}")
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "ui",
            *(part for option in options.items() for part in option),
        ]
        # the UI takes the place of this process, so that Ctrl-C ends the UI directly
        os.execve(sys.executable, command, os.environ | ENVIRONMENT)

    @contextmanager
    def writing(self) -> Iterator[MlflowClient]:
        """Yield a client to write with; an SQLite database has one writer at a time."""
        from filelock import FileLock

        os.environ.update(ENVIRONMENT)
        os.environ.update(DEFAULTS | os.environ)
        # warnings about MLflow's own code do not concern the user
        with warnings.catch_warnings():
            for message in KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message)
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            try:
                if self._database is None:
                    yield MlflowClient(self._address, self._address)
                    return
                self._database.parent.mkdir(parents=True, exist_ok=True)
                # two simultaneous writers would fail with "database is locked", so they take turns
                with FileLock(f"{self._database}.lock"), without_strays(self._address):
                    if not self._database.exists():
                        make_database(self._database)
                    # check the schema once, because no other process changes it during this one
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
            except GzError:
                raise
            except (MlflowException, SQLAlchemyError, OSError) as error:
                raise OutputError(
                    "cannot be recorded", where=self.uri, found=_masked(str(error))
                ) from error
            except ModuleNotFoundError as error:
                remedy = f"pip install '{DRIVERS.get(str(error.name), error.name)}'"
                raise OutputError(
                    "cannot be recorded", where=self.uri, found=str(error), remedy=remedy
                ) from error

    def _experiment(self, client: MlflowClient, name: str) -> str:
        """Return the id of an experiment, which is created on first use."""
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

    def _keep(
        self,
        client: MlflowClient,
        experiment: str,
        candidate: Candidate,
        run: str,
        path: Path,
        others: Sequence[Path],
    ) -> None:
        words = [
            experiment,
            candidate.backbone,
            *([candidate.head] if candidate.head else []),
            candidate.approach,
        ]
        name, experiment_id = (
            run_contents.name_of(" ".join(words)),
            self._experiment(client, experiment),
        )
        # a fine-tuned head needs its network to read images
        if path.suffix == models.HEAD_SUFFIX:
            checkpoint = next((other for other in others if other.is_dir()), None)
            models.register(
                client,
                experiment_id,
                run,
                name,
                head=path,
                backbone=checkpoint,
                wheel=self._wheel(),
            )
        elif path.is_file():
            client.log_artifact(run, str(path))
        elif candidate.head is None:
            models.register(client, experiment_id, run, name, backbone=path, wheel=self._wheel())

    def _wheel(self) -> Path:
        """Write the wheel of gzfeatures, once per database.

        Where a server keeps the artifacts, it lies in the user's cache folder.
        """
        return write_wheel((user_folders.cache() if self._served else self._artifacts) / FOLDER)

    def opened(
        self, client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]
    ) -> str:
        """Open a run, and mark runs as killed if their process has ended."""
        home = self._experiment(client, experiment)
        # a killed process cannot close its run, which the UI would show as running for ever
        for run in client.search_runs([home], "attributes.status = 'RUNNING'"):
            if PROCESS in run.data.tags and has_ended(run.data.tags[PROCESS]):
                client.set_terminated(run.info.run_id, "KILLED")
        created = client.create_run(home, tags={**tags, PROCESS: this_process()}, run_name=name)
        return str(created.info.run_id)

    @contextmanager
    def _run(
        self,
        client: MlflowClient,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        opened: str | None = None,
    ) -> Iterator[str]:
        """Yield a run that is marked as finished afterwards, or as failed after an error."""
        run = opened or self.opened(client, experiment, name, tags)
        if opened:
            # keep the run unfinished until its record is complete, in case this process is killed
            client.update_run(run, status="RUNNING")
        try:
            for tag, value in tags.items() if opened else ():
                client.set_tag(run, tag, value)
            yield run
        except BaseException:
            client.set_terminated(run, "FAILED")
            raise
        client.set_terminated(run)


def _mark_latest(client: MlflowClient, experiment_id: str, report: Report, comparison: str) -> None:
    """Tag the runs of this comparison with `latest: yes`, and earlier runs with `latest: no`."""
    wanted = {(p.approach, p.backbone, p.head or "none", str(p.seed)) for p in report.candidates}
    for run in client.search_runs(
        [experiment_id], max_results=MOST_RUNS, order_by=["attributes.start_time DESC"]
    ):
        tags = run.data.tags
        key = tuple(tags.get(name, "") for name in ("road", "backbone", "head", "seed"))
        compared = tags.get("split") == report.split.fingerprint and key in wanted
        wanted -= {key} if compared else set()
        latest = "yes" if compared or run.info.run_id == comparison else "no"
        if tags.get("latest") != latest:
            client.set_tag(run.info.run_id, "latest", latest)


def _masked(text: str) -> str:
    """Hide the passwords of addresses in a text."""
    return re.sub(r"(//[^:/@\s]*):[^/@\s]*@", r"\1:…@", text)
