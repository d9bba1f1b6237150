"""Convert numbers and settings to the texts that a report shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested settings under dotted names, such as `galaxies.images`.

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
    """Return a number with a fixed count of decimals, or a dash where it is unknown.

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
    """Return a cost as text: whole numbers from a hundred on, below it three digits.

    Examples
    --------
    >>> amount(1234.5), amount(3.14159)
    ('1,234', '3.14')
    """
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """Return a share in percent; a share below 1 that would round to 100 % is ">99%".

    Examples
    --------
    >>> share(0.998), share(0.5)
    ('>99%', '50%')
    """
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def plain(value: object) -> str:
    """Return a setting or version as text.

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
