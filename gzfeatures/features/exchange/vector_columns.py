"""Find the galaxy ids and the vectors among the columns of another program's file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gzfeatures.errors import InputError, parsing
from gzfeatures.features.matrices import Matrix
from gzfeatures.ids import Ids, as_ids, require_unique
from gzfeatures.tablefiles.raw_table import plain_column, storage
from gzfeatures.tablefiles.tables import ID_COLUMNS

Column: TypeAlias = pa.ChunkedArray | npt.NDArray[Any]
"""A column of single cells or of lists (Arrow), or an array of shape (n, dim)."""

FEWEST = 3
"""Fewest numbers of an embedding; two numbers per galaxy are a place on a map."""
_NUMBERED = re.compile(r"(.*?)_?(\d+)")
"""Name of one of many columns that together hold a vector: feat_0, feat_1, …"""


@dataclasses.dataclass(frozen=True, eq=False)
class ForeignVectors:
    """Hold galaxy ids and vectors from a file that another program wrote.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    matrix : ndarray of float32
        Shape (n, dim); rows may hold NaN.
    column : str
        Column or array that holds the vectors, with a star for many columns: feat_*.
    """

    ids: Ids
    matrix: Matrix
    column: str


def foreign_vectors(
    columns: Mapping[str, Column],
    path: Path,
    id_column: str | None = None,
    vector: str | None = None,
    ids: Ids | None = None,
) -> ForeignVectors:
    """Return the galaxy ids and vectors among the columns of another program's file.

    Parameters
    ----------
    columns : mapping of str to column
        Columns by name, all of the same length.
    path : Path
        The file, named in error messages.
    id_column, vector : str, optional
        Names of the columns of ids and vectors; by default recognised from names and types.
        `feat_*` are the columns feat_0, feat_1, …
    ids : Ids, optional
        Ids of the rows, where the file has none.

    Raises
    ------
    InputError
        A column is missing or cannot be told from others, an id is missing or repeated, vectors
        differ in length, or have so few numbers that they are positions on a map.
    """
    name, members = _vector_column(columns, path, vector)
    if ids is None:
        key = _id_column(columns, path, id_column, members)
        where = f"{path}, column {key}"
        column = columns[key]
        ids = as_ids(plain_column(_arrow(column), True, where), where=where)
    require_unique(ids, where=path)
    matrix = (
        _side_by_side([columns[each] for each in members], name, path)
        if len(members) > 1 or name.endswith("*")
        else _matrix(columns[name], f"{path}, column {name}", ids)
    )
    if len(matrix) != len(ids):
        raise InputError(
            "vectors and ids", where=path, rule=f"be {len(ids)} each", found=len(matrix)
        )
    if matrix.shape[1] < FEWEST:
        raise InputError(
            f"vectors of {matrix.shape[1]} numbers are places on a map (UMAP), no embeddings",
            where=f"{path}, column {name}",
            rule=f"have at least {FEWEST} numbers",
            remedy="name the column of the embeddings with --vector",
        )
    return ForeignVectors(ids, matrix, name)


def _arrow(column: Column) -> pa.ChunkedArray:
    """Return a column of single values as an Arrow array; fixed-width bytes become text."""
    if isinstance(column, np.ndarray):
        return pa.chunked_array(
            [pa.array(column.tolist() if column.dtype.kind in "SO" else column)]
        )
    return column


def _id_column(
    columns: Mapping[str, Column], path: Path, wanted: str | None, taken: Sequence[str]
) -> str:
    """Return the name of the id column: the requested one, or the first with a usual name."""
    names = [name for name in columns if name not in taken and _is_single(columns[name])]
    if wanted is not None:
        if wanted not in names:
            raise InputError(
                "no such column of ids",
                where=path,
                rule=f"be one of {_listed(names)}",
                found=wanted,
            )
        return wanted
    known = next((name for name in ID_COLUMNS if name in names), None)
    if known is None:
        raise InputError(
            "column of ids is not recognised",
            where=path,
            rule=f"be named, one of {_listed(names)}",
            remedy="give --id COLUMN, or --ids-file FILE if the file has no ids",
        )
    return known


def _vector_column(
    columns: Mapping[str, Column], path: Path, wanted: str | None
) -> tuple[str, list[str]]:
    """Return the vectors' name (feat_*), and the names of their columns (feat_0, feat_1, …)."""
    lists = {name: [name] for name, column in columns.items() if not _is_single(column)}
    families = _families(columns)
    if wanted is not None:
        found = lists.get(wanted) or families.get(wanted)
        if found is None:
            raise InputError(
                "no such vectors",
                where=path,
                rule=f"be one of {_listed([*lists, *families])}",
                found=wanted,
                remedy="a star stands for numbers: feat_* is feat_0, feat_1, …",
            )
        return wanted, found
    # a column of lists surely holds vectors; numbered columns may hold other data, so use them only
    # if the file has no lists
    choices = lists or families
    if len(choices) != 1:
        raise InputError(
            "column of vectors cannot be told" if choices else "file holds no vectors",
            where=path,
            rule="be a column of lists, an array of two axes, or columns such as feat_0, feat_1, …",
            found=_listed(list(choices or columns)),
            remedy="give --vector NAME" if choices else None,
        )
    return next(iter(choices.items()))


def _families(columns: Mapping[str, Column]) -> dict[str, list[str]]:
    """Return groups of numbered columns (feat_0, feat_1, …) by their pattern (feat_*).

    A pattern counts if its numbers run from 0 or 1 without a gap. Its columns are returned in the
    order of these numbers, which may differ from the order in the file.
    """
    found: dict[str, dict[int, str]] = {}
    texts: dict[str, int] = {}
    for name, column in columns.items():
        match = _NUMBERED.fullmatch(name)
        if match is None or not _is_single(column):
            continue
        pattern = name[: match.start(2)] + "*"
        texts[pattern] = texts.get(pattern, 0) + (not _is_number(column))
        # feat_1 and feat_01 both have number 1: store one under −1, so that the numbers do not run
        # from 0 or 1, and the pattern is refused below
        if int(match[2]) in found.setdefault(pattern, {}):
            found[pattern][-1] = name
        found[pattern][int(match[2])] = name
    kept = {}
    for pattern, members in found.items():
        numbers = sorted(members)
        # drop a group of numbered columns (feat_*) if at least half of them are text. Keep a group
        # with less text whole: reading its text raises an error. Without text columns at its end,
        # the vectors would be too short, and nobody would notice
        if 2 * texts[pattern] >= len(numbers):
            continue
        if len(numbers) > 1 and numbers in (
            list(range(len(numbers))),
            list(range(1, len(numbers) + 1)),
        ):
            kept[pattern] = [members[number] for number in numbers]
    return kept


def _is_single(column: Column) -> bool:
    """Return whether each cell of a column holds a single value, not a list."""
    if isinstance(column, np.ndarray):
        return column.ndim == 1
    return not _is_list(storage(column).type)


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
    )


def _is_number(column: Column) -> bool:
    if isinstance(column, np.ndarray):
        return column.dtype.kind in "iuf"
    kind = storage(column).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _side_by_side(columns: Sequence[Column], name: str, path: Path) -> Matrix:
    """Return vectors whose numbers are in separate columns, shape (n, dim)."""
    matrix = np.empty((len(columns[0]), len(columns)), dtype=np.float32)
    for place, column in enumerate(columns):
        where = f"{path}, columns {name}"
        with parsing(f"number {place + 1} of the vectors cannot be read", where):
            matrix[:, place] = _narrowed(_numbers(_arrow(column)), where)
    return matrix


def _matrix(column: Column, where: str, ids: Ids) -> Matrix:
    """Return vectors from one column of lists, or from one array, as shape (n, dim)."""
    if isinstance(column, np.ndarray):
        # a program may keep the shape of a feature map (channels × height × width) of each galaxy;
        # flatten it to a vector
        return _narrowed(column.reshape(len(column), -1), where)
    column = storage(column)
    if column.null_count:
        raise InputError(
            "vector is missing",
            where=f"{where}, galaxy {ids[column.is_null().to_numpy().argmax()]}",
            rule="have a list of numbers in every row",
        )
    parts = []
    width: int | None = None
    row = 0
    for chunk in column.chunks:
        if not len(chunk):
            continue
        lengths = np.asarray(_lengths(chunk))
        width = int(lengths[0]) if width is None else width
        if (lengths != width).any():
            bad = int(np.argmax(lengths != width))
            raise InputError(
                "vectors differ in length",
                where=f"{where}, galaxy {ids[row + bad]}",
                rule=f"have {width} numbers, as the first",
                found=int(lengths[bad]),
            )
        flat = _numbers(storage(chunk.flatten()))
        parts.append(_narrowed(flat, where).reshape(len(chunk), width))
        row += len(chunk)
    return np.concatenate(parts) if parts else np.empty((0, FEWEST), dtype=np.float32)


def _numbers(column: Any) -> npt.NDArray[Any]:
    """Return the numbers of an Arrow column; a missing number is NaN."""
    # keep whole numbers exact, so that a later check finds those that float32 cannot hold
    if pa.types.is_integer(column.type) and not column.null_count:
        return np.asarray(column.to_numpy())
    return np.asarray(column.cast(pa.float64()).to_numpy())


def _lengths(chunk: pa.Array) -> Any:
    """Return the length of each list in one array (chunk) of an Arrow column, shape (n,)."""
    if pa.types.is_fixed_size_list(chunk.type):
        return np.full(len(chunk), chunk.type.list_size)
    return pc.list_value_length(chunk)


def _narrowed(values: npt.NDArray[Any], where: str) -> npt.NDArray[np.float32]:
    """Return numbers as float32; refuse text, and numbers that float32 cannot hold."""
    if values.dtype.kind not in "iuf":
        raise InputError("vectors", where=where, rule="hold numbers", found=str(values.dtype))
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if values.dtype.kind in "iu" and (narrow != values).any():
        raise InputError(
            "whole number is too large for a vector",
            where=where,
            rule="be exact in single precision (below 2^24)",
            found=int(values.reshape(-1)[np.argmax((narrow != values).reshape(-1))]),
        )
    lost = np.isinf(narrow) & np.isfinite(values)
    if lost.any():
        raise InputError(
            "number is too large for a vector",
            where=where,
            rule="be below 3.4e38",
            found=float(values[lost].reshape(-1)[0]),
        )
    return narrow


def _listed(names: Sequence[str], most: int = 12) -> str:
    """Return names as a list that fits into one line of an error message."""
    rest = f", … ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
