"""Keep embeddings of one extractor (network, layer, crop) in files searched by image sha256."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, OutputError
from gzfeatures.features import shard
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.shard import Keys, Matrix
from gzfeatures.files import write_sidecar

SHARD_BYTES = 64 * 2**20
"""Size up to which small shards are merged."""
MANY = 16
"""Number of small shards from which merging them is worth the writing."""
EXTRACTOR_FILE = "extractor.json"


class VectorCache:
    """Read and write on disk the embeddings of one extractor (one network, layer and crop).

    Several processes may read, add and compact at once: files are only added whole or removed, and
    two rows with the same image sha256 are equal.

    Attributes
    ----------
    damaged : list of Path
        Damaged or truncated files, renamed to `*.damaged`; their embeddings count as missing.
    """

    def __init__(self, folder: Path, extractor: Extractor) -> None:
        self.folder, self.extractor, self.damaged = folder, extractor, list[Path]()
        self._rows: dict[Path, Keys] = {}
        self._verified: set[Path] = set()
        self._refresh()

    def __len__(self) -> int:
        return len(self._keys)

    def _refresh(self) -> None:
        """Open new embedding files, forget removed ones, and index the images in all files."""
        keys_of = self._keys_of_shards()
        while keys_of is None:
            keys_of = self._keys_of_shards()
        self._rows, self._paths = keys_of, list(keys_of)
        self._verified &= set(keys_of)
        # sort the image sha256 of all files in one array, with the file and row of each, so that a
        # binary search finds any image
        every = np.concatenate([np.empty(0, dtype="V32"), *keys_of.values()])
        order = np.argsort(every, kind="stable")
        self._keys = every[order]
        sizes = [len(keys) for keys in keys_of.values()]
        self._shard = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._row = (np.arange(len(every)) - np.repeat(np.cumsum([0, *sizes])[:-1], sizes))[order]

    def _keys_of_shards(self) -> dict[Path, Keys] | None:
        """Return the image sha256 in every embedding file; None if a file was removed meanwhile."""
        keys_of: dict[Path, Keys] = {}
        # names of complete embedding files begin with a hex digit; hidden files are still being
        # written
        for path in sorted(self.folder.glob("[0-9a-f]*" + shard.SUFFIX)):
            try:
                known = self._rows.get(path)
                keys_of[path] = shard.read(path, self.extractor.dim)[0] if known is None else known
            except FileNotFoundError:
                # another process merged this file into a newer one: None tells the caller to list
                # all embedding files again
                return None
            except InputError:
                self._set_aside(path)
        return keys_of

    def _set_aside(self, path: Path) -> None:
        """Rename a damaged embedding file, and add it to the list of damaged files."""
        shard.set_aside(path)
        self.damaged.append(path)

    def _locate(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Return each image's place in the sorted array of all image sha256; −1 if it is missing.

        Verify the embedding files that hold these images.
        """
        while True:
            at = np.searchsorted(self._keys, keys)
            at[at == len(self._keys)] = 0
            present = np.zeros(len(keys), dtype=bool)
            if len(self._keys):
                present = self._keys[at] == keys
            if all(self._intact(self._paths[i]) for i in np.unique(self._shard[at[present]])):
                return np.where(present, at, -1)
            # the damaged file was renamed and its rows are gone; search again, because another file
            # may have the same images
            self._refresh()

    def _intact(self, path: Path) -> bool:
        """Return whether an embedding file exists and is undamaged; rename a damaged file."""
        # a sha256 needs the whole file read, so verify each embedding file once per process
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
        """Return which images, given by sha256, have a stored embedding, shape (n,)."""
        self._refresh()
        return self._locate(shard.as_keys(digests)) >= 0

    def vectors(self, digests: npt.NDArray[np.object_] | list[str]) -> Matrix:
        """Return the embeddings of images, given by sha256, as float32, shape (n, dim).

        Raises
        ------
        InputError
            An image has no stored embedding.
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
            # another process merged embedding files after the lookup, so the same rows are now in a
            # newer file
            except FileNotFoundError:
                self._refresh()

    def _gathered(self, at: npt.NDArray[np.int64]) -> Matrix:
        """Return embeddings (n, dim) of the images at places `at` in the array of image sha256.

        `_locate` returns these places.
        """
        matrix = np.empty((len(at), self.extractor.dim), dtype=np.float32)
        # a memory-mapped file counts as memory of the process, so open one embedding file at a time
        for number in np.unique(self._shard[at]):
            rows = self._shard[at] == number
            vectors = shard.read(self._paths[number], self.extractor.dim)[1]
            matrix[rows] = vectors[self._row[at[rows]]]
        return matrix

    def add(self, digests: npt.NDArray[np.object_] | list[str], matrix: Matrix) -> None:
        """Write one new file with embeddings and the sha256 of their images.

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
            shard.write(self.folder, shard.as_keys(digests), matrix, self.extractor.stored)

    def require_writable(self) -> None:
        """Raise an error, before embeddings are computed, if their folder cannot be written.

        Raises
        ------
        OutputError
            The store cannot be written.
        """
        with self._writing():
            write_sidecar(self.folder / EXTRACTOR_FILE, self.extractor.asdict())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Add the folder of the store of embeddings, and a remedy, to errors of writing."""
        try:
            yield
        except OutputError as error:
            raise OutputError(
                f"store {error.what}",
                where=self.folder,
                remedy="free space ('gzfeatures store prune') or set GZFEATURES_STORE to another "
                "folder; what was stored before stays",
            ) from error

    def compact(self) -> None:
        """Merge small files of embeddings, once there are many, into larger ones."""
        # if an embedding file disappears, another process is merging already, so this process can
        # stop
        with contextlib.suppress(FileNotFoundError):
            self._compact()

    def _compact(self) -> None:
        """Merge small embedding files into larger ones, oldest first."""
        self._refresh()
        small = [p for p, keys in self._rows.items() if self._bytes(keys) < SHARD_BYTES // 2]
        if len(small) < MANY:
            return
        # merge embedding files of similar age: they come from one run, whose galaxies will be read
        # together again
        group: list[Path] = []
        for path in sorted(filter(self._intact, small), key=lambda path: path.stat().st_mtime_ns):
            group.append(path)
            if sum(self._bytes(self._rows[p]) for p in group) >= SHARD_BYTES:
                self._merge(group)
                group = []
        if len(group) > 1:
            self._merge(group)

    def _bytes(self, keys: Keys) -> int:
        """Return the size in bytes of the embeddings of images, given by sha256."""
        return len(keys) * self.extractor.dim * np.dtype(self.extractor.stored).itemsize

    def _merge(self, paths: list[Path]) -> None:
        """Write the rows of several files of embeddings as one file; remove the old files."""
        keys = np.concatenate([self._rows[path] for path in paths])
        # two processes may have embedded the same image; their rows are equal, so keep one
        first = np.sort(np.unique(keys, return_index=True)[1])
        matrix = np.empty((len(first), self.extractor.dim), dtype=np.float32)
        begin = 0
        for path in paths:
            # a memory-mapped file counts as memory of the process, so open one embedding file at a
            # time
            vectors = shard.read(path, self.extractor.dim)[1]
            low, high = np.searchsorted(first, (begin, begin + len(vectors)))
            matrix[low:high] = vectors[first[low:high] - begin]
            begin += len(vectors)
        merged = shard.write(self.folder, keys[first], matrix, self.extractor.stored)
        # remove the old embedding files only after the merged file is complete, so that no row is
        # ever missing
        for path in set(paths) - {merged}:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                path.unlink()
