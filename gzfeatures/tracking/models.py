"""Heads as MLflow models: rows with vectors in, class probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import gzfeatures
from gzfeatures.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

    from gzfeatures.heads.fit import Head


def register(client: MlflowClient, experiment_id: str, run: str, name: str, head: Path, classes: Sequence[str]) -> None:
    """Keep a head as a model of its run, and as the next version of `name` in the model registry.

    Parameters
    ----------
    client, experiment_id, run
        Where to.
    name : str
        Name in the registry.
    head : Path
        File written by `Head.write`.
    classes : sequence of str
        Columns of the answer.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    model = client.create_logged_model(experiment_id, name, run)
    with TemporaryDirectory() as folder:
        pyfunc.save_model(
            f"{folder}/model",
            loader_module=__name__,
            data_path=str(head),
            mlflow_model=Model(run_id=run, model_id=model.model_id),
            signature=_signature(classes),
            pip_requirements=[f"gzfeatures=={gzfeatures.__version__}"],
        )
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    client.finalize_logged_model(model.model_id, "READY")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Rows of an embedding table in, class probabilities out.")
    client.create_model_version(name, model.artifact_location, run, model_id=model.model_id)


def _signature(classes: Sequence[str]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    names = [ColSpec(DataType.string, name, required=False) for name in ("galaxy_id", "image_sha256")]
    return ModelSignature(
        Schema([*names, ColSpec(Array(DataType.float), "embedding")]),
        Schema([ColSpec(DataType.string, "galaxy_id"), *(ColSpec(DataType.double, name) for name in classes)]),
    )


class _Model:
    """What `mlflow.pyfunc` calls: a head behind a data frame."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Probabilities of each row's `embedding`; ids are passed through, or counted from 0 where there are none."""
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
        (extractor,) = self._head.extractors
        predicted = self._head.predict(EmbeddingTable(ids, np.full(len(ids), "", dtype=object), matrix, extractor))
        return pd.DataFrame({"galaxy_id": ids} | dict(zip(predicted.classes, predicted.probabilities.T, strict=True)))


def _load_pyfunc(path: str) -> _Model:
    """What `mlflow.pyfunc.load_model` calls; the head is read by skops, nothing is unpickled."""
    from gzfeatures.heads.fit import Head

    return _Model(Head.read(path))
