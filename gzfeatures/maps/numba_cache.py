"""Give numba a folder for compiled code; without a folder umap cannot be imported."""

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
    """Give numba a temporary folder for compiled code if both of its usual folders are read-only.

    The usual folders are beside the source files, and in the user's cache.

    Both are read-only if a container or a cluster's module system provides the installation, and
    the home folder cannot be written. The temporary folder is new, private and removed at the end,
    so nobody else can put code into it. Call this before numba is imported, which reads the
    folder's path only once.
    """
    if "NUMBA_CACHE_DIR" in os.environ or "numba" in sys.modules:
        return
    if all(map(_beside, LIBRARIES)) or _usable(_user_cache()):
        return
    folder = tempfile.mkdtemp(prefix="gzfeatures-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder


def _beside(library: str) -> bool:
    """Return whether files can be written into the folder of an installed package."""
    spec = importlib.util.find_spec(library)
    return (
        spec is not None
        and spec.origin is not None
        and os.access(Path(spec.origin).parent, os.W_OK)
    )


def _user_cache() -> Path:
    """Return the folder in the user's cache in which numba stores compiled code."""
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
