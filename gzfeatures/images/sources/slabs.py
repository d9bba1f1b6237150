"""Read images that share chunks of an HDF5 array together, so that each chunk is read once.

A chunk mostly contains a piece of many images (for 300 colour images of 424 px, h5py chooses chunks
of 38 images by 53 by 53 pixels of one colour). Reading one image decompresses the chunks of all
these images. So the images that share chunks (a slab) are decompressed together, and stay in memory
until other slabs need the space.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import MissingFileError
from gzfeatures.files import file_state, scratch_memory

IN_MEMORY = 2**25
"""Most bytes of a slab in memory; a larger slab is a file on disk."""
ON_DISK = 2**35
"""Most bytes of all slabs (images that share HDF5 chunks); a larger slab is not stored."""
HELD = max(2, os.cpu_count() or 1)
"""Number of slabs that stay in memory or on disk: as many as threads read at once.

More slabs stay while all of them together need no more than `IN_MEMORY`."""

Pixels: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[Path, str, tuple[int, int], int]
"""File, name of the array, file size and modification time, and number of the slab."""


@dataclasses.dataclass
class _Slab:
    """Store the images that share chunks of an HDF5 array (a slab), once a thread has read them."""

    lock: Any = dataclasses.field(default_factory=Lock)
    images: Pixels | None = None


class _Slabs:
    """Cache the slabs (images that share HDF5 chunks) read last, for all threads of a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slabs: OrderedDict[Key, _Slab] = OrderedDict()

    def slab(self, key: Key) -> _Slab:
        """Return the slab (images that share HDF5 chunks) of a key; empty if not yet read."""
        with self._lock:
            slab = self._slabs.setdefault(key, _Slab())
            self._slabs.move_to_end(key)
        return slab

    def give_up_oldest(self, size: int, keep: Key) -> None:
        """Remove the slabs used least recently from the cache, to make space for `size` bytes."""
        with self._lock:
            held = {
                key: slab.images.nbytes
                for key, slab in self._slabs.items()
                if slab.images is not None and key != keep
            }
            for key in list(held):
                after = sum(held.values()) + size
                # keep at least two slabs, because threads may read on both sides of a border
                # between slabs; keep more while they fit, because a slow thread may be several
                # slabs behind
                if after <= IN_MEMORY or (len(held) < HELD and (len(held) < 2 or after <= ON_DISK)):
                    break
                # removing is safe: a thread that still copies from this slab keeps the memory until
                # it is done
                del self._slabs[key], held[key]


_slabs = _Slabs()


def _forget() -> None:
    """Empty the cache after a fork, because nobody in the new process releases its locks."""
    global _slabs
    _slabs = _Slabs()


os.register_at_fork(after_in_child=_forget)


def read_row(path: Path, dataset: str, row: int, together: int) -> Pixels:
    """Return one image of a chunked HDF5 array, as a copy of its row.

    If several rows of one slab are read one after the other, the slab is decompressed only once.

    Parameters
    ----------
    path : Path
        HDF5 file.
    dataset : str
        Name of the array of images, shape (n, height, width[, channels]).
    row : int
        From 0.
    together : int
        Number of rows that a chunk spans.

    Raises
    ------
    MissingFileError
        The file has vanished.
    OSError
        The file is damaged; h5py may raise other errors too.
    OutputError
        The images of a slab are too large for memory, and the disk has no space for them.
    """
    if together == 1:
        return _alone(path, dataset, row)
    state = file_state(path)
    if state is None:
        raise MissingFileError("image has vanished", where=path)
    first = row - row % together
    key = (path, dataset, (state[0], state[1]), first)
    slab = _slabs.slab(key)
    with slab.lock:
        # read under the lock: threads that want other images of the same chunks wait, and then find
        # them in the cache
        if slab.images is None:
            slab.images = _read(key, together)
        images = slab.images
    # if all images that share these chunks need more than `ON_DISK` bytes, `_read` returned none:
    # read this image alone
    return np.array(images[row - first]) if len(images) else _alone(path, dataset, row)


def _read(key: Key, together: int) -> Pixels:
    """Read images that share chunks into memory, or, if large, a file; none above `ON_DISK`."""
    import h5py

    path, dataset, _, first = key
    with h5py.File(path, "r") as file:
        array = file[dataset]
        shape = (min(together, array.shape[0] - first), *array.shape[1:])
        size = math.prod(shape) * array.dtype.itemsize
        if size > ON_DISK:
            return np.empty((0, *shape[1:]), dtype=array.dtype)
        _slabs.give_up_oldest(size, key)
        if size <= IN_MEMORY:
            # use mapped memory: unlike memory of the heap, it returns to the system when the images
            # are removed
            pages = mmap.mmap(-1, size)
            images: Pixels = np.frombuffer(pages, dtype=array.dtype).reshape(shape)
            array.read_direct(images, np.s_[first : first + shape[0]])
            return images
        memory = scratch_memory(size, f"{shape[0]:,} images that share chunks in {path}")
        images = np.frombuffer(memory, dtype=array.dtype).reshape(shape)
        # read one block of pixels (that of one HDF5 chunk) from all images, then the next: the
        # array is on disk, so only a block must fit into memory
        for place in _columns(shape[1:], array.chunks[1:]):
            images[:, *place] = array[(slice(first, first + shape[0]), *place)]
        return images


def _columns(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Divide an image into blocks of pixels, one per HDF5 chunk; yield the slices of each block."""
    steps = (range(0, size, step) for size, step in zip(shape, chunk, strict=True))
    for corner in itertools.product(*steps):
        yield tuple(slice(at, at + step) for at, step in zip(corner, chunk, strict=True))


def _alone(path: Path, dataset: str, row: int) -> Pixels:
    import h5py

    with h5py.File(path, "r") as file:
        return np.asarray(file[dataset][row])
