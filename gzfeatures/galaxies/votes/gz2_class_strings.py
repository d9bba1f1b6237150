"""Read the class strings of Galaxy Zoo 2 (`gz2_class`), such as `SBb2m(r)`, letter by letter.

A string is E + roundness, or S + edge-on bulge, or S + bar + bulge + number of arms + winding; an
odd feature follows in brackets; A alone is a star or artifact (Willett+2013,
doi:10.1093/mnras/stt1458, section 5 and table 5).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd


class Parts(NamedTuple):
    """Store the letters of a GZ2 class string, one field per feature; "" if a letter is absent.

    `form` E smooth, S features or disk, A star or artifact; `roundness` r round, i in between, c
    cigar-shaped; `edge` r, b or n for a rounded, boxy or no bulge of an edge-on disk; `bar` B;
    `bulge` a dominant to d none; `arms` 1 to 4, + more, ? cannot tell; `winding` t tight, m medium,
    l loose; `odd` r ring, l lens or arc, d disturbed, i irregular, o other, m merger, u dust lane.
    """

    form: str
    roundness: str
    edge: str
    bar: str
    bulge: str
    arms: str
    winding: str
    odd: str


LETTERS = Parts("ESA", "ric", "rbn", "B", "abcd", "1234+?", "tml", "rldiomu")
"""Letters that each field can have."""

_GRAMMAR = re.compile(
    r"""(?P<form>[ESA])
    (?: (?<=E)(?P<roundness>[ric])
      | (?<=S)e(?P<edge>[rbn])
      | (?<=S)(?P<bar>B)?(?P<bulge>[abcd])(?P<arms>[1-4+?])?(?P<winding>[tml])?
      | (?<=A) )
    (?:\((?P<odd>[rldiomu])\))?""",
    re.VERBOSE,
)
_PREFIX = re.compile(
    r"""(?P<form>[ESA])
    (?: (?<=E)(?P<roundness>[ri])? | (?<=S)e(?P<edge>[rbn]) | (?<=S)(?P<bar>B)?(?P<bulge>[abcd]) | )
    (?P<arms>)(?P<winding>)(?P<odd>).*""",
    re.VERBOSE | re.DOTALL,
)

Reading = Literal["place", "anywhere"]


def parse(text: str, reading: Reading = "place") -> Parts | None:
    """Read one class string of Galaxy Zoo 2; return None if the string breaks the grammar.

    Parameters
    ----------
    text : str
        Such as "SBb2m(r)".
    reading : {"place", "anywhere"}
        "place" follows the grammar. "anywhere" repeats how a published program read the strings
        (SatoshiTomi/galaxy-morphology): the winding is t if the string contains a t anywhere,
        otherwise m, otherwise l, so that the odd features (m)erger and (l)ens count as winding; and
        every E without r or i is cigar-shaped.

    Returns
    -------
    Parts or None
        None if the string does not follow the grammar (with "anywhere": if its first letter is not
        E, S or A).

    Examples
    --------
    >>> parts = parse("SBb2m(r)")
    >>> parts.bar, parts.arms, parts.winding, parts.odd
    ('B', '2', 'm', 'r')
    """
    if reading == "place":
        match = _GRAMMAR.fullmatch(text)
        return Parts(**match.groupdict("")) if match else None
    match = _PREFIX.fullmatch(text)
    if match is None:
        return None
    parts = Parts(**match.groupdict(""))
    if parts.form == "E":
        return parts._replace(roundness=parts.roundness or "c")
    return parts._replace(
        winding=next((letter for letter in "tml" if letter in text), "") if parts.bulge else ""
    )


def parse_column(
    column: pd.Series, reading: Reading = "place"
) -> tuple[pd.DataFrame, npt.NDArray[np.intp]]:
    """Read a column of GZ2 class strings; read each distinct string only once.

    Parameters
    ----------
    column : Series of str
        NaN or unreadable strings have code −1.
    reading : {"place", "anywhere"}
        See `parse`.

    Returns
    -------
    letters : DataFrame
        One row per distinct readable string, one column per field of `Parts`.
    codes : ndarray of int
        Row of `letters` for each galaxy, shape (n,); −1 for an unreadable string.
    """
    codes, distinct = pd.factorize(column)
    parsed = [parse(text, reading) for text in distinct.astype(str)]
    readable_parts = [parts for parts in parsed if parts is not None]
    # code −1 means a missing string; as an index it selects the last element of `place`, so set
    # this element to −1
    place = np.full(len(parsed) + 1, -1, dtype=np.intp)
    place[:-1][[parts is not None for parts in parsed]] = np.arange(len(readable_parts))
    letters = pd.DataFrame(readable_parts, columns=list(Parts._fields), dtype="str")
    return letters, place[codes]


def readable(column: pd.Series) -> npt.NDArray[np.bool_]:
    """Return which strings follow the grammar of GZ2 class strings, shape (n,); False for NaN."""
    return parse_column(column)[1] >= 0
