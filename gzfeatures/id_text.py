"""Convert galaxy ids to exact text after spreadsheets, float columns or databases changed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MISSING_WORDS = (
    "", "-", "--", "---", "nan", "NaN", "NAN", "na", "NA", "n/a", "N/A", "#N/A", "#NA",
    "<NA>", "null", "Null", "NULL",
    "none", "None", "NONE", "nil", "masked", r"\N",
)  # fmt: skip
"""Words for a missing value in a column of numbers or ids."""

_EXACT = 2.0**53
"""Smallest float64 that represents several whole numbers."""

_INTEGER = r"^[+-]?[0-9]+$"
_LEADING_ZERO = r"^[+-]?0[0-9]"
_FLOAT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ROUNDED = r"^[+-]?[0-9]{15}0+$"
_EVIDENCE = 6
"""Number of final zeros from which a column's ids count as rounded to 15 digits."""

LOST = r"^[+-]?[0-9]\.[0-9]+[eE]\+?(1[6-9]|[2-9][0-9]|[0-9]{3,})$"
"""Pattern of a number of 2^53 or more in exponent form, whose last digits are lost."""


def trimmed(texts: Any) -> Any:
    """Strip blanks from both ends of each text, except tabs at its beginning."""
    return pc.utf8_ltrim(pc.utf8_rtrim_whitespace(texts), " \u00a0")


def of_floats(numbers: npt.NDArray[np.float64]) -> Any:
    """Convert galaxy ids from floats to decimal text; return None if an id is not whole or ≥ 2^53.

    NaN becomes null.
    """
    missing = np.isnan(numbers)
    values = np.where(missing, 0.0, numbers)
    if not np.isfinite(values).all() or (np.abs(values) >= _EXACT).any() or (values % 1 != 0).any():
        return None
    return pa.array(values.astype(np.int64), mask=missing).cast(pa.large_string())


def cleaned(texts: Any) -> Any:
    """Strip blanks and a spreadsheet's quotes from galaxy ids; turn words such as `null` into null.

    Parameters
    ----------
    texts : Arrow array of strings
        Ids as written in the file.

    Examples
    --------
    >>> cleaned(pa.array(['="587"', "'-842'", "J1 ", "null"])).to_pylist()
    ['587', '-842', 'J1', None]
    """
    if _are_integers(texts):
        return texts
    texts = trimmed(texts)
    if pc.any(pc.match_substring_regex(texts, "[\"']")).as_py():
        # people write an id as `="587"` so that a spreadsheet stores all its digits; remove these
        # signs
        texts = pc.replace_substring_regex(texts, r'^="([^"]*)"$', r"\1")
        texts = pc.replace_substring_regex(texts, r'^"([^"]*)"$', r"\1")
        texts = pc.replace_substring_regex(texts, r"^'([+-]?[0-9]+)'?$", r"\1")
        texts = trimmed(texts)
    words = pc.is_in(texts, value_set=pa.array(MISSING_WORDS, texts.type))
    return pc.if_else(words, pa.scalar(None, texts.type), texts) if pc.any(words).as_py() else texts


def exact(texts: Any) -> Any:
    """Return galaxy ids as decimal text, or as floats if these have lost their last digits.

    Parameters
    ----------
    texts : Arrow array of strings
        Ids as `cleaned` returns them.

    Returns
    -------
    Arrow array of strings, or ndarray
        `100521.0` and `1.00521e+05` become `100521`. If one id has a leading zero, or is no number,
        all ids of the column are names and stay unchanged, even `1e5`. The result is an ndarray
        (float64, shape (n,), NaN = missing) if digits were lost: if ids beyond 2^53 were written as
        floats (`1.237678598634734e+18`), or by a spreadsheet, which keeps 15 digits and replaces
        the others by zeros.

    Examples
    --------
    >>> exact(pa.array(["100521.0", None])).to_pylist()
    ['100521', None]
    """
    if len(texts) == texts.null_count:
        return texts
    if _are_integers(texts) or pc.all(pc.match_substring_regex(texts, _INTEGER)).as_py():
        # if zeros follow 15 digits in all ids, a spreadsheet has stored them as floats and lost
        # digits
        rounded = (
            may_be_rounded(texts) and pc.all(pc.match_substring_regex(texts, _ROUNDED)).as_py()
        )
        zeros = pc.sum(pc.binary_length(pc.utf8_ltrim(texts, "+-"))).as_py() - 15 * (
            len(texts) - texts.null_count
        )
        return _floats(texts) if rounded and zeros >= _EVIDENCE else texts
    # if one id is no number, such as J1, all ids are names, and their text must not change
    if not pc.all(pc.match_substring_regex(texts, _FLOAT)).as_py():
        return texts
    if pc.any(pc.match_substring_regex(texts, _LEADING_ZERO)).as_py():
        return texts
    marked = pc.fill_null(pc.invert(pc.match_substring_regex(texts, _INTEGER)), False).to_numpy(
        zero_copy_only=False
    )
    numbers = _floats(texts)
    # a float of at least 2^53 represents several integers, so return floats, which the caller
    # refuses as ids
    if (np.abs(numbers[marked]) >= _EXACT).any():
        return numbers
    whole = of_floats(np.where(marked, numbers, np.nan))
    return (
        texts if whole is None else pc.coalesce(whole, _whole_array(texts).cast(pa.large_string()))
    )


def may_be_rounded(texts: Any) -> bool:
    """Return whether the first 64 galaxy ids all have zeros after the 15th digit."""
    return pc.all(pc.match_substring_regex(texts.slice(0, 64), _ROUNDED)).as_py() is not False


def _are_integers(texts: Any) -> bool:
    """Return whether all texts are 64-bit integers; this is faster than a regular expression."""
    try:
        return pc.all(pc.equal(texts.cast(pa.int64()).cast(texts.type), texts)).as_py() is not False
    except pa.ArrowInvalid:
        return False


def _floats(texts: Any) -> npt.NDArray[np.float64]:
    return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _whole_array(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
