"""Import modules by their names in version 0.1, with a warning that gives the new name."""

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
    """Return `modules` (old to new names) and `names` (renamed names of each old module)."""
    # read late, because every start of Python imports this module
    import tomllib
    from importlib.resources import files

    return tomllib.loads(files("gzfeatures").joinpath("moved.toml").read_text("utf-8"))


def names_of(old: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module whose name now belongs to a folder.

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
        # a name with dots is in another module than the other names of its old module
        renamed_to = _table()["names"].get(old, {}).get(name, name)
        elsewhere, _, current = renamed_to.rpartition(".")
        new = PACKAGE + (elsewhere or new)
        absent = AttributeError(f"module {PACKAGE + old!r} has no attribute {name!r}")
        if name.startswith("__"):
            raise absent
        try:
            module = importlib.import_module(new)
        except ModuleNotFoundError as error:
            # pickle and skops ask every loaded module for a name; torch may not be installed
            raise absent from error
        if not hasattr(module, current):
            raise absent
        warnings.warn(
            f"{PACKAGE}{old}.{name} is {new}.{current} now", DeprecationWarning, stacklevel=2
        )
        return getattr(module, current)

    return lookup


def renamed(old: str, new: str) -> property:
    """Return a property under an old name: the value of the new name, with a DeprecationWarning."""

    def lookup(self: object) -> Any:
        warnings.warn(
            f"{type(self).__name__}.{old} is .{new} now", DeprecationWarning, stacklevel=2
        )
        return getattr(self, new)

    return property(lookup, doc=f"Earlier name of `{new}`.")


class _Moved:
    """Find a module by its old name, after all other finders have failed.

    It has the methods of importlib's finders and loaders, whose base classes take long to import.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(PACKAGE)
        if not fullname.startswith(PACKAGE) or old not in _table()["modules"]:
            # a removed folder, such as gzfeatures.results, is a package that contains old names
            gone = fullname.startswith(PACKAGE) and any(
                name.startswith(old + ".") for name in _table()["modules"]
            )
            return ModuleSpec(fullname, cast(Any, self), is_package=True) if gone else None
        return ModuleSpec(fullname, cast(Any, self))

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the making of a module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Give the old module the names of its successor."""
        old = module.__name__.removeprefix(PACKAGE)
        if old in _table()["modules"]:
            module.__dict__["__getattr__"] = names_of(old)


def install() -> None:
    """Make Python search old names for modules of gzfeatures that it does not find."""
    sys.meta_path.append(_Moved())
