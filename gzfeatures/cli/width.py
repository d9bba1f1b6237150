"""Fit text and tables into the width of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

GAP = 2
"""Spaces between the columns of a table."""
ROOM = 160
"""Width in characters of a table that is not printed on a terminal."""


def blocks(natural: Sequence[int], least: Sequence[int], width: int) -> Iterator[list[int]]:
    """Divide the columns of a table among several tables that each fit the terminal's width.

    Parameters
    ----------
    natural, least : sequence of int
        Width of each column in characters: without line breaks, and at least, with a line break
        between any two words.
    width : int
        Width of the terminal in characters.

    Yields
    ------
    list of int
        Indices of the columns of one of the tables; each table repeats column 0.

    Examples
    --------
    >>> list(blocks([9, 30, 30, 30], [9, 12, 30, 30], 80))
    [[0, 1, 2], [0, 3]]
    >>> list(blocks([9, 30, 30], [9, 9, 9], 20))
    [[0, 1], [0, 2]]
    """
    if sum(least) + GAP * len(least) <= width or sum(natural) + GAP * len(natural) <= width:
        yield list(range(len(natural)))
        return
    current, used = [0], least[0] + GAP
    for column in range(1, len(natural)):
        if len(current) > 1 and used + least[column] + GAP > width:
            yield current
            current, used = [0], least[0] + GAP
        current.append(column)
        used += least[column] + GAP
    yield current


def widths(natural: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Return the width of each column in characters, at least that of its longest word.

    Remaining characters are divided among the columns in proportion to `natural` − `least`.

    Examples
    --------
    >>> widths([9, 30, 30], [9, 12, 30], 120)
    [9, 30, 30]
    >>> widths([9, 60, 30], [9, 12, 30], 80)
    [9, 35, 30]
    """
    spare = width - GAP * len(natural) - sum(least)
    lack = [whole - few for whole, few in zip(natural, least, strict=True)]
    if spare >= sum(lack):
        return list(natural)
    share = max(spare, 0) / max(sum(lack), 1)
    return [few + int(share * need) for few, need in zip(least, lack, strict=True)]
