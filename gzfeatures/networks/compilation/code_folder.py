"""Store compiled networks on disk; load only code that this user compiled on this machine.

Compiled code is not written to the store of embeddings, because stores are copied and shared. Each
user has a private folder for each machine. Every file begins with an HMAC (a hash with a secret key
that only the user can read) of the code, its settings and the machine. Without a valid HMAC the
network is compiled again.
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
"""Number of bytes at the beginning of a file that hold the HMAC of its other bytes."""
REMEDY = "set GZFEATURES_COMPILED and XDG_STATE_HOME to folders of your own"
NAMED = 32
"""A file name begins with so many letters of a hash of network and settings (the extractor)."""


class CodeFolder:
    """Store and read the networks that this user compiled on this machine.

    Parameters
    ----------
    root : Path
        Folder of the user, with a subfolder for each machine.
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
        """Return the folder with the networks that were compiled on this machine."""
        return self._folder.path

    @property
    def workshop(self) -> Path:
        """Return the user's folder for files that the compiler reuses between compilations."""
        return self._folder.path / "compiler"

    def obstacle(self) -> str | None:
        """Return a line that says why compiled code cannot be stored; None if it can be stored."""
        try:
            self._folder.check()
            self._keys.check()
            PrivateFolder(self.workshop).check()
            self._key()
        except OutputError as error:
            return f"{error}; {REMEDY}"
        return None

    def names(self) -> list[str]:
        """Return the names of the files with compiled code; empty if the folder is unusable."""
        try:
            return self._folder.names()
        except OutputError:
            return []

    def read(self, name: str, bound: Mapping[str, Any]) -> bytes | None:
        """Return compiled code from a file; None if no valid HMAC shows that this user wrote it.

        Parameters
        ----------
        name : str
        bound : mapping
            JSON values on which the code depends, equal to those given to `write`.
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
        """Store compiled code with an HMAC, which later proves that this user wrote it.

        Raises
        ------
        OutputError
            The folder cannot be written, or the disk is full.
        """
        self._folder.write(name, self._seal(bound, code), code)

    @contextmanager
    def alone(self, name: str, say: Callable[[str], object]) -> Iterator[None]:
        """Let only one process compile a network; other processes wait, then load its result."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._folder.path / f".{name}.lock")
        with contextlib.ExitStack() as stack:
            # a disk without file locks is no error: at worst two processes compile the same network
            with contextlib.suppress(OSError, NotImplementedError):
                try:
                    stack.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    say("waiting for another process that compiles the same network")
                    stack.enter_context(lock.acquire())
            yield

    def _seal(self, bound: Mapping[str, Any], code: bytes) -> bytes:
        """Return the HMAC-SHA256 of compiled code, its settings and the machine's name."""
        stamp = fingerprint.of({"bound": dict(bound), "machine": machine()}).encode()
        # `stamp` has a fixed length; with a variable length, an attacker could move bytes between
        # stamp and code without changing the HMAC
        seal = hmac.new(self._key(), stamp, hashlib.sha256)
        seal.update(code)
        return seal.digest()

    def _key(self) -> bytes:
        """Return the user's secret key for HMACs; create a new key if none is stored privately."""
        key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            self._keys.write(KEY, secrets.token_bytes(KEY_BYTES))
            # read the key from disk, because another process may have replaced it by its own: both
            # must use the last one
            key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            raise OutputError("key for compiled networks cannot be stored", where=self._keys.path)
        return key


def machine() -> str:
    """Return a name for this machine: 16 hex digits of a hash of host name, system and CPU."""
    # machine code for another CPU may crash, so include the CPU's instruction sets
    parts = [platform.node(), platform.system(), platform.machine(), cpu_flags()]
    return fingerprint.of(parts)[:16]


def disk_use(root: Path) -> tuple[int, int]:
    """Return number and total bytes of the compiled networks of all machines in a folder."""
    sizes = [size for _, files in _machines(root) for size, _ in files.values()]
    return len(sizes), sum(sizes)


def prune(
    root: Path, extractors: Collection[str] = (), unused_days: float | None = None
) -> tuple[int, int]:
    """Delete compiled networks whose fingerprints are in a list, or that were unused for some days.

    Parameters
    ----------
    root : Path
        Folder of the user, with a subfolder for each machine.
    extractors : collection of str
        Fingerprints (hashes of network and settings) of the compiled networks to delete.
    unused_days : float, optional
        Delete networks unused for so long; None: none is deleted for its age.

    Returns
    -------
    tuple of int
        Number and total bytes of the deleted files.
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
        # after pruning by age, delete the compiler's own files too if no network is left
        if unused_days is not None and not folder.names():
            shutil.rmtree(folder.path, ignore_errors=True)
    return number, freed


def _machines(root: Path) -> Iterator[tuple[PrivateFolder, dict[str, tuple[int, float]]]]:
    """Yield the folder of each machine, with size in bytes and last use of every file."""
    # skip a folder that other users can enter: what it holds may not be this user's to delete
    for path in sorted(root.glob("[0-9a-f]*")):
        folder = PrivateFolder(path)
        with contextlib.suppress(OutputError):
            yield folder, folder.uses()
