"""Import skops (the library that reads head files) faster, without its list of trusted types.

skops makes that list by importing every module of scikit-learn, and with them torch, pytest and all
else that scikit-learn adapts to; then it asks every loaded module for each function of scipy. That
takes seconds, but a prediction only milliseconds. gzfeatures does not need the list:
`persist.read` gives skops all types that a head may contain (`file_safety.ALLOWED`). Other code in
the same process may need the list, so only a process of the command line leaves it out.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

LISTS = "skops.io._trusted_types"
"""Module of skops that makes its lists of trusted types when it is imported."""
_alone = 0


class _Empty(ModuleType):
    """Replace skops's lists of trusted types by empty lists, so that skops trusts no type."""

    def __getattr__(self, name: str) -> list[str]:
        if not name.endswith("_TYPE_NAMES"):
            raise AttributeError(name)
        return []


@contextmanager
def own_process() -> Iterator[None]:
    """Declare, for a `with` block, that no other code in this process uses skops."""
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def skops_io() -> ModuleType:
    """Import the module `skops.io`; inside `own_process`, without its lists of trusted types."""
    if not _alone or "skops.io" in sys.modules:
        return importlib.import_module("skops.io")
    sys.modules[LISTS] = _Empty(LISTS)
    try:
        return importlib.import_module("skops.io")
    except (AttributeError, ImportError):
        # a future skops may need something that the replacement (`_Empty`) of its module lacks:
        # then forget the half-imported skops, and import it again without the replacement
        for name in [name for name in sys.modules if name.startswith("skops.io")]:
            del sys.modules[name]
        return importlib.import_module("skops.io")
    finally:
        if isinstance(sys.modules.get(LISTS), _Empty):
            del sys.modules[LISTS]
