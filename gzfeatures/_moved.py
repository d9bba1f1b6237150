"""Import modules by their names in version 0.1, with a warning that states the new name."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

PACKAGE = "gzfeatures."


@cache
def _table() -> dict[str, Any]:
    """Read moved.toml: the old names of modules, classes and functions, with their new names."""
    # import tomllib late, because every import of gzfeatures loads this module, but few programs
    # use old names
    import tomllib
    from importlib.resources import files

    return tomllib.loads(files("gzfeatures").joinpath("moved.toml").read_text("utf-8"))


def names_of(old: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module's old name, which finds each name where it is now.

    Parameters
    ----------
    old : str
        Old name of the module, without the package name.

    Returns
    -------
    callable
        Takes the old name of a class or function, warns with the new name (DeprecationWarning), and
        returns the class or function.
    """

    def lookup(name: str) -> Any:
        new = _table()["modules"][old]
        # most names of an old module are in the same new module; a new name with dots, such as
        # `a.b.Name`, is in the module `a.b`
        renamed_to = _table()["names"].get(old, {}).get(name, name)
        elsewhere, _, current = renamed_to.rpartition(".")
        new = PACKAGE + (elsewhere or new)
        absent = AttributeError(f"module {PACKAGE + old!r} has no attribute {name!r}")
        if name.startswith("__"):
            raise absent
        try:
            module = importlib.import_module(new)
        except ModuleNotFoundError as error:
            # raise AttributeError instead of ModuleNotFoundError: pickle and skops ask every loaded
            # module for names, and a missing torch must not stop them
            raise absent from error
        if not hasattr(module, current):
            raise absent
        warnings.warn(
            f"{PACKAGE}{old}.{name} is {new}.{current} now", DeprecationWarning, stacklevel=2
        )
        return getattr(module, current)

    return lookup


def renamed(old: str, new: str) -> property:
    """Return a property for an attribute's old name: it warns, and gives the new name's value."""

    def lookup(self: object) -> Any:
        warnings.warn(
            f"{type(self).__name__}.{old} is .{new} now", DeprecationWarning, stacklevel=2
        )
        return getattr(self, new)

    return property(lookup, doc=f"Earlier name of `{new}`.")


class _Moved:
    """Find a module of gzfeatures by its old name, after Python's other import finders have failed.

    It has the methods of importlib's finders and loaders, whose base classes take long to import.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(PACKAGE)
        if not fullname.startswith(PACKAGE) or old not in _table()["modules"]:
            # Python imports the folder gzfeatures.results before the module gzfeatures.results.x:
            # if this folder no longer exists, an empty package lets Python go on to the module
            gone = fullname.startswith(PACKAGE) and any(
                name.startswith(old + ".") for name in _table()["modules"]
            )
            return ModuleSpec(fullname, cast(Any, self), is_package=True) if gone else None
        return ModuleSpec(fullname, cast(Any, self))

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that Python itself creates the module object."""

    def exec_module(self, module: ModuleType) -> None:
        """Let a module under an old name return the classes and functions of the new module."""
        old = module.__name__.removeprefix(PACKAGE)
        if old in _table()["modules"]:
            module.__dict__["__getattr__"] = names_of(old)


def install() -> None:
    """Make Python look up old module names when it finds no module of gzfeatures by that name."""
    sys.meta_path.append(_Moved())
