"""Read and write files in a folder that no other user can enter or change.

Each method opens the folder (a link is refused), checks the opened folder, and reaches files
through its descriptor. So nobody can exchange the folder or a file between check and use.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gzfeatures.errors import OutputError

OTHERS = 0o077
"""Permission bits of all users except the owner."""


class PrivateFolder:
    """Manage a folder and files that only the user can access (modes 0700 and 0600).

    Parameters
    ----------
    path : Path
        Folder, created at the first write.

    Raises
    ------
    OutputError
        Raised by every method if the folder cannot be created, is a link, belongs to another user,
        or is on a disk without owners and permissions.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise an error if no file can be written to the folder now."""
        name = f".{secrets.token_hex(8)}.part"
        with self._entered(make=True) as folder, self._told():
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder))
            os.unlink(name, dir_fd=folder)

    def names(self) -> list[str]:
        """Return the sorted names of all files that only the user can access."""
        return list(self.uses())

    def uses(self) -> dict[str, tuple[int, float]]:
        """Return size in bytes and time of last use of each file that is closed to other users."""
        if not os.path.lexists(self.path):
            return {}
        with self._entered() as folder, self._told():
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
            statuses = {name: self._status(folder, name) for name in names}
            return {
                name: (each.st_size, each.st_mtime)
                for name, each in statuses.items()
                if each is not None
            }

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file that only the user can access; None if no such file exists."""
        if not os.path.lexists(self.path):
            return None
        with self._entered() as folder, self._told():
            file = self._opened(folder, name)
            if file is None:
                return None
            with file:
                with contextlib.suppress(OSError):
                    # set the time of last use, because `store prune` deletes files unused for long
                    os.utime(file.fileno())
                return file.read()

    def write(self, name: str, *parts: bytes) -> None:
        """Write a file that only the user can access; after a failure no part of the file is left.

        Raises
        ------
        OutputError
            The disk is full.
        """
        temporary = f".{name}.{secrets.token_hex(8)}.part"
        with self._entered(make=True) as folder, self._told():
            descriptor = os.open(
                temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    for part in parts:
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        with self._entered() as folder, self._told(), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)

    @contextmanager
    def _entered(self, *, make: bool = False) -> Iterator[int]:
        """Open the folder for a `with` block, after checking that only the user can access it."""
        if not hasattr(os, "getuid") or os.open not in os.supports_dir_fd:
            raise OutputError("files have no owner on this system", where=self.path)
        with self._told():
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with self._told():
                status = os.fstat(folder)
                if status.st_uid == os.getuid() and status.st_mode & OTHERS:
                    # the user may have made this folder with open permissions: remove them. Files
                    # that others already put into it are refused one by one when read
                    os.fchmod(folder, 0o700)
                    status = os.fstat(folder)
            if status.st_uid != os.getuid() or status.st_mode & OTHERS:
                raise OutputError(
                    "folder is not private",
                    where=self.path,
                    rule="belong to the user, with mode 0700",
                    found=f"user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}",
                    remedy="choose another place",
                )
            yield folder
        finally:
            os.close(folder)

    def _opened(self, folder: int, name: str) -> BinaryIO | None:
        try:  # without O_NONBLOCK, a pipe that another user put here would block us forever
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
            )
        except OSError:
            # the name does not exist, or is a link, which may lead to a file of another user
            return None
        file = os.fdopen(descriptor, "rb")
        if _private(os.fstat(descriptor)):
            return file
        file.close()
        return None

    def _status(self, folder: int, name: str) -> os.stat_result | None:
        """Return size, owner and permissions of a private file; None for any other file."""
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return None
        return status if _private(status) else None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Convert an error of the operating system to an `OutputError` of one line."""
        try:
            yield
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"cannot be used: {error.strerror or error}", where=self.path
            ) from error


def _private(status: os.stat_result) -> bool:
    """Return whether a file is regular, has one hard link only, and no other user can access it."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.getuid()
        # a second name (hard link) may lie in a folder where others can write
        and status.st_nlink == 1
        and not status.st_mode & OTHERS
    )
