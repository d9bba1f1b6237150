"""Compute missing embeddings step by step: hash image files, decode images, store embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import GzError
from gzfeatures.features.shard import as_keys
from gzfeatures.features.table_writer import GROUP_ROWS
from gzfeatures.features.vector_cache import VectorCache
from gzfeatures.images.decoding.grey_levels import FEWEST, FLAGS, number_of
from gzfeatures.images.galaxy_files import NetworkInput, WholePicture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.jobs.empty_images import EmptyImages
from gzfeatures.networks.extraction.jobs.lookahead import ahead, in_batches
from gzfeatures.networks.extraction.jobs.pending_vectors import Pending
from gzfeatures.networks.extraction.jobs.picture_hashes import PictureHashes
from gzfeatures.networks.extraction.plan import Vectors, views_of
from gzfeatures.progress import Advance, Progress

if TYPE_CHECKING:
    from gzfeatures.networks.extraction.cpu import Engine

LOOK_ROWS = 128
"""Number of image files that a thread hashes (sha256) in one task."""
SHARD_ROWS, SHARD_SECONDS = 2048, 20.0
"""Number of vectors, or seconds, after which a file (shard) is written: a kill loses no more."""


class Job:
    """Compute and store the missing embeddings of images.

    Parameters
    ----------
    images : ImageSet
    caches : sequence of VectorCache
        One for each embedding table: the settings that decide its vectors (extractor), and the
        folder that stores these vectors.
    strict : bool
        Raise the error of the first bad image; otherwise skip bad images.
    workers : int
        Number of threads that read and decode.
    progress : Progress
        Prints lines and progress bars.
    whole : bool
        Pass whole pictures to the engine, which crops and resizes them itself (on a GPU).
    hashes : VectorCache, optional
        Folder with stored hashes of pictures; None to compute no hashes.
    """

    def __init__(
        self,
        images: ImageSet,
        caches: Sequence[VectorCache],
        strict: bool,
        workers: int,
        progress: Progress,
        whole: bool = False,
        hashes: VectorCache | None = None,
    ) -> None:
        self.images, self.caches, self.strict = images, caches, strict
        self.workers, self.whole = workers, whole
        self.extractors = [cache.extractor for cache in caches]
        self.views = views_of(self.extractors)
        self.progress = progress
        self.digests = np.empty(len(images), dtype=object)
        self.unread: dict[int, GzError] = {}
        self.undecoded: dict[str, GzError] = {}
        self.shallow: list[int] = []
        self.pending, self.seconds = [Pending(cache) for cache in caches], 0.0
        self.hashes = PictureHashes(hashes)
        self.empty = EmptyImages(self.say)
        self._file_order = images.file_order()

    def say(self, line: str) -> None:
        """Print one line of text for the user."""
        self.progress.say(line, aside=True)

    def hash_images(self) -> None:
        """Read every image file once to compute its digest (sha256); collect or raise errors."""
        total = len(self.images)
        blocks = [
            self._file_order[start : start + LOOK_ROWS].tolist()
            for start in range(0, total, LOOK_ROWS)
        ]
        with (
            ThreadPoolExecutor(self.workers) as pool,
            self.counted(total, "images looked at") as advance,
        ):
            hashed = ahead(pool, self._digests, blocks, 4 * self.workers)
            for rows, digests in zip(blocks, hashed, strict=True):
                for row, digest in zip(rows, digests, strict=True):
                    if not isinstance(digest, GzError):
                        self.digests[row] = digest
                    elif self.strict:
                        raise digest
                    else:
                        self.unread[row] = digest
                advance(len(rows))

    def good(self) -> npt.NDArray[np.int64]:
        """Return the row numbers of images that could be read, and did not fail to be decoded."""
        rows = (
            row
            for row, key in enumerate(self.digests)
            if key is not None and key not in self.undecoded
        )
        return np.fromiter(rows, dtype=np.int64)

    def absent(self) -> npt.NDArray[np.int64]:
        """Return the row numbers of images without a stored embedding, each image only once."""
        good = self.good()
        rows = good[self.lacking(good).any(0)]
        for cache in self.caches:
            self._say_damaged(cache)
        return self._distinct(rows)

    def _distinct(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return one row number per different image, in the order of the images on disk."""
        # two ids may have identical image files: compute one vector for both
        _, first = np.unique(as_keys(self.digests[rows]), return_index=True)
        distinct = np.asarray(rows[first], dtype=np.int64)
        rank = np.empty(len(self.images), dtype=np.int64)
        rank[self._file_order] = np.arange(len(self.images))
        return distinct[np.argsort(rank[distinct])]

    def _say_damaged(self, cache: VectorCache) -> None:
        while cache.damaged:
            shard = cache.damaged.pop()
            self.say(f"store: damaged shard set aside, its rows are computed again: {shard}")

    def lacking(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return for each table and image whether no vector is stored, shape (tables, images)."""
        return np.stack([~cache.has(self.digests[rows]) for cache in self.caches])

    def compute(self, todo: npt.NDArray[np.int64], make: Callable[[], Engine]) -> None:
        """Decode images, run the networks on them, and write the embeddings to the store."""
        names = ", ".join(dict.fromkeys(extractor.backbone for extractor in self.extractors))
        lacking = self.lacking(todo)
        self.hashes.skip_stored(self.digests[todo])
        # decode images in threads while the networks run, so that neither waits for the other
        with (
            ThreadPoolExecutor(self.workers, "decode") as decoders,
            self.counted(len(todo), names) as advance,
        ):
            decoded = self._decodable(todo, decoders, advance)
            first = next(decoded, None)
            # if no image can be decoded, avoid loading a network, which takes seconds
            if first is not None:
                self._run(make(), todo, chain([first], decoded), lacking, advance)
                self._copy()
        self.raise_bad()

    def _run(
        self,
        engine: Engine,
        todo: npt.NDArray[np.int64],
        decoded: Iterator[tuple[int, NetworkInput]],
        lacking: npt.NDArray[np.bool_],
        advance: Callable[[int], None],
    ) -> None:
        """Run the networks on decoded images, and write the missing embeddings to the store."""
        start = flushed = time.perf_counter()
        # count the rate of images from here: until now the network was loaded
        advance(0)
        batches = in_batches(decoded, engine.batch)
        with engine.pool() as workers:
            # queue one batch more than there are workers, so that no worker waits for images
            computed = ahead(workers, partial(_vectors, engine), batches, engine.workers + 1)
            # store what is computed even if a bad image, a full disk or the user ends the loop
            # early
            try:
                for places, tables in computed:
                    self._add(self.digests[todo[places]], lacking[:, places], tables)
                    advance(len(places))
                    full = max(map(len, self.pending)) >= SHARD_ROWS
                    if full or time.perf_counter() - flushed > SHARD_SECONDS:
                        self._flush()
                        flushed = time.perf_counter()
            finally:
                self._flush()
                self.seconds += time.perf_counter() - start

    def _add(
        self,
        keys: npt.NDArray[np.object_],
        lacking: npt.NDArray[np.bool_],
        tables: Sequence[Vectors],
    ) -> None:
        """Add a batch's embeddings to those waiting to be stored, unless already stored."""
        for rows, wanted, vectors in zip(self.pending, lacking, tables, strict=True):
            rows.add(keys[wanted].tolist(), vectors[wanted])

    def _copy(self) -> None:
        """Copy the stored embedding of an image of one flat colour to all images of this colour."""
        copies = np.array(list(self.empty.copies), dtype=object)
        if not len(copies):
            return
        first = np.array(list(self.empty.copies.values()), dtype=object)
        for rows, cache in zip(self.pending, self.caches, strict=True):
            # copy only what exists: the first image of a colour has no embedding if an error ended
            # the run too early
            wanted = cache.has(first) & ~cache.has(copies)
            rows.add(copies[wanted].tolist(), cache.vectors(first[wanted]))
        self._flush()

    def raise_bad(self) -> None:
        """Warn of images with few grey levels; raise the first decoding error if `strict`."""
        if self.shallow:
            self.say(
                f"warning: {len(self.shallow)} images have fewer than {FEWEST} grey levels, "
                f"such as {self.images.ids[min(self.shallow)]}; "
                f"if their values are no grey levels, give {FLAGS}"
            )
            self.shallow.clear()
        if self.strict and self.undecoded:
            raise next(iter(self.undecoded.values()))

    def counted(self, total: int, name: str) -> AbstractContextManager[Advance]:
        """Return a progress bar for `with`, which yields a function to count finished images."""
        return self.progress.counted(name, total, unit="images")

    def _flush(self) -> None:
        for rows in self.pending:
            rows.flush()
        self.hashes.flush_when_full()

    def describe(self) -> None:
        """Store a hash of every picture; decode a picture again only if its hash is still missing.

        If a run is killed before this step, the next run decodes these pictures again.
        """
        if self.hashes.cache is None:
            return
        self.hashes.flush()
        rows = self.good()
        rows = rows[~self.hashes.cache.has(self.digests[rows])]
        self._say_damaged(self.hashes.cache)
        todo = self._distinct(rows).tolist()
        if not todo:
            return
        with (
            ThreadPoolExecutor(self.workers) as pool,
            self.counted(len(todo), "pictures described") as advance,
        ):
            hashed = ahead(pool, self.images.picture_hash, todo, 4 * self.workers)
            for number, (row, hash_) in enumerate(zip(todo, hashed, strict=True), start=1):
                self.hashes.add(self.digests[row], hash_)
                advance(1)
                if number % SHARD_ROWS == 0:
                    self.hashes.flush()
        self.hashes.flush()

    def find_empty(self) -> None:
        """Find the images that show no galaxy, also among those embedded in an earlier run.

        Images are decoded only if their stored hash is all zeros or missing: any other hash shows
        that the picture has contrast.
        """
        rows = self.good()
        for first in range(0, len(rows), GROUP_ROWS):
            part = rows[first : first + GROUP_ROWS]
            keys = self.digests[part]
            fresh = np.array([key not in self.empty.judged for key in keys], dtype=bool)
            hashes = self.hashes.of(keys[fresh])
            doubtful = part[fresh] if hashes is None else part[fresh][~hashes.any(1)]
            with ThreadPoolExecutor(self.workers) as pool:
                list(ahead(pool, self._judged, doubtful.tolist(), 4 * self.workers))
            for row in doubtful:
                self.empty.name(str(self.images.ids[row]), self.digests[row])

    def _judged(self, row: int) -> NetworkInput | GzError:
        """Decode one image; record whether it shows a galaxy; return the image or an error."""
        key = self.digests[row]
        try:
            image = self.images.network_input(
                row, self.views, digest=key, noted=partial(self.empty.reasons.__setitem__, key)
            )
        except GzError as error:
            return error
        self.empty.judged.add(key)
        return image

    def _digests(self, rows: Sequence[int]) -> list[str | GzError]:
        return [self._digest(row) for row in rows]

    def _digest(self, row: int) -> str | GzError:
        try:
            return self.images.digest(row)
        except GzError as error:
            return error

    def _network_input(self, row: int) -> NetworkInput | GzError:
        """Decode one image for the networks; return the error if this fails."""
        # import only here: this module imports torch, which is not needed if all vectors are stored
        from gzfeatures.networks.extraction.network_crops import views_of_input

        try:
            image = self._judged(row)
            if isinstance(image, GzError):
                return image
            # hash the picture while its pixels are at hand, to avoid decoding it a second time
            self.hashes.add_missing(self.digests[row], image, self.views)
            pixels = image if self.whole else views_of_input(image, self.views)
        except GzError as error:
            return error
        if number_of(pixels.pixels if isinstance(pixels, WholePicture) else pixels[0]) < FEWEST:
            self.shallow.append(row)
        return pixels

    def _decodable(
        self,
        todo: npt.NDArray[np.int64],
        decoders: ThreadPoolExecutor,
        advance: Callable[[int], None],
    ) -> Iterator[tuple[int, NetworkInput]]:
        """Yield each image that could be decoded, as its position in `todo` and its pixels."""
        decoded = ahead(decoders, self._network_input, todo.tolist(), 64 + 4 * self.workers)
        for place, pixels in enumerate(decoded):
            key = self.digests[todo[place]]
            if not isinstance(pixels, GzError):
                self.empty.name(str(self.images.ids[todo[place]]), key)
                if self.empty.is_copy(key, pixels):
                    advance(1)
                else:
                    yield place, pixels
                continue
            self.undecoded[key] = pixels
            advance(1)
            # stop at the first bad image; `raise_bad` raises its error later, after all computed
            # vectors are stored
            if self.strict:
                return


def _vectors(
    engine: Engine, batch: list[tuple[int, NetworkInput]]
) -> tuple[npt.NDArray[np.int64], list[Vectors]]:
    """Return the positions of a batch's images in the job, and their embeddings for each table."""
    places = np.array([place for place, _ in batch])
    return places, engine.vectors([pixels for _, pixels in batch])
