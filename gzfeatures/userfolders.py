"""Folders of the user that the package keeps things of its own in: what can be made again, and what it remembers."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache() -> Path:
    """Where vectors and compiled networks are kept: `$GZFEATURES_STORE`, or in the user's cache folder."""
    place = os.environ.get("GZFEATURES_STORE")
    if place:
        return Path(place).expanduser()
    home = Path.home()
    caches = {"darwin": home / "Library" / "Caches", "win32": home / "AppData" / "Local"}
    return Path(os.environ.get("XDG_CACHE_HOME") or caches.get(sys.platform, home / ".cache")) / "gzfeatures"


def state() -> Path:
    """Where the record of written files is kept: in `$XDG_STATE_HOME`, or the user's state folder."""
    home = Path.home()
    states = {"darwin": home / "Library" / "Application Support", "win32": home / "AppData" / "Local"}
    place = os.environ.get("XDG_STATE_HOME") or states.get(sys.platform, home / ".local" / "state")
    return Path(place) / "gzfeatures"
