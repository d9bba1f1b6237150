"""Record each compared model, and their comparison, as MLflow runs in a database or server.

Runs are not nested, because the UI hides nested runs when it sorts or filters; a tag names the kind
of each run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from gzfeatures import user_folders
from gzfeatures.errors import InputError
from gzfeatures.figures import style
from gzfeatures.files import require_file
from gzfeatures.report import figures
from gzfeatures.tracking import epoch_classes, models, run_contents
from gzfeatures.tracking._compat_mlflow import NOTE, VIEW, VIEW_QUERY
from gzfeatures.tracking.connection import ENVIRONMENT, Connection
from gzfeatures.tracking.latest import is_newest, mark_latest, name_champion
from gzfeatures.tracking.live import Live
from gzfeatures.tracking.records import CandidateRecord, ComparisonRecord
from gzfeatures.tracking.wheel import FOLDER, write_wheel

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.report.report import Report

COMPARED_FILES = (
    "report.html",
    "report.md",
    "report.json",
    "map.html",
    "map.json",
    "map.parquet",
)
"""Files of an experiment's folder that are stored with the MLflow run of its comparison."""
NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Tracking(Connection):
    """Record compared models and their comparison as runs of an MLflow database or server.

    The parameters and attributes are those of `Connection`.

    Raises
    ------
    OutputError
        The database cannot be created, or the server does not answer; or the database is of another
        version of MLflow.
    """

    def require(self, experiment: str) -> None:
        """Refuse an experiment that MLflow cannot record, before any training starts.

        Raises
        ------
        OutputError
            An experiment of this name was deleted in the database.
        """
        with self.writing() as client:
            self.experiment_id(client, experiment)

    def training(self, experiment: str, name: str) -> Live:
        """Return an object that records a training in MLflow after each epoch."""
        return Live(self, experiment, name)

    def record_candidate(
        self,
        experiment: str,
        candidate: Candidate,
        artifacts: Sequence[Path],
        live: Live | None = None,
    ) -> str:
        """Record one compared model's scores, settings and files as an MLflow run.

        Parameters
        ----------
        experiment : str
            Name of the experiment.
        candidate : Candidate
            Compared model: head or network, with scores.
        artifacts : sequence of Path
            Files and folders to store with the run. A head (`.skops`) becomes a registered model,
            with the checkpoint folder of its backbone inside; for a network, the checkpoint folder
            becomes the model. `history.json`, with numbers for each epoch, also becomes curves.
        live : Live, optional
            Object that recorded the training; its MLflow run is continued. Without it, a new run is
            created.

        Returns
        -------
        str
            Run id.

        Raises
        ------
        MissingFileError
            A file or folder of `artifacts` does not exist.
        OutputError
            The run cannot be recorded. After either error, the incomplete run is marked as failed.
        """
        return self.write_candidate(CandidateRecord.of(experiment, candidate, artifacts, live))

    def write_candidate(self, record: CandidateRecord, tags: Mapping[str, str] = NO_TAGS) -> str:
        """Write a compared model's values and files as an MLflow run; return the run's id.

        Raises
        ------
        MissingFileError, OutputError
            As `record_candidate`.
        """
        # keep the database locked until everything is written, so that no other process of
        # gzfeatures sees an incomplete run
        with (
            self.writing() as client,
            self.filled(
                client, record.experiment, record.name, {**record.tags, **tags}, record.opened
            ) as run,
        ):
            run_contents.log(client, run, record.metrics, record.parameters)
            run_contents.log_dataset(client, run, record.dataset)
            client.log_text(run, record.whole, "pairing.json")
            _draw_confusion(client, run, record)
            # register a head or network as an MLflow model; store other files with the run
            for name in record.artifacts:
                path = require_file(Path(name), "artifact")
                self._keep(client, record, run, path)
                if path.name == "history.json":
                    history = json.loads(path.read_text("utf-8"))
                    run_contents.log_history(client, run, history, after=record.logged)
                    epoch_classes.log_classes(client, run, history, after=record.logged)
        return run

    def comparison(self, experiment: str, report: Report, folder: Path) -> str:
        """Record the comparison of all compared models as an MLflow run.

        The ranking of the models also becomes the experiment's description in MLflow's UI.

        Parameters
        ----------
        experiment : str
            Name of the experiment.
        report : Report
            The comparison.
        folder : Path
            Folder written by `Report.write`; its HTML, Markdown and JSON files, its figures, and
            its map (if it has one) are stored with the run.

        Returns
        -------
        str
            Run id.

        Raises
        ------
        OutputError
            The run cannot be recorded; an incomplete run is marked as failed.
        """
        return self.write_comparison(ComparisonRecord.of(experiment, report), folder)

    def write_comparison(
        self, record: ComparisonRecord, folder: Path, tags: Mapping[str, str] = NO_TAGS
    ) -> str:
        """Write a comparison's values and files as an MLflow run; return the run's id.

        Raises
        ------
        OutputError
            As `comparison`.
        """
        with (
            self.writing() as client,
            self.filled(client, record.experiment, "comparison", {**record.tags, **tags}) as run,
        ):
            run_contents.log(client, run, record.metrics, record.parameters)
            # store only files that exist: an experiment without a map has no map files
            for name in COMPARED_FILES:
                if (folder / name).exists():
                    client.log_artifact(run, str(folder / name))
            client.log_artifacts(run, str(folder / "figures"), "figures")
            described = self.experiment_id(client, record.experiment)
            if is_newest(client, described, record):
                # tag the runs of this comparison as latest, and older runs as not: the ranking in
                # MLflow's UI lists only runs with this tag
                name_champion(client, record, mark_latest(client, described, record, run))
                client.set_experiment_tag(described, NOTE, record.ranking)
                client.set_experiment_tag(described, VIEW, record.view)
        return run

    def pages(self, port: int) -> dict[str, str]:
        """Return experiment name → web address of its ranking in MLflow's UI, if it has one."""
        with self.writing() as client:
            experiments = client.search_experiments(max_results=100)
        pages = {}
        for experiment in experiments:
            # without this tag, the experiment has no comparison, and its page shows no ranking
            if VIEW in experiment.tags:
                place = f"{experiment.experiment_id}/runs?{VIEW_QUERY}"
                pages[experiment.name] = f"http://127.0.0.1:{port}/#/experiments/{place}"
        return pages

    def ui(self, port: int = 5000, say: Callable[[str], object] | None = None) -> NoReturn:
        """Replace this process by MLflow's web UI on 127.0.0.1; it runs until it is interrupted.

        Parameters
        ----------
        port : int
            Port to listen on.
        say : callable, optional
            Function that prints a line; called with the address of each experiment's page.

        Raises
        ------
        InputError
            The records are on a server, which has a UI of its own.
        """
        if self._served:
            raise InputError(
                "the tracking server has its own UI", where=self.uri, remedy="open it in a browser"
            )
        # listen on this machine only, because MLflow's UI has no login
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
        # replace this process instead of starting another, so that Ctrl-C reaches the UI directly
        os.execve(sys.executable, command, os.environ | ENVIRONMENT)

    def _keep(self, client: MlflowClient, record: CandidateRecord, run: str, path: Path) -> None:
        experiment_id = self.experiment_id(client, record.experiment)
        # put the checkpoint of a fine-tuned network into the model of its head: the head needs the
        # network to predict from images
        if path.suffix == models.HEAD_SUFFIX:
            checkpoint = next((Path(o) for o in record.artifacts if Path(o).is_dir()), None)
            models.register(
                client,
                experiment_id,
                run,
                record.model,
                head=path,
                backbone=checkpoint,
                wheel=self._wheel(),
                description=run_contents.model_card(record),
            )
        elif path.is_file():
            client.log_artifact(run, str(path))
        elif record.is_network:
            models.register(
                client,
                experiment_id,
                run,
                record.model,
                backbone=path,
                wheel=self._wheel(),
                description=run_contents.model_card(record),
            )

    def _wheel(self) -> Path:
        """Write gzfeatures as a package file (wheel), once per database; return the file's path.

        If a server stores the files of runs, the wheel is written to the user's cache folder.
        """
        return write_wheel((user_folders.cache() if self._served else self._artifacts) / FOLDER)


def _draw_confusion(client: MlflowClient, run: str, record: CandidateRecord) -> None:
    """Store a picture of the confusion matrix with an MLflow run, if the record has a matrix."""
    if record.confusion is None:
        return
    import numpy as np

    drawn = figures.confusion(np.asarray(record.confusion), tuple(record.classes))
    with TemporaryDirectory() as folder:
        client.log_artifact(run, str(style.write_png(drawn, Path(folder) / "confusion.png")))
