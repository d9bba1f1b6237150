"""Return the user's folders for embeddings, compiled networks and the list of written files."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_scratch: list[Path] = []


def cache() -> Path:
    """Return the folder of stored embeddings: `$GZFEATURES_STORE` or one in the user's cache."""
    return _cached("GZFEATURES_STORE", "gzfeatures")


def compiled() -> Path:
    """Return the folder of compiled networks: `$GZFEATURES_COMPILED` or in the user's cache."""
    return _cached("GZFEATURES_COMPILED", "gzfeatures-compiled")


def _cached(variable: str, name: str) -> Path:
    place = os.environ.get(variable)
    if place:
        return Path(place).expanduser()
    home = Path.home()
    caches = {"darwin": home / "Library" / "Caches", "win32": home / "AppData" / "Local"}
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or caches.get(sys.platform, home / ".cache")) / name
    )


def scratch() -> Path:
    """Return the folder for data larger than the memory: `scratch_in`'s, or the temporary one."""
    return _scratch[-1] if _scratch else Path(tempfile.gettempdir())


@contextmanager
def scratch_in(folder: Path) -> Iterator[None]:
    """Use `folder` for data larger than the memory inside a `with` block, in all threads.

    Parameters
    ----------
    folder : Path
        Created when it is first needed. It should be on a disk: `/tmp` is in memory on some
        machines.

    Examples
    --------
    >>> with scratch_in(Path("scratch")):
    ...     print(scratch())
    scratch
    """
    _scratch.append(folder)
    try:
        yield
    finally:
        _scratch.remove(folder)


def state_folder() -> Path:
    """Return the folder with the list of written files: `$XDG_STATE_HOME` or a default."""
    home = Path.home()
    states = {
        "darwin": home / "Library" / "Application Support",
        "win32": home / "AppData" / "Local",
    }
    place = os.environ.get("XDG_STATE_HOME") or states.get(sys.platform, home / ".local" / "state")
    return Path(place) / "gzfeatures"
