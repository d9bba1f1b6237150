"""Describe an object in one line for a shell, and as an escaped HTML card for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

STYLE = "border-collapse:collapse;margin:.3em 0"


def line(kind: str, *facts: str) -> str:
    """Return the one-line description of an object.

    Parameters
    ----------
    kind : str
        Its class.
    *facts : str
        What to tell; empty facts are left out.

    Examples
    --------
    >>> line("Split", "700 train", "", "200 test")
    'Split(700 train, 200 test)'
    """
    return f"{kind}({', '.join(fact for fact in facts if fact)})"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one.

    Examples
    --------
    >>> count(1, "galaxy"), count(61578, "galaxy"), count(2, "class")
    ('1 galaxy', '61,578 galaxies', '2 classes')
    """
    plurals = {"galaxy": "galaxies", "class": "classes"}
    return f"{number:,} {noun if number == 1 else plurals.get(noun, noun + 's')}"


def html(title: str, facts: Mapping[str, object] | None = None, below: str = "") -> str:
    """Return an HTML card: a title, facts in two columns, and further HTML.

    Parameters
    ----------
    title : str
        One line; escaped.
    facts : mapping of str to object, optional
        Name → value; both are escaped, and None is left out.
    below : str
        HTML that stands below as it is: its maker has escaped it.

    Examples
    --------
    >>> html("Head(svm)", {"scheme": "<b>"})
    '<div><b>Head(svm)</b><table ...<td>scheme</td><td>&lt;b&gt;</td></tr></table></div>'
    """
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
        for name, value in (facts or {}).items()
        if value is not None
    )
    table = f'<table style="{STYLE}">{rows}</table>' if rows else ""
    return f"<div><b>{escape(title)}</b>{table}{below}</div>"
