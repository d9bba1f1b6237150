"""Define errors that tell in one line what failed, where, the rule, the value and the remedy.

::

    GzError
    ├── InputError            (ValueError)         a file or value breaks a rule
    ├── MissingFileError      (FileNotFoundError)  a named file is not there
    ├── MissingExtraError     (ImportError)        a package that is needed is not installed
    ├── UnknownNameError      (LookupError)        a name is not in its table
    ├── WeightsError          (RuntimeError)       network weights cannot be had or do not fit
    ├── LeakError             (ValueError)         a galaxy stands on two sides of a split
    └── OutputError           (OSError)            a result cannot be written
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from types import ModuleType


def _quoted(value: object, limit: int = 160) -> str:
    """Return a value as one line of text with control characters escaped."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"


class NotFirstProcess(Exception):
    """Raised in a process that only helped another process to train a network, and must end now.

    It reports no failure. Some strategies of the library Lightning run the user's script in every
    process. All processes reach the end of the training, but only one may continue and write
    results.
    """


class GzError(Exception):
    """Build the one-line message of an error: what failed, where, rule, value and remedy.

    Parameters
    ----------
    what : str
        What went wrong.
    where : object, optional
        File, row, column or argument with the fault.
    rule : str, optional
        What must hold.
    found : object, optional
        The value that breaks the rule.
    remedy : str, optional
        What the user can do about the error.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        rule: str | None = None,
        found: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.where, self.rule, self.found, self.remedy = what, where, rule, found, remedy
        text = what if where is None else f"{_quoted(str(where))}: {what}"
        if rule is not None:
            text += f"; must {rule}"
        if found is not None:
            text += f", found {_quoted(found)}"
        if remedy is not None:
            text += f"; {remedy}"
        self.message = _quoted(text, limit=2000)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class InputError(GzError, ValueError):
    """Raised if a file or value breaks a rule."""


class MissingFileError(GzError, FileNotFoundError):
    """Raised if a named file or folder does not exist."""


class MissingExtraError(GzError, ImportError):
    """Raised if a package that this task needs is not installed, such as torch."""


class UnknownNameError(GzError, LookupError):
    """Raised if a name, such as that of a head or backbone, is not in the list of legal names."""


class WeightsError(GzError, RuntimeError):
    """Raised if network weights are missing or do not fit the network."""


class LeakError(GzError, ValueError):
    """Raised if one galaxy, or galaxies of one group, are used both for training and for tests."""


class OutputError(GzError, OSError):
    """Raised if an output file or folder cannot be written."""


NO_MEMORY = (
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "can't start new thread",
    "could not create a primitive",
    "failed to map segment",
    "cannot map zero-fill pages",
)
"""Parts of messages by which libraries report a lack of memory."""


def lacks_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, reports a lack of memory.

    If the system has too little memory to load a library, Python raises an ImportError, often with
    a second ImportError around it, which looks as if a package were not installed.
    """
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
            return True
        # an ImportError stores the operating system's error (out of memory) as its context, not as
        # its cause
        error = error.__cause__ or (error.__context__ if isinstance(error, ImportError) else None)
    return False


@contextmanager
def parsing(
    what: str, where: object, *, rule: str | None = None, remedy: str | None = None
) -> Iterator[None]:
    """Turn any error that a library raises while it reads a damaged file into one InputError.

    Libraries raise errors of any type for damaged files, some without a message. Errors of
    gzfeatures, and those that report a lack of memory, stay unchanged.

    Parameters
    ----------
    what, where, rule, remedy
        Parts of the InputError's message; its `found` is the type and first line of the library's
        error.

    Raises
    ------
    InputError
        The block raised any other error.
    """
    try:
        yield
    except (GzError, MemoryError):
        raise
    except Exception as error:
        if lacks_memory(error):
            raise
        raised = f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0]
        raise InputError(what, where=where, rule=rule, found=raised, remedy=remedy) from error


def unknown(kind: str, name: str, legal: Collection[str]) -> UnknownNameError:
    """Return an UnknownNameError that lists the legal names and suggests a similar one.

    Parameters
    ----------
    kind : str
        What has the name: "head", "backbone", "scheme", …
    name : str
        The unknown name.
    legal : collection of str
        The legal names.
    """
    close = get_close_matches(name, legal, n=1)
    remedy = f"did you mean '{close[0]}'?" if close else None
    return UnknownNameError(
        f"unknown {kind}", rule=f"be one of {', '.join(legal)}", found=name, remedy=remedy
    )


def require_known(kind: str, names: Iterable[str], legal: Collection[str]) -> None:
    """Raise an UnknownNameError for the first name that is not in the list of legal names."""
    for name in names:
        if name not in legal:
            raise unknown(kind, name, legal)


def require_format(what: str, found: int, newest: int, where: object) -> None:
    """Raise InputError if a file's format number is newer than gzfeatures can read."""
    if found > newest:
        raise InputError(
            f"{what} format is newer",
            where=where,
            rule=f"be at most {newest}",
            found=found,
            remedy="update gzfeatures",
        )


def need(module: str, extra: str) -> ModuleType:
    """Import an optional Python package, or raise an error that tells how to install it.

    Parameters
    ----------
    module : str
        Module to import.
    extra : str
        Optional dependency group (extra) of gzfeatures that installs the module.

    Raises
    ------
    MissingExtraError
        The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if lacks_memory(error):
            raise
        raise MissingExtraError(
            f"the optional package '{module}' is not installed",
            remedy=f"pip install 'gzfeatures[{extra}]'",
        ) from error


BEYOND_CORE = {
    "torch": "torch",
    "torchvision": "torchvision",
    "lightning": "lightning",
    "captum": "captum",
    "mlflow": "mlflow",
    "xgboost": "xgboost",
}
"""Modules that commands on tables do not need, with the packages that install them."""
NETWORK = ("torch", "torchvision")
"""Modules that compute with a network."""


def require_packages(job: str, *modules: str) -> None:
    """Raise an error before a task begins if Python packages that it needs are not installed.

    Parameters
    ----------
    job : str
        The task that needs the packages, as the subject of the message: "extracting vectors".
    *modules : str
        Modules that the task needs: keys of `BEYOND_CORE`.

    Raises
    ------
    MissingExtraError
        A module is not installed.

    Examples
    --------
    >>> require_packages("reading this line")
    """
    missing = [name for name in modules if not _is_installed(name)]
    if missing:
        raise without(job, *missing)


def without(job: str, *modules: str) -> MissingExtraError:
    """Return the error for a task whose Python packages are not installed."""
    packages = " ".join(BEYOND_CORE.get(name, name) for name in modules)
    return MissingExtraError(
        f"{job} needs {' and '.join(modules)}, which {'is' if len(modules) == 1 else 'are'} "
        "not installed",
        remedy=f"pip install {packages}",
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
    except ValueError:
        # find_spec raises ValueError for a module that a program created by hand, but such a module
        # is usable
        return True
