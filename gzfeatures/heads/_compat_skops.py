"""Import skops (which reads heads) faster, without its list of all trusted types.

skops makes that list by importing every module of scikit-learn, and with them torch, pytest and all
else that scikit-learn adapts to; then it asks every loaded module for each function of scipy. That
takes seconds, of a verb that predicts in milliseconds. `persist.read` hands skops all types that a
head may hold (`file_safety.ALLOWED`), so that the list is not needed. Another user of skops in the
same process would need it: so it is left out in a process of the command line alone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

LISTS = "skops.io._trusted_types"
"""Module of skops that holds the lists, and makes them while it is imported."""
_alone = 0


class _Empty(ModuleType):
    """Replace skops's module of trusted types by empty lists, so that skops trusts no type."""

    def __getattr__(self, name: str) -> list[str]:
        if not name.endswith("_TYPE_NAMES"):
            raise AttributeError(name)
        return []


@contextmanager
def own_process() -> Iterator[None]:
    """Declare that nothing else in this process uses skops while the block runs."""
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def skops_io() -> ModuleType:
    """Import the module `skops.io`; within `own_process`, without its lists of trusted types."""
    if not _alone or "skops.io" in sys.modules:
        return importlib.import_module("skops.io")
    sys.modules[LISTS] = _Empty(LISTS)
    try:
        return importlib.import_module("skops.io")
    except (AttributeError, ImportError):
        # a future skops may need more of the replaced module than its lists; then import it
        # unchanged
        for name in [name for name in sys.modules if name.startswith("skops.io")]:
            del sys.modules[name]
        return importlib.import_module("skops.io")
    finally:
        if isinstance(sys.modules.get(LISTS), _Empty):
            del sys.modules[LISTS]
