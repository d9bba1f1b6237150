"""Import modules by their names in version 0.1, with a warning that tells the new name."""

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
    """Return the old and new names of modules, and of classes and functions, from moved.toml."""
    # import tomllib late, because every import of gzfeatures loads this module
    import tomllib
    from importlib.resources import files

    return tomllib.loads(files("gzfeatures").joinpath("moved.toml").read_text("utf-8"))


def names_of(old: str) -> Callable[[str], Any]:
    """Return the `__getattr__` function of an old module name, which finds renamed classes.

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
        new = _table()["modules"][old]
        # a new name with dots lies in another module than the other names of the old module
        renamed_to = _table()["names"].get(old, {}).get(name, name)
        elsewhere, _, current = renamed_to.rpartition(".")
        new = PACKAGE + (elsewhere or new)
        absent = AttributeError(f"module {PACKAGE + old!r} has no attribute {name!r}")
        if name.startswith("__"):
            raise absent
        try:
            module = importlib.import_module(new)
        except ModuleNotFoundError as error:
            # report an absent name instead of a missing package, because pickle and skops ask every
            # loaded module for names, also where torch is not installed
            raise absent from error
        if not hasattr(module, current):
            raise absent
        warnings.warn(
            f"{PACKAGE}{old}.{name} is {new}.{current} now", DeprecationWarning, stacklevel=2
        )
        return getattr(module, current)

    return lookup


def renamed(old: str, new: str) -> property:
    """Return a property with an old name, which returns the value of the new name and warns."""

    def lookup(self: object) -> Any:
        warnings.warn(
            f"{type(self).__name__}.{old} is .{new} now", DeprecationWarning, stacklevel=2
        )
        return getattr(self, new)

    return property(lookup, doc=f"Earlier name of `{new}`.")


class _Moved:
    """Find a module of gzfeatures by its old name, after all other finders have failed.

    It has the methods of importlib's finders and loaders, whose base classes take long to import.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(PACKAGE)
        if not fullname.startswith(PACKAGE) or old not in _table()["modules"]:
            # treat a removed folder, such as gzfeatures.results, as a package, because old module
            # names lie in it
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
