"""Keep compiled networks on disk; load only code that this user compiled on this machine.

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
"""File name of the user's key, and the key's length in bytes."""
SEAL_BYTES = hashlib.sha256().digest_size
"""Number of bytes at the beginning of a file that authenticate the other bytes."""
REMEDY = "set GZFEATURES_COMPILED and XDG_STATE_HOME to folders of your own"
NAMED = 32
"""Number of letters of an extractor's fingerprint in the name of its compiled code."""


class CodeFolder:
    """Store and read the networks that this user compiled on this machine.

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
        """Return the user's own folder of compiled networks."""
        return cls(user_folders.compiled())

    @property
    def path(self) -> Path:
        """Return the folder that holds the networks compiled on this machine."""
        return self._folder.path

    @property
    def workshop(self) -> Path:
        """Return the folder for files that a compiler reuses, which is as private as the code."""
        return self._folder.path / "compiler"

    def obstacle(self) -> str | None:
        """Return one line that says why compiled code cannot be stored; None if it can."""
        try:
            self._folder.check()
            self._keys.check()
            PrivateFolder(self.workshop).check()
            self._key()
        except OutputError as error:
            return f"{error}; {REMEDY}"
        return None

    def names(self) -> list[str]:
        """Return the names of the files with compiled code; none if the folder cannot be used."""
        try:
            return self._folder.names()
        except OutputError:
            return []

    def read(self, name: str, bound: Mapping[str, Any]) -> bytes | None:
        """Return the compiled code in a file whose authentication code (HMAC) is valid, else None.

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
        """Store compiled code, with an authentication code (HMAC) over the code and what it needs.

        Raises
        ------
        OutputError
            The folder cannot be written, or the disk is full.
        """
        self._folder.write(name, self._seal(bound, code), code)

    @contextmanager
    def alone(self, name: str, say: Callable[[str], object]) -> Iterator[None]:
        """Let one process at a time compile a network; the others wait, then use its file."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._folder.path / f".{name}.lock")
        with contextlib.ExitStack() as stack:
            # a disk without file locks is no error: two processes then compile the same network
            with contextlib.suppress(OSError, NotImplementedError):
                try:
                    stack.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    say("waiting for another process that compiles the same network")
                    stack.enter_context(lock.acquire())
            yield

    def _seal(self, bound: Mapping[str, Any], code: bytes) -> bytes:
        """Return the HMAC-SHA256 of compiled code, its dependencies and the machine's name."""
        stamp = fingerprint.of({"bound": dict(bound), "machine": machine()}).encode()
        # the stamp has a fixed length, so that no bytes of the code can count as part of it
        seal = hmac.new(self._key(), stamp, hashlib.sha256)
        seal.update(code)
        return seal.digest()

    def _key(self) -> bytes:
        """Return the user's secret key for HMACs; create one if no key is private to the user."""
        key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            self._keys.write(KEY, secrets.token_bytes(KEY_BYTES))
            # read the key again: if two processes have each written a key, both must use the one
            # that was written last
            key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            raise OutputError("key for compiled networks cannot be stored", where=self._keys.path)
        return key


def machine() -> str:
    """Return a name for this machine: 16 hex digits from its host name, system and CPU."""
    # code for another CPU may crash, so the CPU's instruction sets are part of the name
    parts = [platform.node(), platform.system(), platform.machine(), cpu_flags()]
    return fingerprint.of(parts)[:16]


def disk_use(root: Path) -> tuple[int, int]:
    """Return how many compiled networks all machines keep in a folder, and their size in bytes."""
    sizes = [size for _, files in _machines(root) for size, _ in files.values()]
    return len(sizes), sum(sizes)


def prune(
    root: Path, extractors: Collection[str] = (), unused_days: float | None = None
) -> tuple[int, int]:
    """Remove compiled networks of some extractors, or those not used for a number of days.

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
        # the folder of a machine without networks may still hold files that the compiler left
        if unused_days is not None and not folder.names():
            shutil.rmtree(folder.path, ignore_errors=True)
    return number, freed


def _machines(root: Path) -> Iterator[tuple[PrivateFolder, dict[str, tuple[int, float]]]]:
    """Yield each machine's folder of compiled networks, with size and last use of its files."""
    # skip a folder that is not private to the user: its files are not the user's to remove
    for path in sorted(root.glob("[0-9a-f]*")):
        folder = PrivateFolder(path)
        with contextlib.suppress(OutputError):
            yield folder, folder.uses()
