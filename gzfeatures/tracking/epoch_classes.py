"""Log each class's scores to MLflow as curves over training epochs, confusion matrices as files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from gzfeatures.figures import style
from gzfeatures.report import figures
from gzfeatures.tracking.run_contents import log_points, name_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

CURVES = ("recall", "precision", "f1", "answer_rmse")
"""Scores of a class that are logged as curves over epochs."""
FOLDER = "confusion"
"""Folder, among the files of an MLflow run, for the confusion matrix of each epoch."""


def log_classes(
    client: MlflowClient, run: str, history: Sequence[Mapping[str, Any]], after: int = 0
) -> None:
    """Log each class's scores as curves, and the confusion matrix of each epoch as files.

    Parameters
    ----------
    client, run
        MLflow's client, and the id of the run.
    history : sequence of mapping
        Results of each epoch from the first; `per_class` (scores of each class) and `confusion`
        may be missing. A score that is None, such as the precision of a class that was never
        predicted, is left out.
    after : int
        Number of epochs already logged.
    """
    fresh = list(enumerate(history, 1))[after:]
    points = [
        (f"epochs/{name}/{name_of(row['class'])}", float(row[name]), step)
        for step, numbers in fresh
        for row in numbers.get("per_class") or ()
        for name in CURVES
        if row.get(name) is not None and math.isfinite(row[name])
    ]
    log_points(client, run, points)
    with TemporaryDirectory() as folder:
        for step, numbers in fresh:
            if numbers.get("confusion") is not None:
                _write_matrix(Path(folder) / f"step-{step:04d}", numbers)
        # send all files in one request, because a resumed training has many epochs to log
        if any(Path(folder).iterdir()):
            client.log_artifacts(run, folder, FOLDER)


def _write_matrix(path: Path, numbers: Mapping[str, Any]) -> None:
    """Write an epoch's confusion matrix as a JSON file and as a picture."""
    classes = [row["class"] for row in numbers["per_class"]]
    record = {
        "epoch": numbers["epoch"],
        "classes": classes,
        "rows": "true class",
        "columns": "predicted class",
        "galaxies": numbers["confusion"],
        "per_class": numbers["per_class"],
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=1), "utf-8")
    matrix = np.asarray(numbers["confusion"], dtype=np.int64)
    style.write_png(figures.confusion(matrix, classes), path.with_suffix(".png"))
