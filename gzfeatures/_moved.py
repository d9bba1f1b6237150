"""Imports by the module names of version 0.1, which lead to where things are now and warn."""

from __future__ import annotations

import importlib
import sys
import tomllib
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.resources import files
from types import ModuleType
from typing import Any

PACKAGE = "gzfeatures."


@cache
def _table() -> dict[str, Any]:
    """Return `modules` (old name to new) and `names` (old module to its renamed names)."""
    return tomllib.loads(files("gzfeatures").joinpath("moved.toml").read_text("utf-8"))


def names_of(old: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that stood at a name where a folder stands now.

    Parameters
    ----------
    old : str
        Name of the module, without the package.

    Returns
    -------
    callable
        Gives a name of the old module by what it is called now, with a DeprecationWarning.
    """

    def lookup(name: str) -> Any:
        new = PACKAGE + _table()["modules"][old]
        current = _table()["names"].get(old, {}).get(name, name)
        if name.startswith("__") or not hasattr(module := importlib.import_module(new), current):
            raise AttributeError(f"module {PACKAGE + old!r} has no attribute {name!r}")
        warnings.warn(
            f"{PACKAGE}{old}.{name} is {new}.{current} now", DeprecationWarning, stacklevel=2
        )
        return getattr(module, current)

    return lookup


def renamed(old: str, new: str) -> property:
    """Return a property that gives what is called `new` now, with a DeprecationWarning."""

    def lookup(self: object) -> Any:
        warnings.warn(
            f"{type(self).__name__}.{old} is .{new} now", DeprecationWarning, stacklevel=2
        )
        return getattr(self, new)

    return property(lookup, doc=f"Earlier name of `{new}`.")


class _Moved(MetaPathFinder, Loader):
    """Finds a module by its old name, after all others have not found it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(PACKAGE)
        if not fullname.startswith(PACKAGE) or old not in _table()["modules"]:
            # a folder that is gone, such as gzfeatures.results, is a package of old names
            gone = fullname.startswith(PACKAGE) and any(
                name.startswith(old + ".") for name in _table()["modules"]
            )
            return ModuleSpec(fullname, self, is_package=True) if gone else None
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the names of the one that took its place."""
        old = module.__name__.removeprefix(PACKAGE)
        if old in _table()["modules"]:
            module.__dict__["__getattr__"] = names_of(old)


def install() -> None:
    """Have Python ask here for modules of this package that it does not find."""
    sys.meta_path.append(_Moved())
