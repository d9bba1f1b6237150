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
    """Keep the compiled networks of this user for this machine.

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
        """Return one line that says why no code can be stored here; None if it can."""
        try:
            self._folder.check()
            self._keys.check()
            PrivateFolder(self.workshop).check()
            self._key()
        except OutputError as error:
            return f"{error}; {REMEDY}"
        return None

    def names(self) -> list[str]:
        """Return the names of the files; an empty list if the folder cannot be used."""
        try:
            return self._folder.names()
        except OutputError:
            return []

    def read(self, name: str, bound: Mapping[str, Any]) -> bytes | None:
        """Return code that this user compiled here for the same purpose; None for any other file.

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
        """Store compiled code together with a seal of everything it depends on.

        Raises
        ------
        OutputError
            The folder cannot be written, or the disk is full.
        """
        self._folder.write(name, self._seal(bound, code), code)

    @contextmanager
    def alone(self, name: str, say: Callable[[str], object]) -> Iterator[None]:
        """Let one process at a time compile a file; the others wait and then find the file."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._folder.path / f".{name}.lock")
        with contextlib.ExitStack() as stack:
            # on a disk without file locks, both processes compile
            with contextlib.suppress(OSError, NotImplementedError):
                try:
                    stack.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    say("waiting for another process that compiles the same network")
                    stack.enter_context(lock.acquire())
            yield

    def _seal(self, bound: Mapping[str, Any], code: bytes) -> bytes:
        """Return the HMAC-SHA256 of what the code depends on, the machine, and the code."""
        stamp = fingerprint.of({"bound": dict(bound), "machine": machine()}).encode()
        # the stamp has a fixed length, so that no bytes of the code can count as part of it
        seal = hmac.new(self._key(), stamp, hashlib.sha256)
        seal.update(code)
        return seal.digest()

    def _key(self) -> bytes:
        """Return the user's key; create a new key if there is none, or if others could read it."""
        key = self._keys.read(KEY)
        if key is None or len(key) != KEY_BYTES:
            self._keys.write(KEY, secrets.token_bytes(KEY_BYTES))
            # read it again, because two processes may have written a key, and both must use the
            # last one
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
    """Return number and bytes of the compiled networks of all machines in a user's folder."""
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
        if unused_days is not None and not folder.names():
            shutil.rmtree(folder.path, ignore_errors=True)
    # remove also files that the compiler left
    return number, freed


def _machines(root: Path) -> Iterator[tuple[PrivateFolder, dict[str, tuple[int, float]]]]:
    """Yield each machine's folder, with the size and last use of its files."""
    # leave out folders that do not belong to the user
    for path in sorted(root.glob("[0-9a-f]*")):
        folder = PrivateFolder(path)
        with contextlib.suppress(OutputError):
            yield folder, folder.uses()
