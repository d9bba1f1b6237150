"""Convert numbers and settings to text as a report shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of each nested setting; the names have dots, as in `galaxies.images`.

    Examples
    --------
    >>> dict(flat({"git": {"commit": "1f3"}, "seed": 0}))
    {'git.commit': '1f3', 'seed': 0}
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text with a fixed number of decimals; None becomes a dash.

    Examples
    --------
    >>> number(0.91234), number(None)
    ('0.912', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """Return a number with its sign as text, with a typographic minus.

    Examples
    --------
    >>> signed(-0.0214)
    '−0.021'
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def amount(value: float | None) -> str:
    """Return a cost as text: with three digits, and from 100 on without decimals.

    Examples
    --------
    >>> amount(1234.5), amount(3.14159)
    ('1,234', '3.14')
    """
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """Return a share as text in percent; a share close to 1, but below 1, becomes ">99%".

    Examples
    --------
    >>> share(0.998), share(0.5)
    ('>99%', '50%')
    """
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def plain(value: object) -> str:
    """Return a setting or version as text; the entries of a list are joined by commas.

    Examples
    --------
    >>> plain([0.5, "a"])
    '0.5, a'
    """
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    return str(value)
