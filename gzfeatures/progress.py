"""Show the progress of long work: lines and bars go to the `Progress` that the caller passes.

A library call is quiet unless it is handed one. The command line hands in `Terminal()`, which is
the only part of the library that writes on stderr.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

Item = TypeVar("Item")


class Advance(Protocol):
    """Move a bar."""

    def __call__(self, number: int = 1, *, title: str | None = None, beside: str = "") -> None:
        """Add to what is done, and change the title or the words beside the bar."""
        ...


class Progress(Protocol):
    """Take what long work has to tell. It is sent to other processes, so it holds nothing open."""

    @property
    def shows(self) -> bool:
        """Tell whether somebody reads the lines; if nobody does, skip costly messages."""
        ...

    def say(self, line: str, *, aside: bool = False) -> None:
        """Tell one line; one that is said aside is of less importance."""
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
        """Draw a bar while the block runs, which the function that is yielded moves.

        Parameters
        ----------
        title : str
            What is done.
        total, done : int
            Number of items, and how many of them were done before.
        unit : str
            Name of the items, to tell their rate per second; empty tells none.
        share : bool
            Tell the share in per cent in place of the numbers.
        transient : bool
            Remove the bar at the end.
        """
        ...

    def busy(self, title: str) -> AbstractContextManager[None]:
        """Show that something goes on whose length is not known, while the block runs."""
        ...


def _unmoved(number: int = 1, *, title: str | None = None, beside: str = "") -> None:
    """Move no bar."""


@dataclasses.dataclass(frozen=True)
class Silent:
    """Tell nothing."""

    @property
    def shows(self) -> bool:
        """Return False."""
        return False

    def say(self, line: str, *, aside: bool = False) -> None:
        """Drop the line."""

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
        """Draw nothing."""
        yield _unmoved

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show nothing."""
        yield


@dataclasses.dataclass(frozen=True)
class Terminal:
    """Write lines and draw bars on stderr; a bar leaves its last state in a log file."""

    @property
    def shows(self) -> bool:
        """Return True."""
        return True

    def say(self, line: str, *, aside: bool = False) -> None:
        """Write a line, above a bar that is drawn."""
        from rich.text import Text

        # as Text: brackets and colons of a path are no markup
        text = Text(line, style="dim" if aside else "")
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
        """Draw a bar of rich."""
        from rich import progress

        columns = _shares() if share else _numbers()
        with progress.Progress(*columns, console=_stderr(), transient=transient) as bar:
            task = bar.add_task(title, total=total, completed=done, beside="")

            def advance(number: int = 1, *, title: str | None = None, beside: str = "") -> None:
                bar.advance(task, number)
                # the speed is that of the last steps, this one included
                rate = f"{bar.tasks[task].speed or 0:.0f} {unit}/s" if unit else beside
                bar.update(task, description=title, beside=rate)

            yield advance

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Turn a wheel beside the title; a log file gets nothing."""
        with _stderr().status(title):
            yield


@cache
def _stderr() -> Console:
    """Return the console on stderr: one for the process, so that lines stand above its bars."""
    from rich.console import Console

    return Console(stderr=True)


def _numbers() -> tuple[ProgressColumn, ...]:
    """Return the columns of a bar that counts: title, bar, 3/10, words, remaining time."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[beside]}", markup=False),
        TimeRemainingColumn(),
    )


def _shares() -> tuple[ProgressColumn, ...]:
    """Return the columns of a bar that tells the share: title, bar, 30%, time that remains."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


SILENT = Silent()


def handed(progress: Progress | bool) -> Progress:
    """Return the progress that a caller has handed in: True is the terminal, False nobody.

    Examples
    --------
    >>> handed(False).shows, handed(True)
    (False, Terminal())
    """
    if isinstance(progress, bool):
        return Terminal() if progress else SILENT
    return progress


def each(
    items: Iterable[Item], progress: Progress, title: str, total: int, *, transient: bool = False
) -> Iterator[Item]:
    """Yield items, and tell the share of them that is done.

    Examples
    --------
    >>> sum(each([1, 2, 3], SILENT, "adding", 3))
    6
    """
    with progress.counted(title, total, share=True, transient=transient) as advance:
        for item in items:
            yield item
            advance()
