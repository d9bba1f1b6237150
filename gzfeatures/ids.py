"""Convert galaxy ids to unique texts, check them, and match rows of two tables by them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import id_text
from gzfeatures.errors import InputError
from gzfeatures.id_text import LOST

Ids: TypeAlias = npt.NDArray[np.object_]
"""One-dimensional object array of `str`."""
REMEDY = (
    "name another id column with --id OTHER, match on the sky, "
    "or fetch the ids as text or 64-bit integers"
)
"""Remedy in error messages about a file that lost the digits of its ids."""
_EXACT = {2: 2.0**11, 4: 2.0**24, 8: 2.0**53, 16: 2.0**53}
"""Smallest number that represents several integers, by a float's size in bytes."""
SURROGATE = re.compile("[\ud800-\udfff]")


def as_ids(
    values: Iterable[Any] | pd.Series,
    *,
    where: object = "ids",
    rows: npt.NDArray[np.intp] | None = None,
    remedy: str = REMEDY,
) -> Ids:
    """Convert galaxy ids of any type to strings; 64-bit integers keep every digit.

    Parameters
    ----------
    values : iterable
        Strings, integers, fixed-width byte strings (right padding is dropped), or whole floats
        below 2**53 (in an array of float32 below 2**24, of float16 below 2**11).
    where : object
        File or column to name in the error.
    rows : array of int, optional
        Row number of each id in its file, shape (n,), for the error; by default the position in
        `values`.
    remedy : str
        Advice in the error about lost digits: how to choose a different id column in this type of
        file.

    Returns
    -------
    Ids
        Shape (n,), in the given order.

    Raises
    ------
    InputError
        An id is missing (NaN, None, NaT, masked, empty), is not UTF-8, or is a float that may have
        lost digits.
    """
    array = _array(values)
    _require_present(np.asarray(pd.isna(array)), where, rows)
    mixed = _is_mixed(array)
    array = _decoded(array, mixed)
    floats = _floats(array, mixed)
    if floats.any():
        numbers = array[floats]
        # a float represents an id safely only if it can also represent the next integer
        exact = _EXACT[8 if array.dtype == object else array.dtype.itemsize]
        numbers = numbers.astype(np.float64)
        bad = ~np.isfinite(numbers) | (numbers != np.trunc(numbers)) | (np.abs(numbers) >= exact)
        if bad.any():
            places = np.flatnonzero(floats)[bad]
            raise InputError(
                "id is not a whole number or is too large for a float",
                where=f"{where}, row {places[0] if rows is None else rows[places[0]]}",
                rule="be text or an integer",
                found=float(numbers[np.argmax(bad)]),
                remedy=remedy,
            )
        array = array.astype(object)
        array[floats] = numbers.astype(np.int64)
    ids = array.astype(str).astype(object)
    # most programs write a missing id as an empty text
    _require_present(ids == "", where, rows)
    require_text(ids, where=where)
    _require_digits(ids, where, rows, remedy)
    return ids


def _array(values: Iterable[Any] | pd.Series) -> npt.NDArray[Any]:
    """Return galaxy ids as an array, shape (n,); what is masked or missing is None or NaN.

    A list with numbers and other values keeps each value: numpy would write NaN as the text `nan`.
    """
    if isinstance(values, (pd.Series, pd.Index)):
        return values.to_numpy()
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        present = np.asarray(values.data).astype(object)
        present[np.ma.getmaskarray(values)] = None
        return present
    if isinstance(values, np.ndarray) and values.ndim:
        return np.asarray(values)
    listed = [None if value is np.ma.masked else value for value in values]
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _is_mixed(array: npt.NDArray[Any]) -> bool:
    """Return whether ids are objects of several types, or of others than text and integer."""
    # pandas finds the type of objects fast, so that texts are not looked at one by one
    return array.dtype == object and pd.api.types.infer_dtype(array) not in ("string", "integer")


def _decoded(array: npt.NDArray[Any], mixed: bool) -> npt.NDArray[Any]:
    """Return ids with bytes as text; FITS tables store ids as padded bytes.

    `surrogateescape` marks bytes that are not UTF-8, so that `require_text` refuses them.
    """
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "surrogateescape")
    if mixed:
        array = array.copy()
        for row, value in enumerate(array):
            if isinstance(value, bytes):
                array[row] = value.decode("utf-8", "surrogateescape")
    return array


def _floats(array: npt.NDArray[Any], mixed: bool) -> npt.NDArray[np.bool_]:
    """Return which ids are floats, shape (n,), also in an array of objects."""
    if not mixed:
        return np.full(len(array), array.dtype.kind == "f")
    return np.array([isinstance(value, (float, np.floating)) for value in array], dtype=bool)


def _require_present(
    missing: npt.NDArray[np.bool_], where: object, rows: npt.NDArray[np.intp] | None
) -> None:
    """Refuse a missing id; name its row as counted in the file."""
    if missing.any():
        row = int(np.argmax(missing) if rows is None else rows[np.argmax(missing)])
        raise InputError("id is missing", where=f"{where}, row {row}", rule="not be empty")


def as_keys(values: pd.Series, *, where: object = "keys") -> Ids:
    """Convert a column to texts, shape (n,), to match rows of two tables by them; NaN if missing.

    Whole floats below 2^53 become integers: 100521.0 matches 100521. Blanks around a key and a
    spreadsheet's quotes are removed; words such as `NA` mean a missing key. Two missing keys are
    not equal: the caller must leave them out of a match.

    Parameters
    ----------
    values : Series
        A column as `tables.read_table` returns it.
    where : object
        File or column to name in the error.

    Raises
    ------
    InputError
        A key is a float that may have lost digits, or is not a whole number, or is not UTF-8.
    """
    # clean texts: a column that was not read as galaxy ids may contain blanks, quotes and words
    # such as "null"
    if values.dtype.kind not in "iufb":
        import pyarrow as pa

        texts = id_text.exact(
            id_text.cleaned(pa.array(values.astype(object), pa.large_string(), from_pandas=True))
        )
        values = pd.Series(
            texts if isinstance(texts, np.ndarray) else texts.to_pandas().astype(object)
        )
    keys = np.full(len(values), np.nan, dtype=object)
    present = values.notna().to_numpy() & (values != "").fillna(False).to_numpy(bool)
    keys[present] = as_ids(values[present], where=where, rows=np.flatnonzero(present))
    return keys


def _require_digits(
    ids: Ids, where: object, rows: npt.NDArray[np.intp] | None, remedy: str
) -> None:
    """Refuse ids such as `1.237678598634734e+18`, which stand for 256 neighbouring integers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lost = pc.index(pc.match_substring_regex(pa.array(ids, pa.large_string()), LOST), True).as_py()
    if lost >= 0:
        raise InputError(
            "id has lost its last digits",
            where=f"{where}, row {lost if rows is None else int(rows[lost])}",
            rule="be text or an integer",
            found=ids[lost],
            remedy=remedy,
        )


def require_text(ids: Collection[Any], *, where: object = "ids") -> None:
    """Raise InputError for the first galaxy id that is no text, or that UTF-8 cannot encode.

    Ids that UTF-8 cannot encode come from file names that are not UTF-8: Python represents their
    bytes by special characters (lone surrogates).
    """
    try:
        "".join(ids).encode()
    except (TypeError, UnicodeEncodeError):
        bad = next(name for name in ids if not isinstance(name, str) or SURROGATE.search(name))
        raise InputError(
            "not a text in UTF-8", where=where, found=bad, remedy="rename it"
        ) from None


def require_unique(ids: Ids, *, where: object = "ids") -> None:
    """Raise InputError for the first galaxy id that is repeated or is no text."""
    require_text(ids, where=where)
    repeated = pd.Index(ids).duplicated()
    if repeated.any():
        raise InputError(
            f"{int(repeated.sum())} duplicate ids",
            where=where,
            rule="name each galaxy once",
            found=str(ids[np.argmax(repeated)]),
            remedy="drop the repeated rows",
        )


def positions(ids: Ids, wanted: Ids, *, where: object = "ids") -> npt.NDArray[np.intp]:
    """Return the row number in `ids` of each wanted galaxy id; `ids` are unique.

    Raises
    ------
    InputError
        A wanted id is absent, or is no text.

    Examples
    --------
    >>> positions(np.array(["a", "b"], dtype=object), np.array(["b"], dtype=object)).tolist()
    [1]
    """
    require_text(wanted, where=where)
    rows = pd.Index(ids).get_indexer(pd.Index(wanted))
    if (rows < 0).any():
        raise InputError(
            f"{int((rows < 0).sum())} of {len(wanted)} ids are not there",
            where=where,
            found=str(wanted[np.argmax(rows < 0)]),
        )
    return rows


def require_id_column(column: Any, *, where: object = "ids") -> None:
    """Refuse an Arrow column of galaxy ids if an id is missing, repeated, or has lost digits.

    To save time, ids become Python strings only if one of them is wrong.

    Raises
    ------
    InputError
        An id is missing, repeated, or has lost its digits.

    Examples
    --------
    >>> import pyarrow as pa
    >>> require_id_column(pa.array(["a", "b"]))
    """
    import pyarrow.compute as pc

    if (
        column.null_count
        or pc.any(pc.equal(column, "")).as_py()
        or pc.count_distinct(column).as_py() < len(column)
        or pc.any(pc.match_substring_regex(column, LOST)).as_py()
    ):
        require_unique(as_ids(column.to_pandas(), where=where), where="embedding table")


def positions_in(column: Any, wanted: Ids, *, where: object = "ids") -> npt.NDArray[np.intp]:
    """Return the row number of each wanted galaxy id in an Arrow column of unique ids.

    Raises
    ------
    InputError
        A wanted id is absent.

    Examples
    --------
    >>> import pyarrow as pa
    >>> positions_in(pa.array(["a", "b"]), np.array(["b"], dtype=object)).tolist()
    [1]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(pa.array(wanted, pa.string()), value_set=column)
    if not found.null_count:
        return np.asarray(found.to_numpy(), dtype=np.intp)
    return positions(np.asarray(column.to_pandas(), dtype=object), wanted, where=where)


def among(ids: Ids, others: Collection[str] | Ids) -> npt.NDArray[np.bool_]:
    """Return which galaxy ids also occur in `others`, shape (n,).

    Ids are looked up by hash, which is faster than `numpy.isin`, which compares texts one by one.

    Examples
    --------
    >>> among(np.array(["a", "b"], dtype=object), ["b", "c"]).tolist()
    [False, True]
    """
    members: npt.NDArray[np.bool_] = pd.Index(ids, dtype=object).isin(list(others))
    return members


def uniform(ids: Ids, seed: int) -> npt.NDArray[np.float64]:
    """Return a random number in [0, 1) for each galaxy id, shape (n,), computed from id and seed.

    The number of a galaxy depends on its id and the seed alone, not on other galaxies or the order
    of rows.
    """
    # the 53 highest bits of a 64-bit hash fill the mantissa of a float64
    bits = pd.util.hash_array(
        np.asarray([f"{seed}:{name}" for name in ids], dtype=object), categorize=False
    )
    return np.asarray((bits >> np.uint64(11)) / 2.0**53)
