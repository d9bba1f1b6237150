"""Refuse to overwrite an input file, or a file that the same command did not write before.

While a command runs, a `Guard` checks its output files: before any work those whose names are
known, and through `files.written_whole` every file just before it is written. Path and sha256 of
each written file are recorded in an SQLite database in the user's state folder, so that the same
command may replace the file later. Parquet and HTML files also contain a seal (the command's name
and a sha256 of the rest of the file), and are recognised without the database.

The commands of the command line and `gzfeatures.run` work under a guard. In Python a single
`write(path)`, `train(folder=…)` or `download(…, folder)` has no guard: it replaces an existing
file, completely or not at all. Inside `with guarded(…)` the same rule applies to it.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures import fingerprint, user_folders
from gzfeatures.errors import OutputError
from gzfeatures.progress import SILENT, Progress
from gzfeatures.written_files import (
    SEAL,
    check_record,
    described,
    record_write,
    sealed_page,
    table_seal,
    written_by,
)

if TYPE_CHECKING:
    import pyarrow.parquet as pq

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp")
BANDS = (
    ".fits",
    ".fit",
    ".fts",
    ".fits.gz",
    ".fit.gz",
    ".fts.gz",
    ".fits.fz",
    ".fit.fz",
    ".npy",
    ".npz",
)
IMAGES = PICTURES + BANDS
"""File endings of images."""
_guard: Guard | None = None
"""Guard of the running command, which all threads of the process share."""


@dataclasses.dataclass(frozen=True, eq=False)
class Guard:
    """Decide which files a command of gzfeatures may write.

    Parameters
    ----------
    verb : str
        Name of the command, such as label; files that it wrote before may be replaced.
    inputs : tuple of Path
        Files and folders that the command reads.
    overwrite : bool
        Whether to replace also files that the command did not write; an input is never replaced.
    progress : Progress
        Shows a warning if written files cannot be recorded; by default no warning is shown.
    """

    verb: str
    inputs: tuple[Path, ...] = ()
    overwrite: bool = False
    progress: Progress = SILENT
    _nodes: dict[tuple[int, int], Path] = dataclasses.field(init=False, default_factory=dict)
    _names: dict[str, Path] = dataclasses.field(init=False, default_factory=dict)
    _folders: list[tuple[Path, Path]] = dataclasses.field(init=False, default_factory=list)
    _own: list[Path] = dataclasses.field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for path in self.inputs:
            self._names[_plain(path)] = path
            status = _status(path)
            if status is not None:
                # device and inode numbers identify a file under any of its names: a link, or a name
                # in other upper and lower case
                self._nodes[status.st_dev, status.st_ino] = path
                if stat.S_ISDIR(status.st_mode):
                    self._folders.append((_real(path), path))

    def allow(self, path: Path) -> None:
        """Raise OutputError for a file that the running command may not write; change no file.

        Raises
        ------
        OutputError
            The file is an input, or is in an input folder; it is a folder, a device or a pipe; or
            it exists, was not written by this command, and may not be overwritten.
        """
        status = _status(path)
        ours = status is not None and stat.S_ISREG(status.st_mode) and self.wrote(path)
        self._keep_input(path, status, ours)
        if status is None or ours:
            return
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise OutputError(
                f"cannot be written: it is {kind}", where=path, remedy="choose another name"
            )
        if not self.overwrite:
            raise OutputError(
                f"exists and was not written by '{self.verb}', or was changed since",
                where=path,
                rule="be absent or as the same verb left it",
                found=described(path),
                remedy="choose another name, or replace it with --overwrite",
            )

    def allow_longer(self, path: Path) -> None:
        """Raise OutputError for a file to which no line may be added, because it is an input.

        Raises
        ------
        OutputError
            The running command reads this file.
        """
        self._keep_input(path, _status(path), True)

    def _keep_input(self, path: Path, status: os.stat_result | None, ours: bool) -> None:
        """Raise OutputError if the path is that of an input."""
        source = self._input(path, status, ours)
        if source is not None:
            raise OutputError(
                "would overwrite an input",
                where=path,
                rule="be none of the files that are read",
                found=str(source),
                remedy="choose another name",
            )

    def wrote(self, path: Path) -> bool:
        """Return whether the running command, now or earlier, wrote the file's present content.

        The file is recognised by its path, and in an output folder that was copied by its name in
        this folder.
        """
        return written_by(path, self._own, self.verb, self.progress) == self.verb

    def allow_folder(self, folder: Path) -> None:
        """Register an output folder; refuse a folder that the command also reads.

        Raises
        ------
        OutputError
            The folder is an input, or a file of this name exists.
        """
        status = _status(folder)
        source = None if status is None else self._nodes.get((status.st_dev, status.st_ino))
        if source is not None:
            raise OutputError(
                "would be written into while it is read",
                where=folder,
                rule="be none of the inputs",
                found=str(source),
                remedy="choose another folder",
            )
        if status is not None and not stat.S_ISDIR(status.st_mode):
            raise OutputError(
                "cannot be written: it is no folder", where=folder, remedy="choose another place"
            )
        self._own.append(_real(folder))

    def keep_apart(self, path: Path) -> None:
        """Refuse an output image in an input folder, where it would be read as another input image.

        Raises
        ------
        OutputError
            The output has the name of an image and is in an input folder.
        """
        real = _real(path)
        input_folder = next(
            (source for folder, source in self._folders if real.is_relative_to(folder)), None
        )
        if input_folder is not None and real.name.lower().endswith(IMAGES):
            raise OutputError(
                "would become one of the images that are read",
                where=path,
                rule="lie outside of the folders that are read",
                found=str(input_folder),
                remedy="choose another place",
            )

    def replacing(self, path: Path, fresh: Path) -> None:
        """Refuse a file that may not be overwritten; record the sha256 of `fresh`, its successor.

        The file is recorded before it is replaced: if the program is killed in between, the record
        has an entry too many, but no file lacks an entry.
        """
        # allow every file in the user's cache, because it contains no results of commands
        if _real(path).is_relative_to(_real(user_folders.cache())):
            return
        # allow a file with the same bytes as before, because writing it changes nothing
        digest = fingerprint.of_file(fresh)
        if not (
            path.is_file()
            and self._input(path, _status(path), True) is None
            and fingerprint.of_file(path) == digest
        ):
            self.allow(path)
        record_write(path, self._own, digest, self.verb, self.progress)

    def _input(self, path: Path, status: os.stat_result | None, ours: bool) -> Path | None:
        """Return the input file that has this path, or the input folder around it; None if none."""
        if status is not None and (status.st_dev, status.st_ino) in self._nodes:
            return self._nodes[status.st_dev, status.st_ino]
        if (plain := _plain(path)) in self._names:
            return self._names[plain]
        if status is None or ours or stat.S_ISDIR(status.st_mode):
            return None
        real = _real(path)
        return next(
            (source for folder, source in self._folders if real.is_relative_to(folder)), None
        )


@contextmanager
def guarded(
    verb: str,
    *,
    inputs: Iterable[Path] = (),
    files: Iterable[Path] = (),
    folders: Iterable[Path] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Iterator[Guard]:
    """Check and record all files that are written inside a `with` block as outputs of one command.

    Parameters
    ----------
    verb : str
        Name of the command, such as label; files that it wrote before may be replaced. If one
        guarded block is inside a second one, the inputs of both must not be overwritten.
    inputs : iterable of Path
        Files and folders that are read; web addresses, and names that do not exist on this disk,
        are ignored.
    files, folders : iterable of Path
        Files and folders that will be written, as far as known; they are checked at once.
    overwrite : bool
        Whether to replace also files that the command did not write.
    progress : Progress, optional
        Shows a warning if written files cannot be recorded; by default as for the guard outside
        this block, or no warning.

    Raises
    ------
    OutputError
        A file may not be written, or is named twice; no file has been changed.
    """
    global _guard
    outer = _guard
    outer_inputs = outer.inputs if outer else ()
    guard = Guard(
        verb,
        (*outer_inputs, *inputs),
        overwrite or bool(outer and outer.overwrite),
        progress or (outer.progress if outer else SILENT),
    )
    requested: dict[str, Path] = {}
    files, folders = list(files), list(folders)
    if outer is None and (files or folders):
        check_record(guard.progress)
    for path in files:
        if (same := requested.setdefault(_plain(path), path)) is not path:
            raise OutputError(
                "named for two outputs", where=path, found=str(same), remedy="choose another name"
            )
    for folder in folders:
        guard.allow_folder(folder)
    for path in requested.values():
        # check the names of outputs before any work, so that nothing is computed in vain
        guard.allow(path)
        guard.keep_apart(path)
    _guard = guard
    try:
        yield guard
    finally:
        _guard = outer


def current() -> Guard | None:
    """Return the object that checks the running command's outputs; None if no command runs."""
    return _guard


def allow(paths: Iterable[Path], folder: Path | None = None) -> None:
    """Check output files whose names are known only now; do nothing if no command is running.

    Raises
    ------
    OutputError
        As for `Guard.allow`.
    """
    if _guard is not None:
        if folder is not None:
            _guard.allow_folder(folder)
        for path in paths:
            _guard.allow(path)


def allow_longer(path: Path) -> None:
    """Refuse to add lines to a file that the running command reads; without one, do nothing.

    Raises
    ------
    OutputError
        As for `Guard.allow_longer`.
    """
    if _guard is not None:
        _guard.allow_longer(path)


def remove(path: Path) -> None:
    """Remove an outdated output file, if the running command may replace it.

    Raises
    ------
    OutputError
        As for `Guard.allow`.
    """
    allow([path])
    path.unlink(missing_ok=True)


def seal_parquet(writer: pq.ParquetWriter, path: Path) -> None:
    """Add the running command's name and a checksum to a Parquet file whose columns are complete.

    If no command is running, nothing is added.
    """
    if _guard is not None:
        writer.add_key_value_metadata({SEAL: table_seal(path, _guard.verb)})


def sealed(page: str) -> str:
    """Return an HTML page with the running command's name and a checksum added.

    If no command is running, return the page unchanged.
    """
    return page if _guard is None else sealed_page(page, _guard.verb)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        # stat fails if the path does not exist, its folder may not be entered, or it is no path
        return None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _plain(path: Path) -> str:
    """Return a path without links and in small letters, so that two paths of one file are equal."""
    return os.path.realpath(path).casefold()
