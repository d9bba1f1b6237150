"""Describe an object in one line for a shell, and as an escaped HTML card for a notebook; fit text
that is longer than a line into the columns of a terminal."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape

COMMAND = re.compile(r"(next|then): gzfeatures ")
"""Begin of a line whose rest is a command to be copied."""
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


def bar(title: str, done: int, total: int, beside: str = "") -> str:
    """Return a progress bar as HTML, with every text escaped.

    Examples
    --------
    >>> bar("<b>", 1, 3)
    '<div>&lt;b&gt; <progress value="1" max="3"></progress> 1/3 </div>'
    """
    numbers = f'<progress value="{done}" max="{max(total, 1)}"></progress> {done:,}/{total:,}'
    return f"<div>{escape(title)} {numbers} {escape(beside)}</div>"


def busy(title: str) -> str:
    """Return HTML that says what work of unknown length is under way; the title is escaped."""
    return f"<div>{escape(title)} …</div>"


def thumbnail(name: str, png: bytes) -> str:
    """Return a picture as an HTML element that holds its bytes; the name is escaped."""
    name = escape(name)
    address = b64encode(png).decode()
    return f'<img src="data:image/png;base64,{address}" alt="{name}" title="{name}"> '


def without_picture(name: str, why: str) -> str:
    """Return an HTML element that stands for an unreadable picture; name and reason are escaped."""
    return f"<span>{escape(name)}: {escape(why)}</span> "


def row_of(parts: Iterable[str], more: int = 0) -> str:
    """Return HTML elements side by side, and the number of elements that are left out."""
    rest = f"<div>and {more:,} more</div>" if more > 0 else ""
    return f"<div>{''.join(parts)}</div>{rest}"


def columns() -> int | None:
    """Return the columns of the terminal; None where another program or a file takes the text.

    `COLUMNS` of the environment, where somebody set it, comes first.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        # asked of standard output itself, which is the last to be redirected
        return os.get_terminal_size(1).columns
    except OSError:
        return None


def wrapped(text: str) -> str:
    """Return text whose lines fit the terminal; a command stays one for a shell.

    A word that is longer than a line, such as a path, stays whole.
    """
    width = columns()
    if width is None:
        return text
    return "\n".join(_line(line, width) for line in text.split("\n"))


def _line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    if COMMAND.match(line):
        return _command(line, width)
    indent = len(line) - len(line.lstrip()) + 2
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _command(line: str, width: int) -> str:
    """Break a command between its words, so that it can be copied as it stands."""
    title, _, rest = line.partition(": ")
    lines, current = [], title + ":"
    for word in map(quote, shlex.split(rest)):
        # the sign of a line that goes on takes two places
        if len(current) + len(word) + 3 > width:
            lines.append(current + " \\")
            current = "   "
        current += " " + word
    return "\n".join([*lines, current])


def quote(value: object) -> str:
    """Return a word of a command, such as a path, as a shell reads it."""
    word = str(value)
    return word if re.fullmatch(r"[\w./:=,+@%-]+", word) else shlex.quote(word)
