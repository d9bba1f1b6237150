"""Write files completely or not at all, lock folders, and keep paths inside a folder."""

from __future__ import annotations

import json
import mmap
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from gzfeatures import outputs, user_folders
from gzfeatures.errors import GzError, InputError, MissingFileError, OutputError

_HELD: dict[Path, Any] = {}
"""Locks of this process, by folder."""
_UNFINISHED: set[Path] = set()
"""Temporary files and folders that this process is writing."""


def drop_unfinished() -> None:
    """Remove the temporary files of this process, before the process is suddenly ended."""
    for path in tuple(_UNFINISHED):
        _remove(path)


@contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """Remove a temporary file or folder after a `with` block, also if the process ends suddenly."""
    _UNFINISHED.add(path)
    try:
        yield
    finally:
        _remove(path)
        _UNFINISHED.discard(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; if writing succeeds, rename the file to `path`.

    Parameters
    ----------
    path : Path
        The file to write. Its folder is created if it does not exist.

    Yields
    ------
    Path
        Temporary path to write to. On any error the temporary file is removed, and `path` is
        unchanged.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full; or the running command may not write this
        file.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_beside(path)
        with unfinished(temporary):
            yield temporary
            put_in_place(temporary, path)


def put_in_place(temporary: Path, path: Path) -> None:
    """Flush a finished temporary file of the same disk, and rename it to `path`.

    Raises
    ------
    OutputError
        The verb at work may not write this file; `path` is left as it was.
    OSError
        As `writing_to` tells it in one line.
    """
    # flush first: the disk may store the new name before the data, and a crash would then leave an
    # empty file
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    # check the output path again: since the first check another process may have written a file
    # there
    if (guard := outputs.current()) is not None:
        guard.replacing(path, temporary)
    # the temporary file was readable by this user only; the finished file gets the usual
    # permissions
    temporary.chmod(_mode_of_new_files(path))
    temporary.replace(path)


@contextmanager
def writing_to(path: Path, remedy: str = "free space or choose another place") -> Iterator[None]:
    """Turn the system's write errors in a `with` block into one OutputError that names the path.

    Raises
    ------
    OutputError
        The place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, GzError):
            raise
        raise OutputError(
            f"cannot be written: {error.strerror or error}", where=path, remedy=remedy
        ) from error


def _new_beside(path: Path, mode: int = 0o600) -> Path:
    """Create an empty file in the folder of `path`, with a name that no other process uses."""
    while True:
        beside = path.with_name(f".{path.name[:80]}.{secrets.token_hex(8)}.part{path.suffix}")
        try:
            os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        except FileExistsError:
            continue
        return beside


def _mode_of_new_files(path: Path) -> int:
    """Return the permissions that the system gives to a new file in the folder of `path`.

    An empty test file shows these permissions. The umask, which determines them, can only be read
    by changing it, and other threads would meanwhile create files that anybody can read.
    """
    probe = _new_beside(path, 0o666)
    try:
        return stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink()


def lock_folder(folder: Path, say: Callable[[str], object]) -> None:
    """Lock a folder until this process ends; wait while another process holds the lock.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    say : callable
        Function that shows a message, called once if a different process holds the lock.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    from filelock import FileLock, Timeout

    place = folder.resolve()
    # this process may hold the lock already: return, because a second lock of the same folder would
    # wait for the first for ever
    if place in _HELD:
        return
    with writing_to(folder, remedy="choose another place"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another process that works in {folder}")
            lock.acquire()
        _HELD[place] = lock


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Lock a file inside a `with` block, so that only one process at a time reads and writes it.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    from filelock import FileLock

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with writing_to(path, remedy="choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def scratch_memory(size: int, what: str) -> mmap.mmap:
    """Return memory that lies in a file on disk, for data that may exceed the machine's memory.

    The file lies in `user_folders.scratch()` without a name, cannot be read by other users, and
    disappears when the memory is freed or the process ends.

    Parameters
    ----------
    size : int
        Number of bytes, above 0.
    what : str
        What the memory is for, as words in the error: "3 vectors of 2 numbers", …

    Raises
    ------
    OutputError
        The disk has too little space.
    """
    folder = user_folders.scratch()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file, size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise OutputError(
            f"no room for {what}: {error.strerror or error}",
            where=folder,
            rule=f"have {size / 1e9:.1f} GB free",
            remedy="free space, or name another folder in TMPDIR (GZFEATURES_STORE for a verb)",
        ) from error


def reserve(file: BinaryIO, size: int) -> None:
    """Reserve disk space for the full size of a file.

    Raises
    ------
    OSError
        The disk has no room for it.
    """
    # reserve the space now: if the disk became full later, the system would kill the process while
    # it writes to the mapped file
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**20)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()


def write_sidecar(path: Path, content: Mapping[str, Any]) -> None:
    """Write information about a result as a JSON file, which later runs read.

    Raises
    ------
    OutputError
        The place cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read a JSON file about an earlier run's result; return {} if it is missing or damaged.

    With {} the caller does its work again.
    """
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def require_csv(path: str | Path, what: str) -> Path:
    """Return the path of a CSV file to write; refuse a name that promises another format.

    Parameters
    ----------
    path : str or Path
        File to write.
    what : str
        What the file is, as words in the error: "label file", …

    Raises
    ------
    InputError
        The name ends neither in .csv nor in .csv.gz: the file could not be read by its name.

    Examples
    --------
    >>> require_csv("labels.csv", "label file").name
    'labels.csv'
    """
    written = Path(path)
    if not written.name.lower().endswith((".csv", ".csv.gz")):
        raise InputError(
            what,
            where=written,
            rule="end in .csv or .csv.gz, because it is written as CSV",
            found=written.name,
            remedy="choose another name",
        )
    return written


def require_file(path: str | Path, what: str) -> Path:
    """Return the path of a file or folder that exists; raise an error if it does not.

    Parameters
    ----------
    path : str or Path
        File or folder that must exist.
    what : str
        What the file is, as words in the error: "catalog", "image folder", …

    Raises
    ------
    MissingFileError
        The file or folder does not exist.
    InputError
        It is a pipe, a socket or a device: opening it may wait for ever, and its content cannot be
        read twice.
    """
    required = Path(path)
    if not required.exists():
        raise MissingFileError(f"{what} not found", where=required, remedy="check the path")
    if not (required.is_file() or required.is_dir()):
        raise InputError(
            f"{what} is a pipe or a device",
            where=required,
            rule="be a file or folder",
            remedy="write what it gives to a file first",
        )
    return required


def file_state(path: Path) -> list[int] | None:
    """Return a file's size in bytes and modification time in ns; None if it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns]


def join_inside(root: Path, name: str) -> Path:
    """Return the path of a file in a folder; refuse names that lead out of the folder.

    Raises
    ------
    InputError
        `name` is absolute, contains a NUL byte, or leads outside `root`.
    """
    if "\0" in name or not (root / name).resolve().is_relative_to(root.resolve()):
        raise InputError("path leaves its folder", where=name, rule=f"stay under {root}")
    return root / name
