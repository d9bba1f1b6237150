"""Show the progress of long work in a notebook cell, by plain HTML and without widgets."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gzfeatures import brief

SECONDS_BETWEEN = 0.2
"""Time between two updates of a bar; more of them would swell the notebook's messages."""


def in_notebook() -> bool:
    """Return whether this process runs a notebook, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Shown:
    """Show HTML below a notebook cell; `replace` shows other HTML in its place."""

    def __init__(self, text: str) -> None:
        # import IPython only here, because it is no dependency, but every notebook has it
        self._module: Any = importlib.import_module("IPython.display")
        self._handle = self._module.display(self._module.HTML(text), display_id=True)

    def replace(self, text: str) -> None:
        """Replace the HTML below the notebook cell by other HTML."""
        # outside of a notebook, IPython returns no handle, and no text can be replaced
        if self._handle is not None:
            self._handle.update(self._module.HTML(text))


@dataclasses.dataclass(frozen=True)
class Notebook:
    """Write messages and draw progress bars below the cell of a notebook."""

    @property
    def shows(self) -> bool:
        """Return True, because the user sees the messages below the notebook cell."""
        return True

    def say(self, line: str, *, aside: bool = False) -> None:
        """Write a message below the notebook cell."""
        print(line, flush=True)

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
    ) -> Iterator[Any]:
        """Draw a progress bar below the notebook cell; yield the function that advances it."""
        state: dict[str, Any] = {"title": title, "done": done, "beside": ""}
        rate, shown_at = brief.MeanRate(unit), time.monotonic()
        shown = _Shown(brief.bar(title, done, total))

        def text() -> str:
            return brief.bar(state["title"], state["done"], total, state["beside"])

        def advance(number: int = 1, *, title: str | None = None, beside: str = "") -> None:
            nonlocal shown_at
            state["done"] += number
            state["title"] = title or state["title"]
            state["beside"] = rate.text(state["done"] - done) or beside
            now = time.monotonic()
            if now - shown_at >= SECONDS_BETWEEN:
                shown_at = now
                shown.replace(text())

        try:
            yield advance
        finally:
            shown.replace("" if transient else text())

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show the title of a task below the notebook cell, as long as the task runs."""
        shown = _Shown(brief.busy(title))
        try:
            yield
        finally:
            shown.replace("")
