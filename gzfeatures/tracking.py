"""Tracking: pairings, comparisons and heads as MLflow runs and models; the only importer of MLflow.

Runs are flat, one per pairing, so that sorting and filtering in the UI never hide one; tags say what each is. One more
run per experiment holds the comparison. Writers of one SQLite file take turns on a file lock, so "database is locked"
cannot happen between them, and the schema is made once, before anything runs in parallel.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gzfeatures
from gzfeatures import fingerprint
from gzfeatures.errors import InputError, OutputError
from gzfeatures.results import figures

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.models import ModelSignature

    from gzfeatures.heads.fit import Head
    from gzfeatures.results.comparison import Pairing
    from gzfeatures.results.report import Report

SQLITE = "sqlite:///"
PARAMETER_LIMIT = 6000
"""Characters of a parameter that MLflow keeps; the whole stands in `pairing.json` of the run."""
METRICS_PER_BATCH, PARAMETERS_PER_BATCH = 1000, 100
"""Most entries MLflow takes in one request."""
NOTE = "mlflow.note.content"
"""Tag whose Markdown the UI shows as the description."""
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "accuracy",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
}
WAIT_SECONDS = 60
"""How long a writer of SQLite waits for a reader."""


def _silence() -> None:
    """No usage statistics leave this process or the ones it starts."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Hide the warnings of MLflow's own making that its users can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        yield


class Tracking:
    """Where runs are recorded.

    Parameters
    ----------
    uri : str, optional
        Address MLflow knows: `sqlite:///…`, `postgresql://…`, `http://…`. Default the file `mlflow.db` under `root`.
    root : Path
        Folder of the default database and, unless a server keeps them, of the artifacts.

    Raises
    ------
    OutputError
        The database cannot be made or reached.
    """

    def __init__(self, uri: str | None = None, root: Path = Path("mlruns")) -> None:
        self.uri = uri or f"{SQLITE}{root.resolve() / 'mlflow.db'}"
        self._database = Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None
        self.artifacts = (self._database.parent if self._database else root).resolve() / "artifacts"
        self.served = self.uri.startswith(("http:", "https:", "databricks"))
        with self._writing() as client:
            client.search_experiments(max_results=1)

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        """Client to write with; on SQLite, one writer at a time."""
        from filelock import FileLock

        _silence()
        with _known_warnings():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            try:
                if self._database is None:
                    yield MlflowClient(self.uri, self.uri)
                    return
                self._database.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{self._database}.lock"):
                    address = f"{self.uri}?timeout={WAIT_SECONDS}"
                    yield MlflowClient(address, address)
            except (MlflowException, OSError) as error:
                raise OutputError("cannot be recorded", where=self.uri, found=str(error)) from error

    def _experiment(self, client: MlflowClient, name: str) -> str:
        """Id of the experiment, made on first use."""
        known = client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        place = None if self.served else f"{self.artifacts.as_uri()}/{fingerprint.of(name)[:12]}"
        return str(client.create_experiment(name, place, EXPERIMENT_TAGS))

    def pairing(
        self,
        experiment: str,
        pairing: Pairing,
        artifacts: Sequence[Path],
        *,
        history: Sequence[Mapping[str, float]] = (),
    ) -> str:
        """Record one pairing as a run.

        Parameters
        ----------
        experiment : str
            Name of the experiment.
        pairing : Pairing
            What was fitted and scored.
        artifacts : sequence of Path
            Files and folders to keep with it; a head (`.skops`) becomes a registered model.
        history : sequence of mapping of str to float
            Losses and metrics of each epoch, for curves.

        Returns
        -------
        str
            Run id.

        Raises
        ------
        OutputError
            The run cannot be recorded; it is marked as failed.
        """
        tags = {
            "kind": "pairing",
            "road": pairing.road,
            "backbone": pairing.backbone,
            "head": pairing.head or "none",
            "scheme": pairing.scheme,
            "split": pairing.split,
            "seed": str(pairing.seed),
            "fair": "no" if pairing.dagger else "yes",
        }
        metrics = _metrics(pairing)
        with self._writing() as client, self._run(client, experiment, pairing.name, tags) as run:
            _log(client, run, metrics, {**pairing.parameters, **tags})
            _log_history(client, run, history)
            client.log_inputs(run, [_dataset(pairing)])
            record = {"parameters": dict(pairing.parameters), "tags": tags, "scores": pairing.scores.asdict()}
            client.log_text(run, json.dumps(record, indent=1, default=str), "pairing.json")
            with tempfile.TemporaryDirectory() as folder:
                if pairing.scores.confusion is not None:
                    drawing = figures.confusion(pairing.scores.confusion, pairing.scores.classes)
                    client.log_artifact(run, str(figures.write_png(drawing, Path(folder) / "confusion.png")))
                for path in artifacts:
                    if path.suffix == ".skops":
                        self._register(client, experiment, run, pairing, path)
                    elif path.is_dir():
                        client.log_artifacts(run, str(path), path.name)
                    else:
                        client.log_artifact(run, str(path))
        return run

    def comparison(self, experiment: str, report: Report, folder: Path) -> str:
        """Record the comparison of all pairings as a run, and its ranking as the description of the experiment.

        Parameters
        ----------
        experiment : str
            Name of the experiment.
        report : Report
            The comparison.
        folder : Path
            Where `Report.write` put it; its HTML, Markdown, JSON and figures are kept with the run.

        Returns
        -------
        str
            Run id.

        Raises
        ------
        OutputError
            The run cannot be recorded; it is marked as failed.
        """
        ranking = report.markdown()
        tags = {"kind": "comparison", "scheme": report.labels.scheme, "split": report.split.fingerprint, NOTE: ranking}
        with self._writing() as client, self._run(client, experiment, f"comparison: {report.name}", tags) as run:
            _log(client, run, {"pairings": float(len(report.pairings))}, report.provenance)
            for name in ("report.html", "report.md", "report.json"):
                client.log_artifact(run, str(folder / name))
            client.log_artifacts(run, str(folder / "figures"), "figures")
            client.set_experiment_tag(self._experiment(client, experiment), NOTE, ranking)
        return run

    @contextmanager
    def _run(self, client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """A run that is finished on leaving, or marked as failed on an error."""
        run = str(client.create_run(self._experiment(client, experiment), tags=dict(tags), run_name=name).info.run_id)
        try:
            yield run
        except BaseException:
            client.set_terminated(run, "FAILED")
            raise
        client.set_terminated(run)

    def _register(self, client: MlflowClient, experiment: str, run: str, pairing: Pairing, head: Path) -> None:
        """Keep a head as a model of its run and as a version in the model registry."""
        from mlflow import pyfunc
        from mlflow.models import Model

        name = _name(f"{experiment} {pairing.name} {pairing.road}")
        model = client.create_logged_model(self._experiment(client, experiment), name, run)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "model"
            pyfunc.save_model(
                str(place),
                loader_module="gzfeatures.tracking",
                data_path=str(head),
                mlflow_model=Model(run_id=run, model_id=model.model_id),
                signature=_signature(pairing.predictions.classes),
                pip_requirements=[f"gzfeatures=={gzfeatures.__version__}"],
            )
            client.log_model_artifacts(model.model_id, str(place))
        client.finalize_logged_model(model.model_id, "READY")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description="Embedding table in, class probabilities out.")
        client.create_model_version(name, f"models:/{model.model_id}", run, model_id=model.model_id)


class _Model:
    """A head as MLflow serves it: rows with a column `embedding` in, one column of probabilities per class out."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Probabilities of each row; `galaxy_id` is passed through, or counted from 0 where it is absent."""
        import numpy as np
        import pandas as pd

        from gzfeatures.features.table import EmbeddingTable
        from gzfeatures.galaxies.ids import as_ids

        if "embedding" not in frame:
            raise InputError(
                "no vectors to predict from", rule="have a column embedding", found=", ".join(map(str, frame.columns))
            )
        ids = as_ids(frame["galaxy_id"] if "galaxy_id" in frame else range(len(frame)))
        matrix = np.stack([np.asarray(vector, dtype=np.float32) for vector in frame["embedding"]])
        table = EmbeddingTable(ids, np.full(len(ids), "", dtype=object), matrix, self._head.extractor)
        predictions = self._head.predict(table)
        return pd.DataFrame(
            {"galaxy_id": ids} | dict(zip(predictions.classes, predictions.probabilities.T, strict=True))
        )


def _load_pyfunc(path: str) -> _Model:
    """What `mlflow.pyfunc.load_model` calls; the head is read by skops, nothing is unpickled."""
    from gzfeatures.heads.fit import Head

    return _Model(Head.read(Path(path)))


def ui(uri: str | None = None, root: Path = Path("mlruns"), port: int = 5000) -> int:
    """Serve the MLflow UI on 127.0.0.1 until interrupted; return its exit code.

    Parameters
    ----------
    uri, root
        As of `Tracking`.
    port : int
        Port to listen on, 1…65535.

    Raises
    ------
    InputError
        `uri` is a server, which has a UI of its own.
    """
    tracking = Tracking(uri, root)
    if tracking.served:
        raise InputError("the tracking server has its own UI", where=tracking.uri, remedy="open it in a browser")
    options = {
        "--backend-store-uri": tracking.uri,
        "--default-artifact-root": tracking.artifacts.as_uri(),
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
    }
    command = [sys.executable, "-m", "mlflow", "ui", *(part for option in options.items() for part in option)]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _name(text: str) -> str:
    """Text MLflow takes as the name of a metric, parameter or model: letters, digits, `_`, `-` and spaces."""
    return re.sub(r"[^\w -]+", "-", text)[:200].strip(" -") or "unnamed"


def _metrics(pairing: Pairing) -> dict[str, float]:
    """Numbers of a pairing under names that are alike on every road."""
    scores = pairing.scores
    metrics = dict(scores.metrics)
    for name, (low, high) in scores.intervals.items():
        metrics |= {f"{name}_low": low, f"{name}_high": high}
    for entry in scores.per_class:
        for name, value in entry.items():
            if name not in ("class", "intervals"):
                metrics[f"classes/{_name(entry['class'])}/{name}"] = float(value)
    metrics |= {f"{step}_seconds": float(seconds) for step, seconds in pairing.seconds.items()}
    metrics["end_to_end_seconds"] = float(sum(pairing.seconds.values()))
    metrics |= {name: float(value) for name, value in pairing.cost.items()}
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _log(client: MlflowClient, run: str, metrics: Mapping[str, float], parameters: Mapping[str, Any]) -> None:
    """Log numbers and parameters in as few requests as MLflow takes; a long parameter is cut with an ellipsis."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    measured = [Metric(name, value, now, 0) for name, value in metrics.items()]
    given = []
    for name, value in parameters.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        given.append(Param(_name(name), text if len(text) <= PARAMETER_LIMIT else text[: PARAMETER_LIMIT - 1] + "…"))
    while measured or given:
        client.log_batch(run, measured[:METRICS_PER_BATCH], given[:PARAMETERS_PER_BATCH])
        del measured[:METRICS_PER_BATCH], given[:PARAMETERS_PER_BATCH]


def _log_history(client: MlflowClient, run: str, history: Sequence[Mapping[str, float]]) -> None:
    """Log each epoch's numbers as one step of a curve."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    curve = [
        Metric(f"epochs/{_name(name)}", float(value), now, epoch)
        for epoch, numbers in enumerate(history, 1)
        for name, value in numbers.items()
        if name != "epoch" and math.isfinite(value)
    ]
    for start in range(0, len(curve), METRICS_PER_BATCH):
        client.log_batch(run, curve[start : start + METRICS_PER_BATCH])


def _dataset(pairing: Pairing) -> DatasetInput:
    """The test galaxies as a dataset of the run: named by scheme, told apart by the split's fingerprint."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"tags": {"split": pairing.split}})
    profile = json.dumps({"galaxies": len(pairing.predictions), "classes": len(pairing.predictions.classes)})
    dataset = Dataset(f"{pairing.scheme} test", pairing.split[:36], "code", source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "test")])


def _signature(classes: Sequence[str]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    return ModelSignature(
        Schema([ColSpec(DataType.string, "galaxy_id", required=False), ColSpec(Array(DataType.float), "embedding")]),
        Schema([ColSpec(DataType.string, "galaxy_id"), *(ColSpec(DataType.double, name) for name in classes)]),
    )
