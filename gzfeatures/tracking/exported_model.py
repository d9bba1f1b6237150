"""Save an exported head (an ONNX file) as an MLflow model that predicts from images or vectors."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from gzfeatures.errors import OutputError
from gzfeatures.tracking import models
from gzfeatures.tracking.connection import KNOWN_WARNINGS
from gzfeatures.tracking.wheel import FOLDER, write_wheel


def save_exported(file: str | Path, folder: str | Path) -> Path:
    """Write an MLflow model from a head exported as an ONNX file; return the model's folder.

    The model crops and resizes images itself, like `predict`. If the ONNX file reads vectors, the
    model also reads images, provided that the file names the backbone.

    Parameters
    ----------
    file : str or Path
        ONNX file of the exported head; the model gets a copy.
    folder : str or Path
        Folder to make; it must not exist.

    Raises
    ------
    MissingExtraError, MissingFileError, InputError
        As `PortableHead.open`.
    OutputError
        The folder exists.

    Examples
    --------
    >>> save_exported("model.onnx", "served/")  # doctest: +SKIP
    """
    from gzfeatures.portable.portable_head import PortableHead

    head, place = PortableHead.open(file), Path(folder)
    if place.exists():
        raise OutputError("folder of the MLflow model", where=place, rule="not exist")
    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        for message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message)
        from mlflow import pyfunc

        data = Path(scratch) / "data"
        data.mkdir()
        shutil.copy(head.file, data / models.EXPORTED)
        wheel = write_wheel(Path(scratch))
        # let MLflow load the model through a Python module (`loader_module`) and not through a
        # pickle file, which could run any code
        pyfunc.save_model(
            str(place),
            loader_module=models.__name__,
            data_path=str(data),
            signature=models.signature_of_head(head),
            pip_requirements=[f"{FOLDER}/{wheel.name}", "onnx", "onnxruntime"],
            input_example=models.example_of(head),
        )
        (place / FOLDER).mkdir()
        shutil.copy(wheel, place / FOLDER / wheel.name)
    return place
