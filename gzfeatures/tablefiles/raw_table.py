"""Convert the Arrow columns of a table file into plain pandas columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gzfeatures import id_text
from gzfeatures.errors import InputError
from gzfeatures.tablefiles import mask_columns

EXACT = 2**53
"""Up to this number, float64 represents every whole number exactly."""


@dataclasses.dataclass
class RawTable:
    """Store the unchanged columns of a table file, their units, and messages on what was left out.

    Parameters
    ----------
    names : list of str
        Column names, in order; a name may repeat.
    columns : list of Arrow arrays
        Columns of one length. A missing value is null.
    notes : list of str
        Messages for the user: which rows and columns of the file were left out.
    units : dict of str to str
        Unit of a column, as the file writes it.
    ucds : dict of str to str
        Meaning of a column in the words of the Virtual Observatory (UCD), as the file writes it.
    """

    names: list[str]
    columns: list[Any]
    notes: list[str] = dataclasses.field(default_factory=list)
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    ucds: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table, notes: Sequence[str] = ()) -> RawTable:
        """Return a RawTable with the columns of an Arrow table."""
        return cls(list(table.column_names), list(table.columns), list(notes))

    def frame(self, id_columns: Collection[str], where: object) -> pd.DataFrame:
        """Return the table as a pandas data frame with plain columns; release the Arrow columns.

        Raises
        ------
        InputError
            Two id columns of one name differ, or an id is not UTF-8.
        """
        self._leave_out_nested()
        self._apply_masks()
        self._tell_names_apart(id_columns, where)
        columns: dict[str, Any] = {}
        integers: dict[str, str] = {}
        # return memory that Arrow has finished with to the system: the pandas columns made below
        # need it
        pa.default_memory_pool().release_unused()
        self.columns.reverse()
        for name in self.names:
            # remove each Arrow column from the list before it is converted, so that its memory is
            # freed at the end of the loop body; otherwise the whole table would be in memory twice
            column = self.columns.pop()
            kind = column.type
            columns[name] = plain_column(column, name in id_columns, f"{where}, column {name}")
            if pa.types.is_integer(kind) and str(columns[name].dtype) == "str":
                integers[name] = str(kind)
            del column
        frame = pd.DataFrame(columns)
        frame.attrs = {
            "notes": list(self.notes),
            "units": dict(self.units),
            "ucds": dict(self.ucds),
            "integers": integers,
        }
        return frame

    def _leave_out_nested(self) -> None:
        self.columns = [storage(column) for column in self.columns]
        nested = [i for i, column in enumerate(self.columns) if _is_nested(column.type)]
        if nested:
            listed = ", ".join(self.names[i] for i in nested)
            self.notes.append(f"nested columns are left out: {listed}")
            self._drop(nested)

    def _apply_masks(self) -> None:
        masks, notes = mask_columns.applied(self.names, self.columns)
        self.notes += notes
        self._drop(masks)

    def _tell_names_apart(self, id_columns: Collection[str], where: object) -> None:
        """Drop repeated columns; rename a different column of the same name: z becomes z.1."""
        first: dict[str, int] = {}
        again: list[int] = []
        for i, name in enumerate(self.names):
            if name not in first:
                first[name] = i
                continue
            if _same(self.columns[first[name]], self.columns[i]):
                self.notes.append(f"column {name} stands twice and is read once")
                again.append(i)
                continue
            if name in id_columns:
                raise InputError(
                    "two id columns have one name and differ",
                    where=where,
                    found=name,
                    remedy="rename one of them",
                )
            number = 1
            while f"{name}.{number}" in self.names:
                number += 1
            self.names[i] = f"{name}.{number}"
            first[self.names[i]] = i
            self.notes.append(
                f"two columns are called {name}: the second is read as {self.names[i]}"
            )
        self._drop(again)

    def _drop(self, places: Collection[int]) -> None:
        gone = set(places)
        self.names = [name for i, name in enumerate(self.names) if i not in gone]
        self.columns = [column for i, column in enumerate(self.columns) if i not in gone]


def _is_nested(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is a list, struct, map, union or calendar interval."""
    return bool(pa.types.is_nested(kind) or pa.types.is_interval(kind) or pa.types.is_union(kind))


def _same(one: Any, other: Any) -> bool:
    if one.type != other.type:
        return False
    alike = pc.all(pc.equal(one, other), skip_nulls=True).as_py() is not False
    return alike and bool(pc.all(pc.equal(pc.is_null(one), pc.is_null(other))).as_py() is not False)


def storage(column: Any) -> pa.ChunkedArray:
    """Return an Arrow column decoded from dictionary, run-length encoding or extension type."""
    if isinstance(column, pa.Array):
        column = pa.chunked_array([column], type=column.type)
    kind = column.type
    if isinstance(kind, pa.UuidType):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    if isinstance(kind, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, type=kind.storage_type)
        return storage(column.cast(pa.bool_()) if isinstance(kind, pa.Bool8Type) else column)
    if pa.types.is_run_end_encoded(kind):
        return storage(
            pa.chunked_array(
                [pc.run_end_decode(chunk) for chunk in column.chunks], type=kind.value_type
            )
        )
    if pa.types.is_dictionary(kind):
        if not (
            pa.types.is_string_view(kind.value_type) or pa.types.is_binary_view(kind.value_type)
        ):
            return storage(column.cast(kind.value_type))
        # an Arrow dictionary stores each distinct text once. If its texts are string views (polars'
        # Categorical), Arrow cannot decode it: convert these texts to ordinary strings first
        words = pa.large_string() if pa.types.is_string_view(kind.value_type) else pa.large_binary()
        return pa.chunked_array(
            [chunk.dictionary.cast(words).take(chunk.indices) for chunk in column.chunks], words
        )
    return column


def plain_column(column: Any, is_id: bool, where: object) -> Any:
    """Convert one Arrow column to text, int64, uint64, Int64, float64, bool or boolean.

    Raises
    ------
    InputError
        An id is not UTF-8.
    """
    column = storage(column)
    kind = column.type
    if pa.types.is_null(kind):
        return _text(column.cast(pa.large_string())) if is_id else np.full(len(column), np.nan)
    if pa.types.is_decimal(kind):
        return _decimal_number(column, is_id)
    if pa.types.is_boolean(kind):
        return _flags(column)
    if pa.types.is_duration(kind):
        column, kind = column.cast(pa.int64()), pa.int64()
    if pa.types.is_integer(kind):
        return _integer_id(column.cast(pa.large_string())) if is_id else _whole(column)
    if pa.types.is_floating(kind):
        if is_id and (shorter := _rounded(column)) is not None:
            return shorter
        numbers = _numbers(column)
        texts = id_text.of_floats(numbers) if is_id else None
        return numbers if texts is None else _text(texts)
    texts = _texts(column, is_id, where)
    return _id(id_text.cleaned(texts)) if is_id else _text(texts)


def _id(texts: Any) -> Any:
    """Return galaxy ids as text; or as floats, which `as_ids` refuses, if the file lost digits."""
    exact = id_text.exact(texts)
    return exact if isinstance(exact, np.ndarray) else _text(exact)


def _integer_id(texts: Any) -> Any:
    """Return integer galaxy ids as text; or as floats, if a spreadsheet rounded them.

    The function `as_ids`, which is called later, refuses such floats.
    """
    # `may_be_rounded` reads the first ids only: if one of them has digits that a spreadsheet would
    # have rounded to 0, the slow search through all ids (`_id`) is not needed
    return _id(texts) if id_text.may_be_rounded(texts) else _text(texts)


def _text(column: Any) -> Any:
    texts = column.cast(pa.large_string())
    return texts.to_pandas(types_mapper={pa.large_string(): pd.StringDtype(na_value=np.nan)}.get)


def _flags(column: pa.ChunkedArray) -> Any:
    if column.null_count == 0:
        return column.to_numpy()
    values = pc.fill_null(column, False).to_numpy()
    return pd.arrays.BooleanArray(values.copy(), column.is_null().to_numpy().copy())


def _whole(column: pa.ChunkedArray) -> Any:
    large = pa.types.is_uint64(column.type) and (pc.max(column).as_py() or 0) >= 2**63
    if not large:
        column = column.cast(pa.int64())
    if column.null_count == 0:
        return column.to_numpy()
    ends = pc.min_max(column)
    if any(abs(ends[end].as_py() or 0) > EXACT for end in ("min", "max")):
        # a column with gaps and integers above 2^53 becomes text, because a later conversion of
        # Int64 to float64 would lose the last digits
        return _text(column)
    values = pc.fill_null(column, 0).to_numpy()
    return pd.arrays.IntegerArray(values.copy(), column.is_null().to_numpy().copy())


def _decimal_number(column: pa.ChunkedArray, is_id: bool) -> Any:
    """Convert decimal numbers: whole numbers to integers, other numbers to the nearest float64."""
    texts = column.cast(pa.string())
    if column.type.scale > 0:
        # the id 100521.00 becomes 100521; a column of ids with other decimals becomes float64
        whole = pc.replace_substring_regex(texts, r"^([+-]?[0-9]+)\.0+$", r"\1")
        fractional = pc.any(pc.match_substring(whole, ".")).as_py()
        if fractional or not is_id:
            return texts.cast(pa.float64()).to_numpy()
        texts = whole
    if is_id:
        return _id(texts)
    for kind in (pa.int64(), pa.uint64()):
        try:
            return _whole(texts.cast(kind))
        except pa.ArrowInvalid:
            continue
    return _text(texts)  # a number exceeds 64 bits: keep the digits as text


def _rounded(column: pa.ChunkedArray) -> npt.NDArray[np.floating] | None:
    """Return the floats of a float32 or float16 id column if an id is too large to be exact, or
    None."""
    limit = {pa.float32(): 2**24, pa.float16(): 2**11}.get(column.type)
    if limit is None:
        return None
    values = np.concatenate(
        [np.empty(0, np.float16), *(np.asarray(chunk) for chunk in column.chunks)]
    )
    return values if (np.abs(values) >= limit).any() else None


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Convert floats to float64: 0.469 in single precision becomes 0.469, not 0.46900001."""
    if pa.types.is_float64(column.type):
        return np.asarray(column.to_numpy())
    if pa.types.is_float16(column.type):
        halves = np.concatenate(
            [np.empty(0, np.float16), *(_halves(chunk) for chunk in column.chunks)]
        )
        distinct, codes = np.unique(halves.view(np.uint16), return_inverse=True)
        return np.array([float(str(half)) for half in distinct.view(np.float16)], np.float64)[codes]
    return np.asarray(column.cast(pa.string()).cast(pa.float64()).to_numpy())


def _halves(chunk: Any) -> npt.NDArray[np.float16]:
    return np.asarray(chunk.to_numpy(zero_copy_only=False), dtype=np.float16)


def _texts(column: pa.ChunkedArray, is_id: bool, where: object) -> pa.ChunkedArray:
    """Convert a column that contains no numbers to text: strings, UTF-8 bytes or ISO 8601 dates."""
    kind = column.type
    are_bytes = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    )
    if not any(is_kind(kind) for is_kind in are_bytes):
        return column.cast(pa.large_string())
    raw = column.cast(pa.large_binary())
    try:
        texts = raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        if is_id:
            row = next(
                i
                for i, value in enumerate(raw.to_pylist())
                if value is not None and not _is_utf8(value)
            )
            raise InputError(
                "not a text in UTF-8",
                where=f"{where}, row {row}",
                found=raw[row].as_py(),
                remedy="rename it",
            ) from None
        decoded = [
            None if value is None else value.decode("utf-8", "replace") for value in raw.to_pylist()
        ]
        texts = pa.chunked_array([pa.array(decoded, pa.large_string())])
    return pc.utf8_rtrim(texts, " \0")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
