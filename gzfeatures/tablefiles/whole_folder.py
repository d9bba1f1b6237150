"""Write a folder of data files so that the complete folder appears, or none at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gzfeatures import outputs
from gzfeatures.errors import OutputError
from gzfeatures.files import unfinished, writing_to


@contextmanager
def written_whole_folder(path: Path, what: str) -> Iterator[Path]:
    """Give an empty folder beside `path`; on success flush it to disk and rename it to `path`.

    Unfinished folders that killed processes left beside `path` are removed first. A folder that
    another process is still filling is locked by that process, and is not removed.

    Parameters
    ----------
    path : Path
        Folder to make, which must not exist yet. Its parent folder is made if missing.
    what : str
        What the folder contains, for messages: "HATS catalog", …

    Yields
    ------
    Path
        Folder to write into. On any error it is removed.

    Raises
    ------
    OutputError
        A file or folder exists at `path`, or its parent folder cannot be written.

    Examples
    --------
    >>> with written_whole_folder(Path("new.hats"), "HATS catalog") as folder:  # doctest: +SKIP
    ...     (folder / "hats.properties").write_text("…")
    """
    _require_absent(path, what)
    outputs.allow([path])
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_remains(path)
        with _locked_beside(path) as temporary:
            yield temporary
            # flush first: the disk may store the new name before the data, and a crash would then
            # leave empty files in the finished folder
            _flush(temporary)
            # check again that `path` is absent, because renaming would silently replace an empty
            # folder
            _require_absent(path, what)
            try:
                temporary.rename(path)
            except OSError:
                _require_absent(path, what)
                raise
            _flush_one(path.parent)


def _require_absent(path: Path, what: str) -> None:
    if path.exists() or path.is_symlink():
        raise OutputError(
            f"{what} would be written over what is there",
            where=path,
            rule="be a folder that is not there",
            remedy="choose another name, or remove it",
        )


def _drop_remains(path: Path) -> None:
    """Remove unfinished folders beside `path` that no process locks: their processes have died."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover  (Windows has no such locks: a folder may be in use)
        return
    form = re.compile(re.escape(f".{path.name[:80]}.") + r"[0-9a-f]{16}\.part")
    for entry in os.scandir(path.parent):
        if not (form.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)):
            continue
        with contextlib.suppress(OSError):  # another process writes to it, or it is gone
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextmanager
def _locked_beside(path: Path) -> Iterator[Path]:
    """Give a new locked folder beside `path`; if this process dies, the lock ends with it."""
    while True:
        temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(8)}.part")
        with unfinished(temporary):
            temporary.mkdir()
            with _locked(temporary):
                # between its creation and its lock, another process may have found this folder
                # unlocked, taken it for the rest of a process that died, and removed it: then start
                # again
                if not temporary.exists():
                    continue
                yield temporary
                return


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # pragma: no cover  (Windows)
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        # some network disks cannot lock folders: going on without a lock is safe, because another
        # process removes a folder only after it has locked it
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            _flush_one(Path(folder) / name)
        _flush_one(Path(folder))


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
