"""Heads as MLflow models: rows with vectors, or with images, in; class probabilities out."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import gzfeatures
from gzfeatures.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

    from gzfeatures.features.table import EmbeddingTable, Extractor
    from gzfeatures.galaxies.ids import Ids
    from gzfeatures.heads.fit import Head

HEAD_SUFFIX = ".skops"
HEAD, BACKBONE = f"head{HEAD_SUFFIX}", "backbone"
"""What a model folder holds: the head, and the checkpoint it reads from, if that is not a backbone known by name."""


def register(
    client: MlflowClient, experiment_id: str, run: str, name: str, path: Path, backbone: Path | None = None
) -> None:
    """Keep a head as a model of its run, and as the next version of `name` in the model registry.

    Parameters
    ----------
    client, experiment_id, run
        Where to.
    name : str
        Name in the registry.
    path : Path
        File written by `Head.write`.
    backbone : Path, optional
        Checkpoint folder that goes with it, so that the model reads images too.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    from gzfeatures.features.backbones import RECORD, TENSORS
    from gzfeatures.heads.fit import Head

    model = client.create_logged_model(experiment_id, name, run)
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        shutil.copy(path, data / HEAD)
        if backbone is not None:
            (data / BACKBONE).mkdir()
            for file in (RECORD, TENSORS):
                shutil.copy(backbone / file, data / BACKBONE / file)
        pyfunc.save_model(
            f"{folder}/model",
            loader_module=__name__,
            data_path=str(data),
            mlflow_model=Model(run_id=run, model_id=model.model_id),
            signature=_signature(Head.read(path)),
            pip_requirements=[f"gzfeatures=={gzfeatures.__version__}"],
        )
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    client.finalize_logged_model(model.model_id, "READY")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Embeddings or images in, class probabilities out.")
    client.create_model_version(name, model.artifact_location, run, model_id=model.model_id)


def _signature(head: Head) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    given: list[ColSpec | TensorSpec]
    given = [ColSpec(DataType.string, name, required=False) for name in ("galaxy_id", "image_sha256")]
    given += [ColSpec(Array(DataType.double), name, required=False) for name in _columns(head)]
    given += [ColSpec(DataType.binary, "image", required=False)]
    given += [ColSpec(DataType.double, name) for name in head.columns]
    answered = [ColSpec(DataType.double, name) for name in head.classes]
    return ModelSignature(Schema(given), Schema([ColSpec(DataType.string, "galaxy_id"), *answered]))


def _columns(head: Head) -> tuple[str, ...]:
    """Columns of vectors: `embedding`, and for a head on several tables `embedding_2`, …"""
    return ("embedding", *(f"embedding_{number}" for number in range(2, len(head.extractors) + 1)))


class _Model:
    """What MLflow calls: a head behind a data frame."""

    def __init__(self, head: Head, backbone: Path | None) -> None:
        self._head, self._backbone = head, backbone

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Probabilities of each row.

        Parameters
        ----------
        frame : DataFrame
            `embedding` (vectors as in an embedding table; `embedding_2`, … for a head on several) or `image` (bytes of
            image files), any catalog columns of the head, and `galaxy_id`, counted from 0 where it is absent.

        Raises
        ------
        InputError
            Neither column is there, or the vectors are not the head's.
        """
        import numpy as np
        import pandas as pd

        from gzfeatures.galaxies.catalog import Catalog
        from gzfeatures.galaxies.ids import as_ids

        names = _columns(self._head)
        ids = as_ids(frame["galaxy_id"] if "galaxy_id" in frame else range(len(frame)))
        if set(names) <= set(frame):
            tables = [_table(ids, frame[n], e) for n, e in zip(names, self._head.extractors, strict=True)]
        elif "image" in frame:
            tables = [self._extract(ids, list(frame["image"]), extractor) for extractor in self._head.extractors]
        else:
            raise InputError(
                "nothing to predict from",
                rule=f"have columns {', '.join(names)}, or image",
                found=", ".join(map(str, frame.columns)),
            )
        columns = {name: np.asarray(frame[name], dtype=np.float64) for name in self._head.columns}
        catalog = Catalog(pd.DataFrame({"galaxy_id": ids} | columns)) if columns else None
        said = self._head.predict(tables, catalog)
        return pd.DataFrame({"galaxy_id": said.ids} | dict(zip(said.classes, said.probabilities.T, strict=True)))

    def _extract(self, ids: Ids, images: list[bytes], extractor: Extractor) -> EmbeddingTable:
        import numpy as np

        from gzfeatures.features.store import Store
        from gzfeatures.images.imageset import ImageSet
        from gzfeatures.networks.extract import extract

        with TemporaryDirectory() as folder:
            rows = np.array([str(row) for row in range(len(images))], dtype=object)
            for row, data in zip(rows, images, strict=True):
                (Path(folder) / f"{row}.jpg").write_bytes(data)
            table = extract(
                ImageSet.of(folder, rows),
                self._backbone or extractor.backbone,
                layer=extractor.layer,
                view=extractor.view,
                precision=extractor.precision,
                store=Store(Path(folder) / "store"),
                progress=False,
            )
        return dataclasses.replace(table, ids=ids)


def _table(ids: Ids, vectors: pd.Series, extractor: Extractor) -> EmbeddingTable:
    import numpy as np

    from gzfeatures.features.table import EmbeddingTable

    matrix = np.stack([np.asarray(vector, dtype=np.float32) for vector in vectors])
    return EmbeddingTable(ids, np.full(len(ids), "", dtype=object), matrix, extractor)


def _load_pyfunc(path: str) -> _Model:
    """What `mlflow.pyfunc.load_model` calls; the head is read by skops, nothing is unpickled."""
    from gzfeatures.heads.fit import Head

    folder = Path(path)
    backbone = folder / BACKBONE
    return _Model(Head.read(folder / HEAD), backbone if backbone.is_dir() else None)
