"""Store decoded pictures on disk during a run, so that each file is read and decoded only once.

The first step that needs an image reads its file, computes the digest (sha256) of the same bytes,
and writes the decoded pixels to one temporary file without a name. Later steps read the pixels from
this file, unless size or modification time of the image's file have changed.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Hashable, Sequence
from threading import Lock
from types import TracebackType
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures import user_folders
from gzfeatures.progress import SILENT, Progress

State: TypeAlias = Sequence[Sequence[int | str | None] | None]
"""Size and modification time of each file of a galaxy."""

GIGABYTES = 8.0
"""Gigabytes of pixels that the cache stores by default."""
SHARE = 0.5
"""Largest share of the free disk space that the cache uses, even if the limit allows more."""


@dataclasses.dataclass(slots=True)
class KnownImage:
    """Store facts about an image that was read, such as its digest, faults and place in the cache.

    Parameters
    ----------
    state : State
        Sizes and modification times of the image's files, before they were read.
    digest : str
        See `ImageSet.digest`.
    fault : (str or None, int or None), optional
        Why the image cannot be used, and its number of grey levels; None if it was not checked yet.
    place, shape : optional
        Offset of its pixels in the cache file, and their shape (height, width, 3); None if they are
        not stored.
    refused : bool
        Whether there was no space for its pixels.
    """

    state: State
    digest: str
    fault: tuple[str | None, int | None] | None = None
    place: int | None = None
    shape: tuple[int, int] | None = None
    refused: bool = False


class PictureCache:
    """Cache digests, faults and pixels of images; all pixels are in one file of limited size.

    Several threads may use one cache. A forked process reads what was stored before the fork, and
    stores nothing; an unpickled cache is None.

    Parameters
    ----------
    limit : int
        Largest number of bytes of all pixels; pictures that do not fit are decoded each time they
        are needed. At most half of the free disk space is used.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.pictures, self.left_out = limit, 0, 0, 0
        self._known: dict[Hashable, KnownImage] = {}
        self._lock, self._process = Lock(), os.getpid()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> PictureCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()

    def close(self) -> None:
        """Forget all images, and free the disk space of their pixels."""
        self._known = {}
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file, self.limit = None, 0

    def known(self, image: Hashable, state: State) -> KnownImage | None:
        """Return the facts about an image; None if it was never read, or its files have changed."""
        known = self._known.get(image)
        return known if known is not None and known.state == state else None

    def add(self, image: Hashable, known: KnownImage) -> KnownImage:
        """Store the facts about an image: digest (sha256), faults, and offset of its pixels."""
        self._known[image] = known
        return known

    def store(self, known: KnownImage, pixels: npt.NDArray[np.uint8]) -> None:
        """Store an image's pixels, shape (height, width, 3), if limit and disk leave space."""
        if known.place is not None or known.refused or os.getpid() != self._process:
            return
        place = self._reserved(pixels.nbytes)
        if place is not None and self._written(pixels, place):
            known.shape, known.place = (pixels.shape[0], pixels.shape[1]), place
            return
        known.refused = True
        with self._lock:
            self.left_out += 1

    def pixels(self, known: KnownImage) -> npt.NDArray[np.uint8] | None:
        """Return an image's stored pixels, shape (height, width, 3); None if not stored."""
        file = self._file
        if known.place is None or known.shape is None or file is None:
            return None
        pixels = np.empty((*known.shape, 3), dtype=np.uint8)
        read = os.preadv(file.fileno(), [pixels.data], known.place)
        return pixels if read == pixels.nbytes else None

    def say(self, progress: Progress = SILENT) -> None:
        """Report how many pictures are stored, and which option would let the cache store all."""
        kept = f"kept the pixels of {self.pictures:,} images on disk, {self.size / 1e9:.2f} GB"
        if self.left_out:
            progress.say(
                f"{kept}; there was no room for {self.left_out:,} more, which are decoded for each "
                "step: a larger --pixel-gb, or more free disk, makes the run faster"
            )
        elif self.pictures:
            progress.say(f"{kept} while the run lasts (at most --pixel-gb)")

    def _reserved(self, size: int) -> int | None:
        """Reserve bytes in the cache file; return their offset, or None if no space is left."""
        with self._lock:
            if self.size + size > self.limit or not self._opened(size):
                return None
            place, self.size = self.size, self.size + size
            return place

    def _written(self, pixels: npt.NDArray[np.uint8], place: int) -> bool:
        """Write pixels at an offset of the cache file; return whether writing succeeded."""
        try:
            if self._file is None:
                return False
            data = np.ascontiguousarray(pixels).data
            whole = os.pwrite(self._file.fileno(), data, place) == pixels.nbytes
        except OSError:
            whole = False
        with self._lock:
            self.pictures += whole
            # if writing failed, the disk is full: store no more pixels, because they can be decoded
            # again, and other files need the space
            self.limit = self.limit if whole else 0
        return whole

    def _opened(self, size: int) -> bool:
        """Create the cache file if needed; return whether `size` bytes fit on the disk."""
        if self._file is not None:
            return True
        folder = user_folders.scratch()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            disk = os.fstatvfs(self._file.fileno())
        except OSError:
            self.limit = 0
            return False
        self.limit = min(self.limit, int(SHARE * disk.f_bavail * disk.f_frsize))
        return size <= self.limit


def _nothing() -> None:
    """Replace an unpickled cache by None, because another process cannot open its unnamed file."""
