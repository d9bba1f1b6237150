"""Check a head file for unknown types and damaged arrays, before any object in it is built."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer

from gzfeatures.errors import InputError
from gzfeatures.heads.estimators._compat_sklearn import OPTIMIZERS

_OURS = {
    "estimators.calibrated": ("Calibrated",),
    "estimators.machines": (
        "LinearMachine",
        "Prototype",
        "RbfMachine",
        "RbfRegression",
        "RidgeRegression",
    ),
    "estimators.build": ("Answers", "Ensemble", "Flags", "Neighbours", "Perceptron"),
    "estimators.numbers": ("NumberRegression",),
    "estimators.transforms": ("Compress", "Fill", "Standardise"),
    "trees": ("BoostedTrees",),
}
_MODULES = {
    "calibrated": "calibrated",
    "machines": "machines",
    "pipelines": "build",
    "transforms": "transforms",
}
_CLASSES = {"Network": "Perceptron"}
TRUSTED = (
    *(f"gzfeatures.heads.{module}.{name}" for module, names in _OURS.items() for name in names),
    *OPTIMIZERS,
)
"""Types of gzfeatures that skops may build from a head file."""
OBJECTS = (
    *TRUSTED,
    *(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in (PCA, LinearDiscriminantAnalysis, Ridge, Pipeline)
    ),
    f"{LabelBinarizer.__module__}.{LabelBinarizer.__qualname__}",
)
"""All types that a head file may contain; of scikit-learn, only types that predict in numpy."""
LOADERS = {
    "ObjectNode": OBJECTS,
    "DictNode": ("builtins.dict",),
    "ListNode": ("builtins.list",),
    "TupleNode": ("builtins.tuple",),
    "JsonNode": ("builtins.str",),
    "TypeNode": ("builtins.str", "builtins.int", "builtins.float"),
    "NdArrayNode": (
        "numpy.ndarray",
        "numpy.float32",
        "numpy.float64",
        "numpy.int64",
        "numpy.int32",
        "numpy.bool",
    ),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
}
"""Loaders of skops, with the types that each may build."""
ALLOWED = tuple(sorted({kind for kinds in LOADERS.values() for kind in kinds}))
"""All types that skops may build for a head, by any loader."""
SCHEMA, DEEPEST, MOST = "schema.json", 100, 2**26
"""Member of a head file that lists its objects; largest depth and size (bytes) of this list."""


def renewed(path: Path) -> bytes | None:
    """Return a head file's bytes with current names of Python classes; None if none is outdated.

    Parameters
    ----------
    path : Path
        A file that `check_members` accepted.

    Returns
    -------
    bytes, optional
        The file's bytes with today's names; None if the file has these already.
    """
    changed = False
    with zipfile.ZipFile(path) as archive:
        structure = json.loads(archive.read(SCHEMA))
        for node in _nodes(structure, 0):
            module, name = _current(node)
            if (module, name) != (node.get("__module__"), node.get("__class__")):
                node.update({"__module__": module, "__class__": name})
                changed = True
        if not changed:
            return None
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as copy:
            for member in archive.namelist():
                copy.writestr(
                    member, json.dumps(structure) if member == SCHEMA else archive.read(member)
                )
    return data.getvalue()


def _current(node: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return today's module and class name of a type named in a head file."""
    module, name = node.get("__module__"), node.get("__class__")
    folder, _, old = str(module).rpartition(".")
    if folder != "gzfeatures.heads" or old not in _MODULES:
        return module, name
    return f"gzfeatures.heads.estimators.{_MODULES[old]}", _CLASSES.get(str(name), name)


def check_members(path: Path) -> None:
    """Refuse a head file with an unknown type, or an array of another size than its header says.

    Raises
    ------
    InputError
        A member of the zip file is compressed (no member of a head is, so a small file cannot
        unpack to a huge one); the structure is too large or too deep; a part has a type that no
        head has; an array contains objects, or has another size than its header says.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            # refuse compressed data: a small file could decompress to more than fits in memory
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > path.stat().st_size:
                raise InputError(
                    "member of the head is compressed", where=path, found=member.filename
                )
            if member.filename == SCHEMA and member.file_size > MOST:
                raise InputError(
                    "structure of the head is too large",
                    where=path,
                    rule=f"have {MOST} bytes at most",
                )
        for node in _nodes(json.loads(archive.read(SCHEMA)), 0):
            _check_node(node, path)
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                _check_array(archive, member, path)


def _nodes(value: Any, level: int) -> Iterator[dict[str, Any]]:
    """Yield each part of a head file's nested JSON structure that names a type."""
    # too many levels would overflow Python's stack
    if level > DEEPEST:
        raise InputError("structure of the head is too deep", rule=f"have {DEEPEST} levels at most")
    if isinstance(value, dict):
        if "__loader__" in value or "__class__" in value:
            yield value
        for part in value.values():
            yield from _nodes(part, level + 1)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part, level + 1)


def _check_node(node: Mapping[str, Any], path: Path) -> None:
    module, name = _current(node)
    kind, loader = f"{module}.{name}", node.get("__loader__")
    if not isinstance(loader, str) or kind not in LOADERS.get(loader, ()):
        older = "xgboost." in kind
        raise InputError(
            "head holds trees of XGBoost itself, as earlier versions wrote them"
            if older
            else "file holds types that no head has",
            where=path,
            rule="be written by this package",
            found=f"{kind} ({loader})",
            remedy="fit it again" if older else "do not open it: it may be malicious",
        )


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Refuse an array whose header claims another size than the file has."""
    with archive.open(member) as file:
        # read only the header: a false size must not allocate memory
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        claimed, stored = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if dtype.kind not in "biufU" or min(shape, default=0) < 0 or claimed != stored:
        raise InputError(
            "array of the head is damaged",
            where=path,
            rule="hold numbers that fill its member",
            found=f"{member.filename}: {dtype} {shape}, {stored} bytes",
        )
