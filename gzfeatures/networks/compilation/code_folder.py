"""Keep compiled networks on disk; only code that this user compiled here is loaded.

Code lies in no store, for stores are copied and shared. It lies in a private folder, one for each
user and machine, and every file begins with an HMAC, by a key that only the user can read, over
what the code computes, the machine and the code itself. A file without a valid HMAC is compiled
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gzfeatures import fingerprint, user_folders
from gzfeatures.errors import OutputError
from gzfeatures.networks.compilation.private_folder import PrivateFolder
from gzfeatures.networks.hardware import cpu_flags

KEY, KEY_BYTES = "compiled.key", 32
"""File of the user's key, and its length."""
SEAL_BYTES = hashlib.sha256().digest_size
"""Bytes at the beginning of a file that bind the others."""
REMEDY = "set GZFEATURES_COMPILED and XDG_STATE_HOME to folders of your own"
NAMED = 32
"""Letters of an extractor's fingerprint in the name of its code."""


class CodeFolder:
    """Compiled networks of this user for this machine.

    Parameters
    ----------
    root : Path
        Folder of the user, under which each machine has its own.
    """

    def __init__(self, root: Path) -> None:
        self._folder = PrivateFolder(root / machine())
        self._keys = PrivateFolder(user_folders.state_folder() / "private")

    @classmethod
    def default(cls) -> CodeFolder:
        """Return the user's own folder; see `user_folders.compiled`."""
        return cls(user_folders.compiled())

    @property
    def path(self) -> Path:
        """Return the folder that holds the networks compiled on this machine."""
        return self._folder.path

    @property
    def workshop(self) -> Path:
        """Return the folder for what a compiler reuses: as private as the code."""
        return self._folder.path / "compiler"

    def obstacle(self) -> str | None:
        """Explain in one line why no code can be stored here; None where it can."""
        try:
            self._folder.check()
            self._keys.check()
            PrivateFolder(self.workshop).check()
            self._key()
        except OutputError as error:
            return f"{error}; {REMEDY}"
        return None

    def names(self) -> list[str]:
        """List the names of the files; none where the folder cannot be used."""
        try:
            return self._folder.names()
        except OutputError:
            return []

    def read(self, name: str, bound: Mapping[str, Any]) -> bytes | None:
        """Return code that this user wrote for the same purpose here; None for anything else.

        Parameters
        ----------
        name : str
        bound : mapping
            JSON values: everything the code depends on, as it was written with.
        """
        try:
            content = self._folder.read(name)
            if content is None:
                return None
            seal, code = content[:SEAL_BYTES], content[SEAL_BYTES:]
            return code if hmac.compare_digest(seal, self._seal(bound, code)) else None
        except OutputError:
            return None

    def write(self, name: str, bound: Mapping[str, Any], code: bytes) -> None:
        """Store code, bound to what it depends on.

        Raises
        ------
        OutputError
            The folder cannot be written, or the disk is full.
        """
        self._folder.write(name, self._seal(bound, code), code)

    @contextmanager
    def alone(self, name: str, say: Callable[[str], object]) -> Iterator[None]:
        """Let one process at a time compile a file; the others wait and find it compiled."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._folder.path / f".{name}.lock")
        with contextlib.ExitStack() as stack:
            # on a disk without locks both processes compile
            with contextlib.suppress(OSError, NotImplementedError):
                try:
                    stack.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    say("waiting for another process that compiles the same network")
                    stack.enter_context(lock.acquire())
            yield

    def _seal(self, bound: Mapping[str, Any], code: bytes) -> bytes:
        """Compute the HMAC-SHA256 over what code depends on, the machine and the code."""
        stamp = fingerprint.of({"bound": dict(bound), "machine": machine()}).encode()
        # the stamp has a fixed length, so that no code can pass for a part of it
        seal = hmac.new(self._key(), stamp, hashlib.sha256)
        seal.update(code)
        return seal.digest()

    def _key(self) -> bytes:
        """Return the user's key; a new one where there is none or where others could read it."""
        key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            self._keys.write(KEY, secrets.token_bytes(KEY_BYTES))
            # read again: of two processes that wrote one, both use the last
            key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            raise OutputError("key for compiled networks cannot be stored", where=self._keys.path)
        return key


def machine() -> str:
    """Name this machine by 16 hex digits of its host name, system and CPU."""
    # code for another CPU may crash: its instruction sets are part of the name
    parts = [platform.node(), platform.system(), platform.machine(), cpu_flags()]
    return fingerprint.of(parts)[:16]


def disk_use(root: Path) -> tuple[int, int]:
    """Count the compiled networks of all machines under a user's folder, and their bytes."""
    sizes = [size for _, files in _machines(root) for size, _ in files.values()]
    return len(sizes), sum(sizes)


def prune(
    root: Path, extractors: Collection[str] = (), unused_days: float | None = None
) -> tuple[int, int]:
    """Remove compiled networks of some extractors, or not used for a number of days.

    Parameters
    ----------
    root : Path
        Folder of the user.
    extractors : collection of str
        Fingerprints.
    unused_days : float, optional
        Without it age does not matter.

    Returns
    -------
    tuple of int
        Number and bytes of the removed files.
    """
    number, freed, now = 0, 0, time.time()
    starts = {each[:NAMED] for each in extractors}
    for folder, files in _machines(root):
        for name, (size, used) in files.items():
            if name[:NAMED] in starts or (
                unused_days is not None and now - used >= unused_days * 86_400
            ):
                folder.remove(name)
                number, freed = number + 1, freed + size
        if unused_days is not None and not folder.names():
            shutil.rmtree(folder.path, ignore_errors=True)  # with what the compiler left
    return number, freed


def _machines(root: Path) -> Iterator[tuple[PrivateFolder, dict[str, tuple[int, float]]]]:
    """Yield each machine's folder with the size and last use of its files."""
    # folders that are not the user's are left alone
    for path in sorted(root.glob("[0-9a-f]*")):
        folder = PrivateFolder(path)
        with contextlib.suppress(OutputError):
            yield folder, folder.uses()
