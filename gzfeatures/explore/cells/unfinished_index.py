"""Keep the finished steps of building an index, so that a later call can continue with them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, OutputError
from gzfeatures.files import read_sidecar, reserve, writing_to
from gzfeatures.progress import SILENT, Progress

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint32]
PLAN, CENTRES, CELLS, PLACED, INDEX = FILES = ("plan.json", "centres", "cells", "placed", "index")
"""Files of an unfinished index: its settings (plan), centres so far, cell of each row, checksums of
the vectors written so far, and the index itself."""
LOCK, FRESH = ".lock", ".new"
LARGEST_PLAN = 65_536
"""Most bytes of a plan."""


class UnfinishedIndex:
    """Read and write the finished parts of an index, in a folder beside the index file.

    Each part has a checksum of its bytes and of the plan (sha256 of the table, settings, sizes). A
    part that is damaged or incomplete is computed again, with all parts that depend on it.

    Parameters
    ----------
    folder : Path
        Folder of the parts, which this process has locked.
    plan : dict
        All settings on which the bytes of the index depend, as JSON values; among them `rows`,
        `dim`, `cells` and `block` (rows per block).
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.plan = folder, plan
        self.index = folder / INDEX

    def centres(self) -> tuple[int, Matrix]:
        """Return the number of finished rounds of k-means, and the centres, shape (cells, dim).

        Before the first round, the centres have shape (0, dim).
        """
        none = np.empty((0, self.plan["dim"]), np.float32)
        path, shape = self.folder / CENTRES, (self.plan["cells"], self.plan["dim"])
        size = 4 + 4 * shape[0] * shape[1]
        if not path.exists() or path.stat().st_size != 32 + size:
            return 0, none
        data = path.read_bytes()
        if data[:32] != self._seal(data[32:]):
            return 0, none
        centres = np.frombuffer(data, np.float32, offset=36).reshape(shape)
        return int.from_bytes(data[32:36], "little"), centres

    def keep_centres(self, rounds: int, centres: Matrix) -> None:
        """Save the centres (cells, dim) after a number of k-means rounds; replace earlier ones."""
        data = rounds.to_bytes(4, "little") + np.ascontiguousarray(centres).tobytes()
        self._replace(CENTRES, self._seal(data) + data)

    def cells(self) -> Numbers:
        """Return the cell numbers saved so far: those of the table's first r rows, shape (r,)."""
        rows, block = self.plan["rows"], self.plan["block"]
        lengths = [min(block, rows - start) for start in range(0, rows, block)]
        blocks = self._blocks(CELLS, lengths, below=self.plan["cells"])
        return np.concatenate([np.empty(0, np.uint32), *blocks])

    def add_cells(self, cells: Numbers) -> None:
        """Append to the index the cells (k-means clusters) of the table's next rows, shape (r,)."""
        self._append(CELLS, cells)

    def placed(self) -> tuple[int, Numbers]:
        """Return how many blocks of vectors are written, and the crc32 of each cell so far."""
        blocks = -(-self.plan["rows"] // self.plan["block"])
        sums = self._blocks(PLACED, [self.plan["cells"]] * blocks, below=2**32)
        empty = np.zeros(self.plan["cells"], np.uint32)
        return len(sums), sums[-1].copy() if sums else empty

    def add_placed(self, checksums: Numbers) -> None:
        """Save the checksums of all cells after one more block of rows is written to the index.

        A cell holds the rows whose vectors are nearest to one centre. An interrupted building
        continues after the last block with saved checksums.

        Parameters
        ----------
        checksums : ndarray of uint32
            For each cell, the crc32 of its vectors written so far, shape (cells,).
        """
        self._append(PLACED, checksums)

    def drop(self, *names: str) -> None:
        """Delete files of the unfinished index by name, such as `cells`, to compute them again."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def begin(self, size: int, progress: Progress = SILENT) -> None:
        """Delete files that were begun with other settings or another table; reserve disk space.

        The index gets `size` bytes on disk.

        Raises
        ------
        OSError
            The disk has no room for the index.
        """
        path = self.folder / PLAN
        known = path.exists() and path.stat().st_size <= LARGEST_PLAN
        began = any((self.folder / name).exists() for name in FILES)
        if known and read_sidecar(path) == self.plan:
            progress.say(f"goes on with the unfinished index in {self.folder}")
        else:
            if began:
                progress.say(
                    f"an unfinished index in {self.folder} is of another state of the table, or "
                    "was begun with other settings: it is dropped"
                )
            self.drop(*FILES)
            self._replace(PLAN, fingerprint.canonical_json(self.plan).encode())
        if not self.index.exists() or self.index.stat().st_size != size:
            self.drop(PLACED, INDEX)
            try:
                with self.index.open("wb") as file:
                    reserve(file, size)
            except OSError:
                self.drop(INDEX)
                raise

    def _seal(self, data: bytes) -> bytes:
        """Return one sha256 (32 bytes) of the index's settings (`plan`) and the given bytes."""
        plan = fingerprint.canonical_json(self.plan).encode()
        return hashlib.sha256(hashlib.sha256(plan).digest() + data).digest()

    def _sum(self, name: str, number: int, data: bytes) -> bytes:
        """Return the crc32 (4 bytes) of a block, its number, its file, and the index's settings."""
        place = f"{name} {number} {fingerprint.of(self.plan)}"
        return zlib.crc32(data, zlib.crc32(place.encode())).to_bytes(4, "little")

    def _blocks(self, name: str, lengths: Sequence[int], below: int) -> list[Numbers]:
        """Return the undamaged blocks at the beginning of a file, and truncate it after them."""
        path, found = self.folder / name, []
        if not path.exists():
            return []
        with path.open("r+b") as file:
            good = 0
            for number, length in enumerate(lengths):
                seal, data = file.read(4), file.read(4 * length)
                numbers = np.frombuffer(data, np.uint32) if len(data) == 4 * length else None
                if numbers is None or seal != self._sum(name, number, data):
                    break
                if int(numbers.max()) >= below:
                    break
                found.append(numbers)
                good = file.tell()
            file.truncate(good)
        return found

    def _append(self, name: str, numbers: Numbers) -> None:
        """Append a block to a file, and wait until it is on disk."""
        data = np.ascontiguousarray(numbers, dtype=np.uint32).tobytes()
        path = self.folder / name
        # all blocks of a file but the last have one length, so its size gives the block's number
        length = self.plan["block"] if name == CELLS else self.plan["cells"]
        with path.open("ab") as file:
            number = file.tell() // (4 + 4 * length)
            file.write(self._sum(name, number, data) + data)
            file.flush()
            os.fsync(file.fileno())

    def _replace(self, name: str, data: bytes) -> None:
        """Write a small file, completely or not at all."""
        fresh = self.folder / f"{name}{FRESH}"
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / name)


@contextlib.contextmanager
def unfinished_beside(path: Path, plan: dict[str, Any]) -> Iterator[UnfinishedIndex]:
    """Lock the folder of an index that is being built; remove it when the index is finished.

    Parameters
    ----------
    path : Path
        Index file that is being built.
    plan : dict
        As in `UnfinishedIndex`.

    Yields
    ------
    UnfinishedIndex
        Steps that an earlier call finished. After an error or interruption, the folder stays if it
        has centres, which take time to compute. It is removed after an InputError, because the
        table then has no index.

    Raises
    ------
    OutputError
        The place cannot be written; another process builds this index; or the folder holds other
        files.
    """
    folder = path.with_name(f".{path.name[:80]}.building")
    with writing_to(path):
        _require_own(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            state = UnfinishedIndex(folder, plan)
            try:
                yield state
            except InputError:
                _remove(folder)
                raise
            except BaseException:
                if not (folder / CENTRES).exists():
                    _remove(folder)
                raise
            _remove(folder)


def _require_own(folder: Path) -> None:
    """Refuse a folder with files that are not of an unfinished index, so that none is lost.

    A link is refused too, because writing to it would change a file elsewhere.
    """
    if not folder.is_symlink() and not folder.exists():
        return
    ours = {*FILES, LOCK, *(f"{name}{FRESH}" for name in FILES)}
    wrong = [folder] if folder.is_symlink() or not folder.is_dir() else []
    for each in [] if wrong else folder.iterdir():
        status = each.lstat()
        if each.name not in ours or not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            wrong.append(each)
    if wrong:
        raise OutputError(
            "folder of an unfinished index holds what no building wrote",
            where=folder,
            rule="hold regular files of a building alone",
            found=wrong[0].name,
            remedy="move it away",
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder inside a `with` block; refuse if another process has locked it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    busy = OutputError(
        "index is being built by another process",
        where=folder,
        remedy="wait for it, or choose another place",
    )
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise busy from None
    try:
        # the other process may have finished, and removed the folder, before the lock was free
        if not folder.is_dir():
            raise busy
        yield
    finally:
        lock.release()


def _remove(folder: Path) -> None:
    """Remove the folder of an unfinished index; ignore files that cannot be removed."""
    for name in (*FILES, *(f"{name}{FRESH}" for name in FILES), LOCK):
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
