"""Format objects as one line of text or as HTML; wrap text to the width of the terminal."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape

COMMAND = re.compile(r"(next|then): gzfeatures ")
"""Beginning of a line that continues with a shell command for the user to copy."""
IN_UNITS = frozenset({"rmse", "bias", "sigma_nmad"})
"""Metrics in the unit of the predicted numbers, which can be of any size."""
STYLE = "border-collapse:collapse;margin:.3em 0"


def line(kind: str, *facts: str) -> str:
    """Return a one-line description of an object, such as `Split(700 train, 200 test)`.

    Parameters
    ----------
    kind : str
        Name of the object's class.
    *facts : str
        Words about the object; empty texts are left out.

    Examples
    --------
    >>> line("Split", "700 train", "", "200 test")
    'Split(700 train, 200 test)'
    """
    return f"{kind}({', '.join(fact for fact in facts if fact)})"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 galaxy` or `61,578 galaxies`.

    Examples
    --------
    >>> count(1, "galaxy"), count(61578, "galaxy"), count(2, "class")
    ('1 galaxy', '61,578 galaxies', '2 classes')
    """
    plurals = {"galaxy": "galaxies", "class": "classes"}
    return f"{number:,} {noun if number == 1 else plurals.get(noun, noun + 's')}"


def percent(share: float) -> str:
    """Return a promised share in percent, not rounded to whole ones: 99.5 % is not 100 %.

    Examples
    --------
    >>> percent(0.9), percent(0.995), percent(0.975)
    ('90%', '99.5%', '97.5%')
    """
    return f"{100 * share:g}%"


def number_text(value: float, metric: str, *, signed: bool = False) -> str:
    """Return a score as text with three decimals, or with three digits if it has a unit.

    Examples
    --------
    >>> number_text(0.9, "accuracy"), number_text(0.000417, "rmse")
    ('0.900', '0.000417')
    >>> number_text(0.012, "accuracy", signed=True), number_text(-2.5e-6, "rmse", signed=True)
    ('+0.012', '-2.50e-06')
    """
    sign = "+" if signed else ""
    return f"{value:{sign}#.3g}" if metric in IN_UNITS else f"{value:{sign}.3f}"


class MeanRate:
    """Tell how many items a second a task has finished, from its first item on.

    The mean is told, not the rate of the latest steps: of a single step, or of two that come
    together, this would be none, or one far too high.

    Parameters
    ----------
    unit : str
        Name of the items; with an empty name no rate is told.
    """

    def __init__(self, unit: str) -> None:
        self._unit, self._start = unit, time.monotonic()

    def text(self, finished: int) -> str:
        """Return the rate of this many finished items, such as `150 images/s`.

        Without a finished item the text is empty, and the time so far was preparation: the rate
        counts from now.
        """
        if not finished:
            self._start = time.monotonic()
        if not finished or not self._unit:
            return ""
        seconds = max(time.monotonic() - self._start, 1e-3)
        return f"{finished / seconds:.0f} {self._unit}/s"


def html(title: str, facts: Mapping[str, object] | None = None, below: str = "") -> str:
    """Return an HTML description of an object: a title, a table of facts, and further HTML.

    Parameters
    ----------
    title : str
        Title, one line; it is escaped.
    facts : mapping of str to object, optional
        Name → value; both are escaped, and None is left out.
    below : str
        HTML to add below the facts, unchanged: the caller must have escaped it.

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
    """Return HTML that shows the title of a running task of unknown length; escape the title."""
    return f"<div>{escape(title)} …</div>"


def thumbnail(name: str, png: bytes) -> str:
    """Return an HTML image that contains the bytes of a PNG picture; escape its name."""
    name = escape(name)
    address = b64encode(png).decode()
    return f'<img src="data:image/png;base64,{address}" alt="{name}" title="{name}"> '


def without_picture(name: str, why: str) -> str:
    """Return HTML text instead of an unreadable picture: its name and the reason, escaped."""
    return f"<span>{escape(name)}: {escape(why)}</span> "


def row_of(parts: Iterable[str], more: int = 0) -> str:
    """Return a row of HTML elements, followed by the number of elements that are not shown."""
    rest = f"<div>and {more:,} more</div>" if more > 0 else ""
    return f"<div>{''.join(parts)}</div>{rest}"


def columns() -> int | None:
    """Return the width of the terminal in characters; None if the text goes to a file or program.

    The environment variable `COLUMNS`, if it is set, replaces the terminal's own width.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        # ask for the terminal of standard output (file descriptor 1), because the text is written
        # there
        return os.get_terminal_size(1).columns
    except OSError:
        return None


def wrapped(text: str) -> str:
    """Wrap text to the width of the terminal; shell commands in the text stay executable.

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
    """Break a shell command between its words with backslashes, so that it can be copied."""
    title, _, rest = line.partition(": ")
    lines, current = [], title + ":"
    for word in map(quote, shlex.split(rest)):
        # leave room for a blank before the word (1) and for ` \` at the end of the line (2)
        if len(current) + len(word) + 3 > width:
            lines.append(current + " \\")
            current = "   "
        current += " " + word
    return "\n".join([*lines, current])


def quote(value: object) -> str:
    """Quote a word of a shell command, such as a path, if the shell needs quotes around it."""
    word = str(value)
    return word if re.fullmatch(r"[\w./:=,+@%-]+", word) else shlex.quote(word)
