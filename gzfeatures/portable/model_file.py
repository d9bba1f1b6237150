"""Write metadata into an exported ONNX file; check such a file before it is used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from gzfeatures import __version__
from gzfeatures.errors import InputError, need, parsing, require_format
from gzfeatures.networks.encoders.onnx_files import nodes_of, read_model

FORMAT = 1
"""Format version of exported ONNX files; increase it if older code would misread new files."""
KEY, CARD = "gzfeatures", "model_card"
"""Names of two metadata texts in the file: JSON that gzfeatures reads, and the model card."""
LARGEST = 2**31 - 2**20
"""Largest size of a model in bytes: an ONNX file must be smaller than 2 GB."""
UNBOUNDED = ("Loop", "Scan", "If", "SequenceMap", "Optional", "StringNormalizer")
"""Operators that are refused: they may run without end, or contain operators that do."""
MOST_NUMBERS = 2**28
"""Largest allowed number of values in a tensor for one galaxy: more would fill the memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFile:
    """Store the content of an exported ONNX file that has passed all checks.

    Parameters
    ----------
    path : Path
        The file.
    model : ModelProto
        ONNX model in the file.
    record : dict
        Facts about the head, such as its classes (see `Head.record`).
    source : {"pixels", "vectors"}
        Input of the model: pixels, or embeddings.
    """

    path: Path
    model: Any
    record: dict[str, Any]
    source: str


def with_metadata(model: Any, fields: dict[str, Any], summary: str) -> Any:
    """Return an ONNX model with metadata, model card and sha256 added.

    Raises
    ------
    InputError
        The model is larger than 2 GB, the limit of ONNX files.
    """
    onnx = need("onnx", extra="onnx")
    size = sum(len(each.raw_data) for each in model.graph.initializer)
    if size > LARGEST:
        raise InputError(
            "model does not fit into one ONNX file",
            rule="hold less than 2 GB of numbers",
            found=f"{size / 1e9:.2f} GB",
            remedy="export the head alone: --from vectors",
        )
    model.producer_name, model.producer_version = "gzfeatures", __version__
    record = {"format": FORMAT, "digest": _digest(model), **fields}
    onnx.helper.set_model_props(model, {KEY: json.dumps(record), CARD: summary})
    return model


def read_model_file(path: str | Path) -> ModelFile:
    """Read an exported ONNX file; refuse a file that `gzfeatures export` did not write.

    Raises
    ------
    MissingExtraError, MissingFileError, InputError
        onnx is not installed; the file does not exist, was written by another program, was changed,
        or has a newer format; or it has external data, operators of `UNBOUNDED` (such as loops),
        random numbers, functions, or tensors that would fill the memory.
    """
    file, model, outside = read_model(path)
    if outside:
        raise InputError("exported file has external data", where=file, rule="hold all by itself")
    with parsing("exported file cannot be read", file):
        record = _record(model, file)
        require_format("exported file", record["format"], FORMAT, file)
        if record["digest"] != _digest(model):
            raise InputError(
                "exported file is damaged", where=file, rule="hold the graph that was written"
            )
        _require_bounded(model, file)
        source = record["source"]
        names = [each.name for each in model.graph.input]
        if source not in ("pixels", "vectors") or names != [source]:
            raise InputError("inputs of the exported file", where=file, found=names)
        return ModelFile(file, model, record["head"], source)


def _record(model: Any, file: Path) -> dict[str, Any]:
    texts = [each.value for each in model.metadata_props if each.key == KEY]
    record = json.loads(texts[0]) if len(texts) == 1 else None
    if not isinstance(record, dict):
        raise InputError(
            "ONNX file is no exported head",
            where=file,
            rule="be written by 'gzfeatures export'",
            remedy="an encoder of others is a backbone: gzfeatures extract --backbone onnx:FILE",
        )
    return record


def _digest(model: Any) -> str:
    """Return the sha256 of an ONNX graph; it changes if any weight or operator changes."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _require_bounded(model: Any, file: Path) -> None:
    """Refuse an ONNX model with loops, branches, random numbers or too large tensors."""
    for node in nodes_of(model):
        if node.op_type in UNBOUNDED or node.op_type.startswith("Random") or model.functions:
            raise InputError(
                "operator of an exported file is refused", where=file, found=node.op_type
            )
    onnx = need("onnx", extra="onnx")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        # a dimension without a fixed length counts galaxies: compute the size for one galaxy
        sides = [max(side.dim_value, 1) for side in value.type.tensor_type.shape.dim]
        if math.prod(sides) > MOST_NUMBERS:
            raise InputError(
                "tensor of an exported file is too large",
                where=file,
                rule=f"hold {MOST_NUMBERS} numbers at most for a galaxy",
                found=f"{value.name}: {sides}",
            )
