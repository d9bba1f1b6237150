"""Outputs: what a verb may write. An input is never overwritten, nor a file that the same verb did not write there.

A verb works under a `Guard`. It is asked before any work about every file that is known by then, and by
`files.written_whole` about every file at the moment it would appear. What appears is noted, path and sha256, in one
SQLite record in the user's state folder, so that the same command may replace it; Parquet and HTML also carry a seal,
the verb and a digest of the rest of the file, and are known without the record.

The guard lies with the verbs of the command line, and with `gzfeatures.run`, which derives as many names. In Python a
single `write(path)`, `train(folder=…)` or `download(…, folder)` does what it is told: it replaces, whole or not at all,
what bears the name; `with guarded(…)` puts it under the same rule.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import sqlite3
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures import fingerprint, userfolders
from gzfeatures.errors import OutputError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

RECORD = "outputs.db"
WAIT_SECONDS = 60
SEAL = "gzfeatures_seal"
"""Key of a Parquet file's metadata, with the verb and the digest of all bytes before the metadata as JSON."""
IMAGES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp"),
    *(".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz", ".fit.fz", ".npy", ".npz"),
)
"""Endings of what a folder of images holds."""
_MARK = re.compile(rb'<meta name="generator" content="gzfeatures ([a-z]+) ([0-9a-f]{64})">')
_HEAD = '<meta charset="utf-8">'
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)

_guard: Guard | None = None
"""Of the verb at work: a process does one at a time, and its threads write under the same."""


@dataclasses.dataclass(frozen=True, eq=False)
class Guard:
    """The rule under which a verb writes.

    Parameters
    ----------
    verb : str
        Whose files may be replaced.
    inputs : tuple of Path
        Files and folders that it reads.
    overwrite : bool
        Replace also what it did not write; an input never.
    """

    verb: str
    inputs: tuple[Path, ...] = ()
    overwrite: bool = False
    _nodes: dict[tuple[int, int], Path] = dataclasses.field(init=False, default_factory=dict)
    _names: dict[str, Path] = dataclasses.field(init=False, default_factory=dict)
    _folders: list[tuple[Path, Path]] = dataclasses.field(init=False, default_factory=list)
    _own: list[Path] = dataclasses.field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for path in self.inputs:
            self._names[_plain(path)] = path
            status = _status(path)
            if status is not None:
                self._nodes[status.st_dev, status.st_ino] = path  # another name, a link, other letter case
                if stat.S_ISDIR(status.st_mode):
                    self._folders.append((_real(path), path))

    def allow(self, path: Path) -> None:
        """Refuse a file that may not be written; nothing is touched.

        Raises
        ------
        OutputError
            It is an input, or lies in one; it is a folder, a device or a pipe; or it is there, is not what this verb
            wrote there, and may not be overwritten.
        """
        status = _status(path)
        ours = status is not None and stat.S_ISREG(status.st_mode) and self.wrote(path)
        read = self._input(path, status, ours)
        if read is not None:
            raise OutputError(
                "would overwrite an input", where=path, rule="be none of the files that are read", found=str(read),
                remedy="choose another name",
            )  # fmt: skip
        if status is None or ours:
            return
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise OutputError(f"cannot be written: it is {kind}", where=path, remedy="choose another name")
        if not self.overwrite:
            raise OutputError(
                f"is there and was not written by '{self.verb}', or was changed since",
                where=path,
                rule="be absent or as the same verb left it",
                found=_described(path),
                remedy="choose another name, or replace it with --overwrite",
            )

    def wrote(self, path: Path) -> bool:
        """Whether the verb wrote the very bytes of a file to its place, or under its name in a folder since copied."""
        return written_by(path, self._own, self.verb) == self.verb

    def allow_folder(self, folder: Path) -> None:
        """Refuse a folder to write in that is itself read; else it is one of the verb's own from now on.

        Raises
        ------
        OutputError
            It is an input, or is there and no folder.
        """
        status = _status(folder)
        read = None if status is None else self._nodes.get((status.st_dev, status.st_ino))
        if read is not None:
            raise OutputError(
                "would be written into while it is read", where=folder, rule="be none of the inputs", found=str(read),
                remedy="choose another folder",
            )  # fmt: skip
        if status is not None and not stat.S_ISDIR(status.st_mode):
            raise OutputError("cannot be written: it is no folder", where=folder, remedy="choose another place")
        self._own.append(_real(folder))

    def keep_apart(self, path: Path) -> None:
        """Refuse an output that would be one more image of a folder of images that is read.

        Raises
        ------
        OutputError
            It is named like an image and lies in a folder that is an input.
        """
        real = _real(path)
        read = next((given for folder, given in self._folders if real.is_relative_to(folder)), None)
        if read is not None and real.name.lower().endswith(IMAGES):
            raise OutputError(
                "would become one of the images that are read", where=path,
                rule="lie outside of the folders that are read", found=str(read), remedy="choose another place",
            )  # fmt: skip

    def replacing(self, path: Path, fresh: Path) -> None:
        """Ask about a file at the moment in which `fresh` takes its place, and note what will lie there.

        It is noted before it appears: a call that is killed in between leaves a note too many, not a file without one.
        """
        if _real(path).is_relative_to(_real(userfolders.cache())):
            return
        digest = fingerprint.of_file(fresh)
        if not (path.is_file() and self._input(path, _status(path), True) is None and _digest(path) == digest):
            self.allow(path)
        _note(_keys(path, self._own), digest, self.verb, path)

    def _input(self, path: Path, status: os.stat_result | None, ours: bool) -> Path | None:
        """The input that a path is, or lies in; what the verb itself wrote into an input folder is not of it."""
        if status is not None and (status.st_dev, status.st_ino) in self._nodes:
            return self._nodes[status.st_dev, status.st_ino]
        if (plain := _plain(path)) in self._names:
            return self._names[plain]
        if status is None or ours or stat.S_ISDIR(status.st_mode):
            return None
        real = _real(path)
        return next((given for folder, given in self._folders if real.is_relative_to(folder)), None)


@contextmanager
def guarded(
    verb: str,
    *,
    inputs: Iterable[Path] = (),
    files: Iterable[Path] = (),
    folders: Iterable[Path] = (),
    overwrite: bool = False,
) -> Iterator[Guard]:
    """Work as a verb: what is written meanwhile is asked about and noted.

    Parameters
    ----------
    verb : str
        Whose files may be replaced; under another guard, those of `inputs` that were read there stay inputs.
    inputs : iterable of Path
        Files and folders that are read; addresses and names of nothing on this disk do no harm.
    files, folders : iterable of Path
        What is known beforehand to be written, asked about at once.
    overwrite : bool
        Replace also what the verb did not write.

    Raises
    ------
    OutputError
        A file may not be written, or is named twice; nothing has been touched.
    """
    global _guard
    outer = _guard
    known = outer.inputs if outer else ()
    guard = Guard(verb, (*known, *inputs), overwrite or bool(outer and outer.overwrite))
    named: dict[str, Path] = {}
    for path in files:
        if (twice := named.setdefault(_plain(path), path)) is not path:
            raise OutputError("named for two outputs", where=path, found=str(twice), remedy="choose another name")
    for folder in folders:
        guard.allow_folder(folder)
    for path in named.values():
        guard.allow(path)
        guard.keep_apart(path)
    _guard = guard
    try:
        yield guard
    finally:
        _guard = outer


def current() -> Guard | None:
    """Guard of the verb at work; None in a Python session outside of `guarded`."""
    return _guard


def allow(paths: Iterable[Path], folder: Path | None = None) -> None:
    """Ask about files that become known while a verb works, and their folder; nothing without a guard.

    Raises
    ------
    OutputError
        As `Guard.allow`.
    """
    if _guard is not None:
        if folder is not None:
            _guard.allow_folder(folder)
        for path in paths:
            _guard.allow(path)


def remove(path: Path) -> None:
    """Remove a file that has to go for an output to be right; only what may be replaced.

    Raises
    ------
    OutputError
        As `Guard.allow`.
    """
    allow([path])
    path.unlink(missing_ok=True)


def written_by(path: Path, folders: Iterable[Path] = (), verb: str | None = None) -> str | None:
    """The verb that wrote the very bytes of a file to its place: by the record, or by the file's own seal.

    In one of `folders` its place is its name there, since a folder of results may be copied. Where several did, it is
    the one asked for.
    """
    try:
        digest = _digest(path)
        noted = _noted(_keys(path, folders), digest)
        found = verb if verb in noted else min(noted, default=None)
        return found or _SEALS.get(path.suffix.lower(), lambda _: None)(path)
    except OSError:
        return None


def seal_parquet(writer: pq.ParquetWriter, path: Path) -> None:
    """Let a Parquet file that is all written but its metadata say which verb wrote it; nothing without a guard."""
    if _guard is not None:
        note = {"verb": _guard.verb, "sha256": _digest(path)}
        writer.add_key_value_metadata({SEAL: json.dumps(note)})


def sealed(page: str) -> str:
    """An HTML page that says which verb wrote it; the same page without a guard."""
    if _guard is None or _HEAD not in page:
        return page
    digest = fingerprint.of_bytes(page.encode())
    return page.replace(_HEAD, f'{_HEAD}<meta name="generator" content="gzfeatures {_guard.verb} {digest}">', 1)


def _parquet_seal(path: Path) -> str | None:
    """Verb of a Parquet file whose columns are as that verb wrote them."""
    import pyarrow.parquet as pq

    try:
        note = json.loads((pq.read_metadata(path).metadata or {})[SEAL.encode()])
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            rest = path.stat().st_size - 8 - int.from_bytes(file.read(4), "little")
            return str(note["verb"]) if _digest(path, rest) == note["sha256"] else None
    except Exception:  # whatever is the matter with it: it says nothing
        return None


def _page_seal(path: Path) -> str | None:
    """Verb of a page that is as that verb wrote it."""
    page = path.read_bytes()
    found = _MARK.search(page, 0, 4096)
    if found is None or fingerprint.of_bytes(_MARK.sub(b"", page, 1)) != found[2].decode():
        return None
    return found[1].decode()


_SEALS = {".parquet": _parquet_seal, ".html": _page_seal}


def _digest(path: Path, size: int | None = None) -> str:
    """Sha256 of a file, or of so many bytes from its start."""
    if size is None:
        return fingerprint.of_file(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 2**20))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


def _described(path: Path) -> str:
    """What an existing file is, in a word."""
    verb = written_by(path)
    size = path.stat().st_size
    return f"a file of '{verb}'" if verb else f"a file of {size:,} bytes"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # not there, not to be looked at, or no path at all
        return None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _plain(path: Path) -> str:
    """Name by which two paths are one also where letter case does not count."""
    return os.path.realpath(path).casefold()


def _keys(path: Path, folders: Iterable[Path]) -> list[bytes]:
    """A file's own place: the folder without links, and the name; and its name in each folder that holds it."""
    place = _real(path.parent) / path.name
    inside = [os.fsencode(place.relative_to(each)) for each in folders if place.is_relative_to(each)]
    return [os.fsencode(place), *inside]


@contextmanager
def _record() -> Iterator[sqlite3.Connection]:
    place = userfolders.state()
    place.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(place / RECORD, timeout=WAIT_SECONDS)) as connection, connection:
        connection.execute("pragma synchronous = off")  # a killed process loses nothing by it
        connection.execute(
            "create table if not exists outputs "
            "(path blob, sha256 text, verb text, primary key (path, sha256, verb)) without rowid"
        )
        yield connection


def _note(keys: list[bytes], digest: str, verb: str, path: Path) -> None:
    """Note what a verb is about to write.

    Raises
    ------
    OutputError
        The disk is full. Where there is no place for a record at all, a line says so and the work goes on.
    """
    try:
        with _record() as connection:
            rows = [(key, digest, verb) for key in keys]
            connection.executemany("insert or ignore into outputs values (?, ?, ?)", rows)
    except (OSError, RuntimeError, sqlite3.Error) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL:
            raise OutputError(
                f"cannot be noted as written: {error}", where=path, remedy="free space or choose another place"
            ) from error
        _complain(str(error))


def _noted(keys: list[bytes], digest: str) -> set[str]:
    try:
        with _record() as connection:
            query = f"select verb from outputs where path in ({','.join('?' * len(keys))}) and sha256 = ?"
            verbs: list[Any] = connection.execute(query, (*keys, digest)).fetchall()
    except (OSError, RuntimeError, sqlite3.Error) as error:
        _complain(str(error))
        return set()
    return {str(verb) for (verb,) in verbs}


_complained: list[str] = []


def _complain(why: str) -> None:
    """Say once that what is written cannot be noted."""
    if not _complained:
        _complained.append(why)
        print(
            f"the record of written files in $XDG_STATE_HOME/gzfeatures (~/.local/state) cannot be used ({why}): "
            "the same command again will ask for --overwrite",
            file=sys.stderr,
        )
