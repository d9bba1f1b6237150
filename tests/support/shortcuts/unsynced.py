"""Writing without waiting for the disk.

What is asked of the disk at each file and each commit (fsync) keeps data through a power cut, which
no test can try; a killed process loses nothing without it. The suite writes ten thousands of times.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


def unsynced(patch: pytest.MonkeyPatch) -> None:
    """Let files and SQLite databases of this process and its forks reach the disk at leisure."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connected(*words: Any, **options: Any) -> sqlite3.Connection:
        database = connect(*words, **options)
        with suppress(sqlite3.Error):  # no database: who opened it is told at the next statement
            database.execute("pragma synchronous = off")
        return database

    patch.setattr(os, "fsync", lambda file: None)
    patch.setattr(sqlite3, "connect", connected)
    patch.setattr(sqlite3.dbapi2, "connect", connected)  # by this name SQLAlchemy calls it


def with_a_template(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let MLflow's tables be made once in this process, and each new database be a copy.

    Only where something has imported the recording of runs; the making itself is tested by
    `test_compat_mlflow.py` and in every process that a test starts.
    """
    connection = sys.modules.get("gzfeatures.tracking.connection")
    if connection is None:
        return
    from gzfeatures.files import written_whole

    make, template = connection.make_database, folder / "template.db"

    def copied(path: Path) -> None:
        if not template.exists():
            make(template)
        with written_whole(path) as temporary:
            shutil.copyfile(template, temporary)

    patch.setattr(connection, "make_database", copied)
