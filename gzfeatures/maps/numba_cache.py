"""Give numba a folder for compiled code, without which umap cannot be imported."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

LIBRARIES = ("umap", "pynndescent", "gzfeatures")
"""Packages with functions that numba stores compiled, beside their sources or in a cache."""


def require_numba_cache() -> None:
    """Give numba a temporary folder if it cannot write to either of its usual folders.

    These are beside the sources, and in the user's cache.

    So it is with an installation that is read-only (a container, a module of a cluster) and a home
    that cannot be written. The folder is new, private and removed at the end: compiled code is only
    loaded from where nobody else could have put it. To be called before numba is imported, which
    reads the address once.
    """
    if "NUMBA_CACHE_DIR" in os.environ or "numba" in sys.modules:
        return
    if all(map(_beside, LIBRARIES)) or _usable(_user_cache()):
        return
    folder = tempfile.mkdtemp(prefix="gzfeatures-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder


def _beside(library: str) -> bool:
    """Return whether the folder of a package's sources can be written."""
    spec = importlib.util.find_spec(library)
    return (
        spec is not None
        and spec.origin is not None
        and os.access(Path(spec.origin).parent, os.W_OK)
    )


def _user_cache() -> Path:
    """Return the folder in the user's cache in which numba keeps compiled code."""
    home = os.environ.get("XDG_CACHE_HOME")
    places = {
        "darwin": Path("~/Library/Caches"),
        "win32": Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")),
    }
    return (places.get(sys.platform) or Path(home or "~/.cache")).expanduser() / "numba"


def _usable(folder: Path) -> bool:
    """Return whether files can be created in a folder, which is created if needed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
