"""Store: (extractor fingerprint, image digest) → vector, on disk, shared by every run and every process.

`<root>/<extractor fingerprint>/` holds `extractor.json` and shards (see `shard`): data, and nothing
that is run. Presence is judged row by row. In the key is everything that changes a vector; not in
it are id, path, batch size and worker count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gzfeatures import user_folders
from gzfeatures._moved import renamed
from gzfeatures.errors import InputError, OutputError
from gzfeatures.features import shard
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.shard import Keys, Matrix
from gzfeatures.files import read_sidecar, write_sidecar

SHARD_BYTES = 64 * 2**20
"""Size that compaction merges small shards up to."""
MANY = 16
"""Number of small shards from which compaction is worth its writing."""
STALE_SECONDS = 86_400.0
EXTRACTOR_FILE = "extractor.json"


class VectorCache:
    """Vectors of one extractor. Made by `Store.shelf`.

    Several processes may read, add and compact at once: files are only ever added whole or removed,
    and a row that stands twice is the same row.

    Attributes
    ----------
    damaged : list of Path
        Shards found corrupt or truncated, renamed to `*.damaged`; their rows count as absent.
    """

    def __init__(self, folder: Path, extractor: Extractor) -> None:
        self.folder, self.extractor, self.damaged = folder, extractor, list[Path]()
        self._rows: dict[Path, Keys] = {}
        self._verified: set[Path] = set()
        self._refresh()

    def __len__(self) -> int:
        return len(self._keys)

    def _refresh(self) -> None:
        """Open shards that appeared, forget those that vanished, and index all keys."""
        held = self._held()
        while held is None:
            held = self._held()
        self._rows, self._paths = held, list(held)
        self._verified &= set(held)
        every = np.concatenate([np.empty(0, dtype="V32"), *held.values()])
        order = np.argsort(every, kind="stable")
        self._keys = every[order]
        sizes = [len(keys) for keys in held.values()]
        self._shard = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._row = (np.arange(len(every)) - np.repeat(np.cumsum([0, *sizes])[:-1], sizes))[order]

    def _held(self) -> dict[Path, Keys] | None:
        """Keys of every shard; None where one was merged into another meanwhile: its rows stand elsewhere now."""
        held: dict[Path, Keys] = {}
        for path in sorted(
            self.folder.glob("[0-9a-f]*" + shard.SUFFIX)
        ):  # not the hidden files of writers at work
            try:
                held[path] = (
                    self._rows[path]
                    if path in self._rows
                    else shard.read(path, self.extractor.dim)[0]
                )
            except FileNotFoundError:
                return None
            except InputError:
                self._set_aside(path)
        return held

    def _set_aside(self, path: Path) -> None:
        shard.set_aside(path)
        self.damaged.append(path)

    def _locate(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Position of each key in the index, -1 where absent; every shard hit is verified first."""
        while True:
            at = np.searchsorted(self._keys, keys)
            at[at == len(self._keys)] = 0
            found = self._keys[at] == keys if len(self._keys) else np.zeros(len(keys), dtype=bool)
            if all(self._intact(self._paths[i]) for i in np.unique(self._shard[at[found]])):
                return np.where(found, at, -1)
            self._refresh()

    def _intact(self, path: Path) -> bool:
        """Whether a shard is there and whole, looked at once; a damaged one is set aside."""
        if path not in self._verified:
            try:
                if not shard.intact(path):
                    self._set_aside(path)
                    return False
            except FileNotFoundError:
                return False
            self._verified.add(path)
        return True

    def has(self, digests: npt.NDArray[np.object_] | list[str]) -> npt.NDArray[np.bool_]:
        """Which image digests (sha256 hex) have a vector, shape (n,). Sees what other processes added."""
        self._refresh()
        return self._locate(shard.as_keys(digests)) >= 0

    def vectors(self, digests: npt.NDArray[np.object_] | list[str]) -> Matrix:
        """Vectors of image digests, float32, shape (n, dim).

        Raises
        ------
        InputError
            A digest has no vector here.
        """
        keys = shard.as_keys(digests)
        while True:
            at = self._locate(keys)
            if (at < 0).any():
                self._refresh()
                at = self._locate(keys)
            if (at < 0).any():
                raise InputError(
                    f"{int((at < 0).sum())} of {len(at)} vectors are not in the store",
                    where=self.folder,
                    found=str(digests[int(np.argmax(at < 0))]),
                    remedy="extract again",
                )
            try:
                return self._gathered(at)
            except FileNotFoundError:  # shards were merged meanwhile: the rows stand elsewhere now
                self._refresh()

    def _gathered(self, at: npt.NDArray[np.int64]) -> Matrix:
        """Vectors at positions of the index. Shards are opened and closed again: mapped pages count as memory."""
        matrix = np.empty((len(at), self.extractor.dim), dtype=np.float32)
        for number in np.unique(self._shard[at]):
            here = self._shard[at] == number
            matrix[here] = shard.read(self._paths[number], self.extractor.dim)[1][
                self._row[at[here]]
            ]
        return matrix

    def add(self, digests: npt.NDArray[np.object_] | list[str], matrix: Matrix) -> None:
        """Write one shard of rows.

        Raises
        ------
        OutputError
            The store cannot be written, or the disk is full; earlier shards stay.
        """
        if not len(digests):
            return
        with self._writing():
            if not (self.folder / EXTRACTOR_FILE).exists():
                write_sidecar(self.folder / EXTRACTOR_FILE, self.extractor.asdict())
            shard.write(self.folder, shard.as_keys(digests), matrix)

    def require_writable(self) -> None:
        """Refuse, before the work, a place that could not take its vectors.

        Raises
        ------
        OutputError
            The store cannot be written.
        """
        with self._writing():
            write_sidecar(self.folder / EXTRACTOR_FILE, self.extractor.asdict())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Say of what cannot be written that it is the store, and what can be done."""
        try:
            yield
        except OutputError as error:
            raise OutputError(
                f"store {error.what}",
                where=self.folder,
                remedy="free space ('gzfeatures store prune') or set GZFEATURES_STORE to another folder; "
                "what was stored before stays",
            ) from error

    def compact(self) -> None:
        """Merge small shards, once there are many, into shards of about `SHARD_BYTES`, unless another process does."""
        with contextlib.suppress(FileNotFoundError):
            self._compact()

    def _compact(self) -> None:
        self._refresh()
        small = [p for p, keys in self._rows.items() if self._bytes(keys) < SHARD_BYTES // 2]
        if len(small) < MANY:
            return
        group: list[Path] = []
        for path in sorted(filter(self._intact, small), key=lambda path: path.stat().st_mtime_ns):
            group.append(path)
            if sum(self._bytes(self._rows[p]) for p in group) >= SHARD_BYTES:
                self._merge(group)
                group = []
        if len(group) > 1:
            self._merge(group)

    def _bytes(self, keys: Keys) -> int:
        return len(keys) * self.extractor.dim * 4

    def _merge(self, paths: list[Path]) -> None:
        keys = np.concatenate([self._rows[path] for path in paths])
        first = np.sort(np.unique(keys, return_index=True)[1])
        matrix = np.empty((len(first), self.extractor.dim), dtype=np.float32)
        begin = 0
        for path in paths:  # one after the other: mapped pages count as memory
            vectors = shard.read(path, self.extractor.dim)[1]
            low, high = np.searchsorted(first, (begin, begin + len(vectors)))
            matrix[low:high] = vectors[first[low:high] - begin]
            begin += len(vectors)
        merged = shard.write(self.folder, keys[first], matrix)
        for path in set(paths) - {merged}:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                path.unlink()


@dataclasses.dataclass(frozen=True)
class StoredVectors:
    """What the store holds of one extractor.

    Parameters
    ----------
    fingerprint : str
        Of the extractor.
    extractor : Extractor
        What made the vectors.
    rows, bytes : int
        Vectors (one that stands twice counts twice) and space on disk.
    last_used : float
        Seconds since the epoch.
    """

    fingerprint: str
    extractor: Extractor
    rows: int
    bytes: int
    last_used: float


@dataclasses.dataclass(frozen=True)
class Store:
    """Vectors of every extractor under one folder.

    Parameters
    ----------
    root : Path
        Made on the first write.
    """

    root: Path

    @classmethod
    def default(cls) -> Store:
        """The store at `$GZFEATURES_STORE`, or in the user's cache folder."""
        return cls(user_folders.cache())

    def vectors_of(self, extractor: Extractor) -> VectorCache:
        """Vectors of one extractor."""
        folder = self.root / extractor.fingerprint
        with contextlib.suppress(OSError):
            os.utime(folder / EXTRACTOR_FILE)
            if not read_sidecar(folder / EXTRACTOR_FILE):  # damaged
                write_sidecar(folder / EXTRACTOR_FILE, extractor.asdict())
        return VectorCache(folder, extractor)

    shelf = renamed("shelf", "vectors_of")

    def show(self) -> list[StoredVectors]:
        """What is stored, most recently used first."""
        entries = []
        for record in self.root.glob("*/" + EXTRACTOR_FILE):
            if not (fields := read_sidecar(record)):
                raise InputError(
                    "record of the store is damaged",
                    where=record,
                    remedy="extract again, or remove its folder",
                )
            cache = VectorCache(record.parent, Extractor.fromdict(fields))
            size = sum(p.stat().st_size for p in record.parent.iterdir())
            entries.append(
                StoredVectors(
                    record.parent.name, cache.extractor, len(cache), size, record.stat().st_mtime
                )
            )
        return sorted(entries, key=lambda entry: -entry.last_used)

    def prune(
        self,
        *,
        backbone: str | None = None,
        unused_days: float | None = None,
        max_bytes: int | None = None,
    ) -> list[StoredVectors]:
        """Remove the entries that meet any condition given, and left-overs of killed processes.

        Parameters
        ----------
        backbone : str, optional
            Entries of this backbone name.
        unused_days : float, optional
            Entries not used for this long; 0 removes all.
        max_bytes : int, optional
            Least recently used entries, until the rest is at most this large.

        Returns
        -------
        list of Entry
            What was removed.
        """
        removed, kept_bytes, now = [], 0, time.time()
        for entry in self.show():
            kept_bytes += entry.bytes
            if (
                entry.extractor.backbone == backbone
                or (unused_days is not None and now - entry.last_used >= unused_days * 86_400)
                or (max_bytes is not None and kept_bytes > max_bytes)
            ):
                kept_bytes -= entry.bytes
                shutil.rmtree(self.root / entry.fingerprint, ignore_errors=True)
                removed.append(entry)
        once = [
            *self.root.glob("*/*" + shard.DAMAGED),
            *self.root.glob("*/compiled-*"),
        ]  # code lay here before
        for path in [*self.root.glob("*/.*.part*"), *once]:
            with contextlib.suppress(FileNotFoundError):
                if path in once or now - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
        return removed
