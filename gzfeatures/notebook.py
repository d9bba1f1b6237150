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
    """Return whether this process is the kernel of a notebook, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Shown:
    """Hold one piece of HTML below a cell, which can be replaced."""

    def __init__(self, text: str) -> None:
        # IPython is no dependency: only its own kernel comes here, which has it
        self._module: Any = importlib.import_module("IPython.display")
        self._handle = self._module.display(self._module.HTML(text), display_id=True)

    def replace(self, text: str) -> None:
        """Show another text in its place."""
        # outside of a kernel there is no handle, and nothing to update
        if self._handle is not None:
            self._handle.update(self._module.HTML(text))


@dataclasses.dataclass(frozen=True)
class Notebook:
    """Write lines and draw bars below the cell of a notebook."""

    @property
    def shows(self) -> bool:
        """Return True, because the user sees the cell."""
        return True

    def say(self, line: str, *, aside: bool = False) -> None:
        """Write a line below the cell."""
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
        """Draw a bar as HTML; yield the function that advances the bar."""
        state: dict[str, Any] = {"title": title, "done": done, "beside": ""}
        begun = shown_at = time.monotonic()
        shown = _Shown(brief.bar(title, done, total))

        def text() -> str:
            return brief.bar(state["title"], state["done"], total, state["beside"])

        def advance(number: int = 1, *, title: str | None = None, beside: str = "") -> None:
            nonlocal shown_at
            state["done"] += number
            state["title"] = title or state["title"]
            now = time.monotonic()
            rate = (state["done"] - done) / max(now - begun, 1e-9)
            state["beside"] = f"{rate:.0f} {unit}/s" if unit else beside
            if now - shown_at >= SECONDS_BETWEEN:
                shown_at = now
                shown.replace(text())

        try:
            yield advance
        finally:
            shown.replace("" if transient else text())

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show the title while work of unknown length goes on."""
        shown = _Shown(brief.busy(title))
        try:
            yield
        finally:
            shown.replace("")
