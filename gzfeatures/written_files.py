"""Return which command wrote a file: by a list of paths and checksums, or by a mark in the file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gzfeatures import fingerprint, user_folders
from gzfeatures.errors import OutputError
from gzfeatures.progress import SILENT, Progress

RECORD, ASIDE = "outputs.db", ".damaged"
WAIT_SECONDS = 60
SEAL = "gzfeatures_seal"
"""Key in a Parquet file's metadata: the command that wrote it, and a sha256 of earlier bytes."""
_MARK = re.compile(rb'<meta name="generator" content="gzfeatures ([a-z]+) ([0-9a-f]{64})">')
_HEAD = '<meta charset="utf-8">'
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def written_by(
    path: Path,
    folders: Iterable[Path] = (),
    verb: str | None = None,
    progress: Progress = SILENT,
) -> str | None:
    """Return the command that wrote a file's present content; None if unknown.

    A file in one of `folders` is also recognised by its name in this folder, because a folder of
    results may be copied. If several commands wrote the same content, `verb` is preferred.
    """
    try:
        digest = _digest(path)
        # two commands may have written the same bytes, such as an empty table, so prefer the
        # command that the caller asks for
        writers = _noted(_keys(path, folders), digest, progress)
        writer = verb if verb in writers else min(writers, default=None)
        return writer or _SEALS.get(path.suffix.lower(), lambda _: None)(path)
    except OSError:
        return None


def described(path: Path) -> str:
    """Return a phrase on an existing file: the command that wrote it or, if unknown, its size."""
    verb = written_by(path)
    size = path.stat().st_size
    return f"a file of '{verb}'" if verb else f"a file of {size:,} bytes"


def table_seal(path: Path, verb: str) -> str:
    """Return JSON for a Parquet file's metadata: a command and the written columns' checksum."""
    return json.dumps({"verb": verb, "sha256": _digest(path)})


def sealed_page(page: str, verb: str) -> str:
    """Return an HTML page with an added tag that names a command and the page's checksum."""
    digest = fingerprint.of_bytes(page.encode())
    return page.replace(
        _HEAD, f'{_HEAD}<meta name="generator" content="gzfeatures {verb} {digest}">', 1
    )


def _parquet_seal(path: Path) -> str | None:
    """Return the command that marked a Parquet file as its output; None if columns changed."""
    import pyarrow.parquet as pq

    try:
        note = json.loads((pq.read_metadata(path).metadata or {})[SEAL.encode()])
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            # a Parquet file ends with its metadata (with the mark) and 8 bytes that state their
            # length, so all bytes before them are the columns
            rest = path.stat().st_size - 8 - int.from_bytes(file.read(4), "little")
            return str(note["verb"]) if _digest(path, rest) == note["sha256"] else None
    except Exception:
        # a file notes the command that wrote it: if the file cannot be read, the command is unknown
        return None


def _page_seal(path: Path) -> str | None:
    """Return the command that marked an HTML page as its output; None if the page has changed."""
    page = path.read_bytes()
    seal = _MARK.search(page, 0, 4096)
    if seal is None or fingerprint.of_bytes(_MARK.sub(b"", page, 1)) != seal[2].decode():
        return None
    return seal[1].decode()


_SEALS = {".parquet": _parquet_seal, ".html": _page_seal}


def _digest(path: Path, size: int | None = None) -> str:
    """Return the sha256 of a file, or of its first `size` bytes."""
    if size is None:
        return fingerprint.of_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 2**20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def _keys(path: Path, folders: Iterable[Path]) -> list[bytes]:
    """Return a file's path with links resolved, and its path in each of `folders` with it."""
    place = Path(os.path.realpath(path.parent)) / path.name
    inside = [
        os.fsencode(place.relative_to(each)) for each in folders if place.is_relative_to(each)
    ]
    return [os.fsencode(place), *inside]


@contextmanager
def _record() -> Iterator[sqlite3.Connection]:
    place = user_folders.state_folder()
    place.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(place / RECORD, timeout=WAIT_SECONDS)) as connection, connection:
        # do not wait until the disk has stored each entry, which is slow: the database stays
        # complete even if this process is killed
        connection.execute("pragma synchronous = off")
        connection.execute(
            "create table if not exists outputs "
            "(path blob, sha256 text, verb text, primary key (path, sha256, verb)) without rowid"
        )
        yield connection


def record_write(
    path: Path,
    folders: Iterable[Path],
    digest: str,
    verb: str,
    progress: Progress,
) -> None:
    """Record a command, and path and checksum of a file that the command is about to write.

    The file is recorded by its path, and by its name in each of `folders` that contains it.

    Raises
    ------
    OutputError
        The disk is full. If the record cannot be written for any other reason, a warning is shown
        and the command continues.
    """
    try:
        with _record() as connection:
            rows = [(key, digest, verb) for key in _keys(path, folders)]
            connection.executemany("insert or ignore into outputs values (?, ?, ?)", rows)
    except (OSError, RuntimeError, sqlite3.Error) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL:
            raise OutputError(
                f"cannot be noted as written: {error}",
                where=path,
                remedy="free space or choose another place",
            ) from error
        _complain(str(error), progress)


def check_record(progress: Progress) -> None:
    """Warn before any work if the list of written files cannot be updated.

    A damaged record is renamed, and a new record begun. A full disk is reported later by
    `record_write`, for the file that lacks space.
    """
    try:
        with _record() as connection:
            (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            # try a change and undo it, which proves that file and folder are writable
            connection.execute("insert or ignore into outputs values (?, ?, ?)", (b"", "", ""))
            connection.rollback()
    except (OSError, RuntimeError, sqlite3.Error) as error:
        # subclasses of DatabaseError report locks or permissions; DatabaseError itself reports a
        # damaged file
        damaged = type(error) is sqlite3.DatabaseError
        if damaged and _set_aside():
            _complain(
                f"{error}; it is set aside as {RECORD}{ASIDE}, and a new one is begun", progress
            )
        elif getattr(error, "sqlite_errorcode", 0) & 0xFF not in _FULL:
            _complain(str(error), progress)


def _set_aside() -> bool:
    """Rename the damaged list of written files; return whether that was possible."""
    place = user_folders.state_folder() / RECORD
    try:
        place.replace(place.with_name(RECORD + ASIDE))
    except OSError:
        return False
    return True


def _noted(keys: list[bytes], digest: str, progress: Progress) -> set[str]:
    try:
        with _record() as connection:
            query = (
                f"select verb from outputs where path in ({','.join('?' * len(keys))}) "
                "and sha256 = ?"
            )
            verbs: list[Any] = connection.execute(query, (*keys, digest)).fetchall()
    except (OSError, RuntimeError, sqlite3.Error) as error:
        _complain(str(error), progress)
        return set()
    return {str(verb) for (verb,) in verbs}


_complained: list[str] = []


def _complain(why: str, progress: Progress) -> None:
    """Warn once per process that written files cannot be recorded."""
    if not _complained:
        _complained.append(why)
        progress.say(
            f"the record of written files {user_folders.state_folder() / RECORD} "
            f"($XDG_STATE_HOME) cannot be used ({why}): "
            "the same command again will ask for --overwrite"
        )
