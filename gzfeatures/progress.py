"""Show the progress of long tasks: messages and bars go to the `Progress` that the caller passes.

A library call is silent by default. The command line passes `Terminal()`, the only part of the
library that writes to stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol, TextIO, TypeVar

from gzfeatures.brief import MeanRate, wrapped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task

Item = TypeVar("Item")


class Advance(Protocol):
    """Define the arguments of a function that advances a progress bar."""

    def __call__(self, number: int = 1, *, title: str | None = None, beside: str = "") -> None:
        """Add to the number of finished items; change the title or the words beside the bar.

        A call with the number 0 before any item is finished says that the preparation is over: the
        rate counts from there.
        """
        ...


class Progress(Protocol):
    """Define the methods by which a long task reports its progress; instances can be pickled."""

    @property
    def shows(self) -> bool:
        """Return whether somebody sees the messages, so that costly messages can be skipped."""
        ...

    def say(self, line: str, *, aside: bool = False) -> None:
        """Show one line of text; `aside` marks a less important line."""
        ...

    def counted(
        self,
        title: str,
        total: int,
        *,
        unit: str = "",
        share: bool = False,
        done: int = 0,
        transient: bool = False,
    ) -> AbstractContextManager[Advance]:
        """Draw a progress bar inside a `with` block; yield the function that advances the bar.

        Parameters
        ----------
        title : str
            Title of the task.
        total, done : int
            Number of items, and how many of them are done already.
        unit : str
            Name of the items, to show their rate per second; with an empty name no rate is shown.
        share : bool
            Whether to show the share in per cent instead of the numbers.
        transient : bool
            Whether to remove the bar at the end.
        """
        ...

    def busy(self, title: str) -> AbstractContextManager[None]:
        """Show inside a `with` block that a task of unknown length is running."""
        ...


def _unmoved(number: int = 1, *, title: str | None = None, beside: str = "") -> None:
    """Ignore a report of progress, because no bar is drawn."""


@dataclasses.dataclass(frozen=True)
class Silent:
    """Discard all progress messages and draw no bars."""

    @property
    def shows(self) -> bool:
        """Return False, because nobody sees the messages."""
        return False

    def say(self, line: str, *, aside: bool = False) -> None:
        """Discard a progress message."""

    @contextmanager
    def counted(
        self,
        title: str,
        total: int,
        *,
        unit: str = "",
        share: bool = False,
        done: int = 0,
        transient: bool = False,
    ) -> Iterator[Advance]:
        """Draw no progress bar; yield a function that does nothing."""
        yield _unmoved

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show nothing while a task is running."""
        yield


@dataclasses.dataclass(frozen=True)
class Terminal:
    """Write messages and draw progress bars on stderr; log files get only a bar's last state."""

    @property
    def shows(self) -> bool:
        """Return True, because the user sees stderr."""
        return True

    def say(self, line: str, *, aside: bool = False) -> None:
        """Write a message to stderr, above the progress bar."""
        from rich.text import Text

        # use Text, because rich would interpret brackets and colons in a path as formatting
        text = Text(wrapped(line), style="dim" if aside else "")
        _stderr().print(text, soft_wrap=True)

    @contextmanager
    def counted(
        self,
        title: str,
        total: int,
        *,
        unit: str = "",
        share: bool = False,
        done: int = 0,
        transient: bool = False,
    ) -> Iterator[Advance]:
        """Draw a progress bar on stderr with rich; yield the function that advances the bar."""
        from rich import progress

        # draw no bar in a log file if the bar is removed at the end: not even an empty line must
        # remain
        if transient and not _stderr().is_interactive:
            yield _unmoved
            return
        columns = _shares() if share else _numbers()
        with progress.Progress(*columns, console=_stderr(), transient=transient) as bar:
            task = bar.add_task(title, total=total, completed=done, beside="")
            rate = MeanRate(unit)

            def advance(number: int = 1, *, title: str | None = None, beside: str = "") -> None:
                bar.advance(task, number)
                finished = int(bar.tasks[task].completed) - done
                bar.update(task, description=title, beside=rate.text(finished) or beside)

            yield advance

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show title, time so far and memory while a task runs; write nothing to log files."""
        with _stderr().status(_Running(title)):
            yield


class _Running:
    """Show the title of a running task, the time since its start, and this process's memory."""

    def __init__(self, title: str) -> None:
        self._title, self._start, self._shown = title, time.monotonic(), (-1, "")

    def __rich__(self) -> str:
        """Return title, time and memory as one line, measured once a second."""
        from rich.markup import escape

        seconds = int(time.monotonic() - self._start)
        if seconds != self._shown[0]:
            line = f"{self._title} {datetime.timedelta(seconds=seconds)} {_memory():.1f} GB"
            self._shown = seconds, escape(line)
        return self._shown[1]


def _memory() -> float:
    """Return the memory that this process uses, in GB."""
    import psutil

    return float(psutil.Process().memory_info().rss / 1e9)


@cache
def _stderr() -> Console:
    """Return the process's only console for stderr; two consoles would break each other's bars."""
    from rich.console import Console

    return Console(stderr=True)


def _numbers() -> tuple[ProgressColumn, ...]:
    """Return the parts of a progress bar that counts items: title, bar, 3/10, remaining time, …"""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[beside]}", markup=False),
        TimeRemainingColumn(),
        _memory_column(),
    )


def _shares() -> tuple[ProgressColumn, ...]:
    """Return the parts of a progress bar with a percentage: title, bar, 30%, remaining time."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(elapsed_when_finished=True),
        _memory_column(),
    )


def _memory_column() -> ProgressColumn:
    """Return the part of a progress bar that shows the memory used by this process."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class MemoryColumn(ProgressColumn):
        """Show the memory used by this process, measured once a second."""

        max_refresh = 1.0

        def render(self, task: Task) -> Text:
            """Return the memory used by this process, in GB."""
            return Text(f"{_memory():.1f} GB", style="dim")

    return MemoryColumn()


SILENT = Silent()


def handed(progress: Progress | bool) -> Progress:
    """Return a `Progress` for an argument: True gives one that shows messages, False a silent one.

    Examples
    --------
    >>> handed(False).shows, handed(True)
    (False, Terminal())
    """
    if not isinstance(progress, bool):
        return progress
    if not progress:
        return SILENT
    from gzfeatures.notebook import Notebook, in_notebook

    return Notebook() if in_notebook() else Terminal()


def each(
    items: Iterable[Item], progress: Progress, title: str, total: int, *, transient: bool = False
) -> Iterator[Item]:
    """Yield items one by one, and show the finished share of them in a progress bar.

    Examples
    --------
    >>> sum(each([1, 2, 3], SILENT, "adding", 3))
    6
    """
    with progress.counted(title, total, share=True, transient=transient) as advance:
        for item in items:
            yield item
            advance()


@contextlib.contextmanager
def printed_to(progress: Progress, announcement: str | None = None) -> Iterator[None]:
    """Send lines that a library prints in a `with` block to a `Progress`; stdout is for results.

    Parameters
    ----------
    progress : Progress
    announcement : str, optional
        Text that the library writes to stderr is sent to the `Progress` too if it begins with
        `announcement`; other text, such as the library's own bars, goes to stderr.
    """
    real = sys.stderr
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(_Printed(progress, real)))
        if announcement is not None:
            lines = _Printed(progress, real, announcement)
            stack.enter_context(contextlib.redirect_stderr(lines))
        yield


class _Printed(io.TextIOBase):
    """Send printed lines with a given beginning to a `Progress`, and any other text to stderr.

    Parameters
    ----------
    progress : Progress
    real : file
        The real stderr.
    beginning : str
    """

    def __init__(self, progress: Progress, real: TextIO, beginning: str = "") -> None:
        self._progress, self._real, self._beginning = progress, real, beginning

    def write(self, text: str) -> int:
        """Send each line of a printed text to the `Progress`; return the length of the text."""
        if not text.startswith(self._beginning):
            return self._real.write(text)
        # a `Progress` for terminals writes to stderr itself, so restore the real stderr, or its
        # text would be sent here again without end
        with contextlib.redirect_stderr(self._real):
            for line in text.splitlines():
                if line:
                    self._progress.say(line)
        return len(text)
