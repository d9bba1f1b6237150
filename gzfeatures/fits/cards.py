"""Read the cards of a FITS header from bytes, without checks, where astropy would be too slow."""

from __future__ import annotations

from typing import TypeAlias

from gzfeatures.fits.header import CARD

Cards: TypeAlias = dict[str, int | float | str]
"""Values of a FITS header by keyword; those that are no number are texts without quotes."""

MOST = 36_000
"""Largest number of cards that are read from one header."""


def cards_of(data: bytes, offset: int = 0, end: int | None = None) -> Cards:
    """Return the cards of a FITS header in `data`, by keyword; of equal keywords, the first counts.

    Parameters
    ----------
    data : bytes
        The decompressed file. A header without END is read to the end of the bytes.
    offset : int
        Byte of `data` at which the header's first card begins.
    end : int, optional
        Offset behind the last card that may belong to the header.

    Examples
    --------
    >>> cards_of(b"NAXIS   =                    2".ljust(80) + b"FILTER  = 'r       '".ljust(80))
    {'NAXIS': 2, 'FILTER': 'r'}
    """
    cards: Cards = {}
    last = len(data) if end is None else end
    for place in range(offset, min(last, offset + MOST * CARD), CARD):
        card = data[place : place + CARD]
        if card[:8] == b"END     ":
            break
        if card[8:10] == b"= ":
            cards.setdefault(card[:8].decode("ascii", "replace").rstrip(), _value(card[10:]))
    return cards


def _value(field: bytes) -> int | float | str:
    """Return the value in the bytes of a card behind its keyword: an integer, float or text."""
    text = field.decode("ascii", "replace").strip()
    if text.startswith("'"):
        # a doubled quote is part of the text (FITS standard 4.0, section 4.2.1)
        return text[1:].replace("''", "\0").partition("'")[0].replace("\0", "'").rstrip()
    number = text.partition("/")[0].strip()
    for kind in (int, float):
        try:
            return kind(number.replace("D", "E"))
        except ValueError:
            pass
    return number
