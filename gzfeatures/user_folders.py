"""Folders of the user that the package keeps things of its own in: what can be made again, and what it remembers."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache() -> Path:
    """Where vectors are stored: `$GZFEATURES_STORE`, or in the user's cache folder."""
    return _cached("GZFEATURES_STORE", "gzfeatures")


def compiled() -> Path:
    """Where compiled networks are stored: `$GZFEATURES_COMPILED`, or in the user's cache folder, beside the vectors."""
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


def state_folder() -> Path:
    """Where the record of written files is kept: in `$XDG_STATE_HOME`, or the user's state folder."""
    home = Path.home()
    states = {
        "darwin": home / "Library" / "Application Support",
        "win32": home / "AppData" / "Local",
    }
    place = os.environ.get("XDG_STATE_HOME") or states.get(sys.platform, home / ".local" / "state")
    return Path(place) / "gzfeatures"
