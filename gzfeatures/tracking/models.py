"""Register heads and networks as MLflow models that predict from embeddings or images."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gzfeatures.errors import InputError
from gzfeatures.tracking.wheel import FOLDER

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec

    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.features.table import EmbeddingTable, Extractor
    from gzfeatures.heads.fit import Head
    from gzfeatures.ids import Ids
    from gzfeatures.images.image_set import ImageSet

FAMILIARITY, PREDICTED, SETS = "familiarity_p", "predicted_class", ("class_set", "empty_because")
"""Names of a model's output columns beside the class probabilities, as in prediction files."""
HEAD_SUFFIX = ".skops"
HEAD, BACKBONE, EXPORTED = f"head{HEAD_SUFFIX}", "backbone", "model.onnx"
"""Names in an MLflow model's folder: the head's file, the checkpoint folder of a network (the model
itself, or the head's backbone), and a file that `gzfeatures export` wrote, which replaces both."""


def register(
    client: MlflowClient,
    experiment_id: str,
    run: str,
    name: str,
    *,
    head: Path | None = None,
    backbone: Path | None = None,
    wheel: Path,
    description: str = "",
) -> None:
    """Save a head or network as an MLflow model of its run; register it as a new model version.

    Parameters
    ----------
    client, experiment_id, run
        MLflow's client, and the ids of experiment and run.
    name : str
        Name in MLflow's registry of models.
    head : Path, optional
        File written by `Head.write`.
    backbone : Path, optional
        Checkpoint folder. With a head: its backbone, so that the model also reads images. Without
        a head: the network that is the model.
    wheel : Path
        Package file of gzfeatures, which a new environment installs before it loads the model. The
        model's folder gets a copy, or a hard link if both lie on one disk.
    description : str
        Markdown that describes this version.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    from gzfeatures.features.backbones import RECORD, TENSORS
    from gzfeatures.heads.fit import Head

    model = client.create_logged_model(experiment_id, name, run)
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        # MLflow's server reads only the model's own folder, so copy head and network into it
        if head is not None:
            shutil.copy(head, data / HEAD)
        if backbone is not None:
            (data / BACKBONE).mkdir()
            for file in (RECORD, TENSORS):
                shutil.copy(backbone / file, data / BACKBONE / file)
        fitted = Head.read(head) if head else None
        # let MLflow load the model through this Python module (`loader_module`) and not through a
        # pickle file, which could run any code
        pyfunc.save_model(
            f"{folder}/model",
            loader_module=__name__,
            data_path=str(data),
            mlflow_model=Model(run_id=run, model_id=model.model_id),
            signature=signature_of_head(fitted)
            if fitted
            else _signature_of_network(data / BACKBONE),
            pip_requirements=[f"{FOLDER}/{wheel.name}"],
            input_example=example_of(fitted),
        )
        (Path(folder) / "model" / FOLDER).mkdir()
        shutil.copy(wheel, Path(folder) / "model" / FOLDER / wheel.name)
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    # all models contain the same wheel (gzfeatures as a package file): store it once on the disk
    _share(wheel, model.artifact_location)
    client.finalize_logged_model(model.model_id, "READY")
    if not client.search_registered_models(f"name = '{name}'"):
        inputs = "Embeddings or images" if head else "Images"
        client.create_registered_model(name, description=f"{inputs} in, class probabilities out.")
    client.create_model_version(
        name, model.artifact_location, run, model_id=model.model_id, description=description or None
    )


def _share(wheel: Path, model: str) -> None:
    """Replace the wheel (package file) in a model's folder by a hard link to a shared copy."""
    place = urlsplit(model)
    copy = Path(unquote(place.path)) / FOLDER / wheel.name
    if place.scheme not in ("", "file") or not copy.exists():
        return
    # between two disks no hard link is possible: the model then keeps its own copy
    with suppress(OSError):
        link = copy.with_name(f".{copy.name}.part")
        link.unlink(missing_ok=True)
        link.hardlink_to(wheel)
        link.replace(copy)


def example_of(head: Head | None) -> pd.DataFrame:
    """Return one example row as input of an MLflow model, for a head or (None) for a network.

    A head gets embeddings of zeros; a network gets a picture of a round galaxy.
    """
    import pandas as pd

    if head is not None:
        vectors = zip(_columns(head), head.extractors, strict=True)
        numbers = {name: [0.0] for name in head.columns}
        return pd.DataFrame(
            {"galaxy_id": ["example"]}
            | {name: [[0.0] * extractor.dim] for name, extractor in vectors}
            | numbers
        )
    return pd.DataFrame({"galaxy_id": ["example"], "image": [_round_galaxy()]})


def _round_galaxy(side: int = 64) -> bytes:
    """Return the bytes of a PNG picture of a simulated face-on disc galaxy."""
    import io

    import numpy as np
    from PIL import Image

    y, x = np.indices((side, side)) - (side - 1) / 2
    light = 230 * np.exp(-np.hypot(x, y) / (side / 10))
    file = io.BytesIO()
    Image.fromarray(np.repeat(light.astype(np.uint8)[..., None], 3, 2)).save(file, "PNG")
    return file.getvalue()


def signature_of_head(head: Head) -> ModelSignature:
    """Return names and types of the columns that a head's MLflow model reads and returns."""
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import Array

    from gzfeatures.evaluation.prediction_files.columns import number_columns
    from gzfeatures.galaxies.labels.labels import VALUE_TARGETS

    inputs = [ColSpec(DataType.string, "image_sha256", required=False)]
    inputs += [ColSpec(Array(DataType.double), name, required=False) for name in _columns(head)]
    inputs += [ColSpec(DataType.double, name) for name in head.columns]
    promised = _promised(head.target == "classes", head.sets, head.familiarity)
    columns: Sequence[str] = head.classes
    if head.target in VALUE_TARGETS:
        columns = number_columns(head.classes[0], bounds=head.intervals is not None)
    return _signature(inputs, columns, promised)


def _signature_of_network(checkpoint: Path) -> ModelSignature:
    from gzfeatures.evaluation.prediction_files.columns import number_columns
    from gzfeatures.features.backbones import RECORD, classes_of
    from gzfeatures.files import read_sidecar
    from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
    from gzfeatures.networks.inference.output_calibration import calibration_of
    from gzfeatures.networks.setup.number_target import target_of_settings

    calibration = calibration_of(checkpoint)
    target = target_of_settings(read_sidecar(checkpoint / RECORD).get("settings", {}))
    promised = _promised(
        target is not None and target.kind == "classes", calibration.sets, calibration.familiarity
    )
    columns: Sequence[str] = classes_of(checkpoint)
    if target is not None and target.kind in VALUE_TARGETS:
        columns = number_columns(columns[0], bounds=calibration.intervals is not None)
    return _signature([], columns, promised)


def _promised(one_class: bool, sets: object | None, familiarity: object | None) -> dict[str, str]:
    """Return name → type of the columns that a model returns beside the class probabilities.

    They are the columns that `gzfeatures predict` writes; MLflow's server needs them in advance.
    """
    columns = {} if familiarity is None else {FAMILIARITY: "double"}
    columns |= {PREDICTED: "string"} if one_class else {}
    return columns | ({} if sets is None else dict.fromkeys(SETS, "string"))


def _signature(
    more: Sequence[ColSpec], classes: Sequence[str], promised: Mapping[str, str]
) -> ModelSignature:
    """Return names and types of the columns that an MLflow model reads and returns."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "galaxy_id", required=False)]
    inputs += [ColSpec(DataType.binary, "image", required=False), *more]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "galaxy_id")]
    outputs += [ColSpec(DataType.double, name) for name in classes]
    outputs += [ColSpec(DataType[kind], name) for name, kind in promised.items()]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _columns(head: Head) -> tuple[str, ...]:
    """Return the names of a model's input columns for embeddings: `embedding`, `embedding_2`, …."""
    return ("embedding", *(f"embedding_{number}" for number in range(2, len(head.extractors) + 1)))


class _Network:
    """Predict from a table of images with a network that was trained end to end."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the class probabilities of each image in a table.

        Parameters
        ----------
        frame : DataFrame
            Columns `image` (bytes of image files) and `galaxy_id`; without `galaxy_id`, rows are
            numbered from 0.

        Raises
        ------
        InputError
            The table has no column `image`, or an image cannot be read.
        """
        from gzfeatures.networks.inference.probabilities import classify

        if "image" not in frame:
            raise InputError(
                "nothing to predict from",
                rule="have a column image",
                found=", ".join(map(str, frame.columns)),
            )
        with _images(frame["image"]) as images:
            predictions = classify(images, self._checkpoint, progress=False)
        return _answer(_ids(frame), predictions)


class _Model:
    """Predict from a table of embeddings or images with a head."""

    def __init__(self, head: Head, backbone: Path | None) -> None:
        self._head, self._backbone = head, backbone

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the class probabilities of each row of a table.

        Parameters
        ----------
        frame : DataFrame
            Columns `embedding` (one vector a row; also `embedding_2`, … if the head reads vectors
            of several backbones) or `image` (bytes of image files); the catalog columns that the
            head reads, if any; and `galaxy_id`, without which rows are numbered from 0.

        Raises
        ------
        InputError
            The table has neither embeddings nor images, or vectors of a length that the head does
            not read.
        """
        import numpy as np
        import pandas as pd

        from gzfeatures.galaxies.catalogs.catalog import Catalog

        names, ids = _columns(self._head), _ids(frame)
        # use given embeddings directly; from images, compute embeddings with the same network,
        # layer and crop as those on which the head was fitted
        if set(names) <= set(frame):
            tables = [
                _table(ids, frame[n], e) for n, e in zip(names, self._head.extractors, strict=True)
            ]
        elif "image" in frame:
            tables = [
                self._extract(ids, list(frame["image"]), extractor)
                for extractor in self._head.extractors
            ]
        else:
            raise InputError(
                "nothing to predict from",
                rule=f"have columns {', '.join(names)}, or image",
                found=", ".join(map(str, frame.columns)),
            )
        columns = {name: np.asarray(frame[name], dtype=np.float64) for name in self._head.columns}
        catalog = Catalog(pd.DataFrame({"galaxy_id": ids} | columns)) if columns else None
        return _answer(ids, self._head.predict(tables, catalog))

    def _extract(self, ids: Ids, images: Iterable[bytes], extractor: Extractor) -> EmbeddingTable:
        from gzfeatures.features.store import Store
        from gzfeatures.networks.extraction.extract import compute_table
        from gzfeatures.networks.extraction.spec import Extraction
        from gzfeatures.portable.portable_head import PortableHead

        # keep the embeddings in a temporary folder: the user's own store would grow with every
        # request to a server
        with _images(images) as chosen, TemporaryDirectory() as folder:
            store = Store(Path(folder))
            if isinstance(self._head, PortableHead) and self._head.source == "pixels":
                return dataclasses.replace(self._head.table_of(chosen, store), ids=ids)
            again = Extraction.repeating(extractor, store=store, backbone=self._backbone)
            table = compute_table(chosen, again)
        return dataclasses.replace(table, ids=ids)


def _ids(frame: pd.DataFrame) -> Ids:
    from gzfeatures.ids import as_ids

    return as_ids(frame["galaxy_id"] if "galaxy_id" in frame else range(len(frame)))


def _answer(ids: Ids, predictions: Predictions) -> pd.DataFrame:
    """Return a pandas table: galaxy ids, predictions, conformal class sets and familiarity.

    Familiarity is a p value, which is small for a galaxy unlike the training galaxies.
    """
    import pandas as pd

    columns = dict(zip(predictions.classes, predictions.probabilities.T, strict=True))
    if predictions.is_value:
        columns = predictions.number_columns
    if predictions.familiarity is not None:
        columns[FAMILIARITY] = predictions.familiarity
    if predictions.kind == "classes":
        columns[PREDICTED] = predictions.names
    if predictions.class_sets is not None:
        # return the column `empty_because` even if no class set is empty: the model's signature
        # promises this column together with `class_set`
        columns |= dict(zip(SETS, (predictions.class_sets, predictions.empty_because), strict=True))
    return pd.DataFrame({"galaxy_id": ids} | columns)


@contextmanager
def _images(files: Iterable[bytes]) -> Iterator[ImageSet]:
    """Write bytes of image files to a temporary folder; yield them as an ImageSet."""
    import numpy as np

    from gzfeatures.images.image_set import ImageSet

    with TemporaryDirectory() as folder:
        rows = []
        for row, data in enumerate(files):
            (Path(folder) / f"{row}.jpg").write_bytes(data)
            rows.append(str(row))
        yield ImageSet.of(folder, np.array(rows, dtype=object))


def _table(ids: Ids, vectors: pd.Series, extractor: Extractor) -> EmbeddingTable:
    import numpy as np

    from gzfeatures.features.table import EmbeddingTable

    matrix = np.stack([np.asarray(vector, dtype=np.float32) for vector in vectors])
    return EmbeddingTable(ids, np.full(len(ids), "", dtype=object), matrix, extractor)


def _load_pyfunc(path: str) -> _Model | _Network:
    """Load a head or network from an MLflow model's folder, without pickle; MLflow calls this."""
    from gzfeatures.heads.fit import Head

    head, backbone = Path(path) / HEAD, Path(path) / BACKBONE
    if (exported := Path(path) / EXPORTED).exists():
        from gzfeatures.portable.portable_head import PortableHead

        return _Model(PortableHead.open(exported), None)
    return (
        _Model(Head.read(head), backbone if backbone.is_dir() else None)
        if head.exists()
        else _Network(backbone)
    )
