"""Read images from HDF5 (Galaxy10, GalaxyMNIST) and .npy files that contain an image per galaxy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.errors import parsing as reading_bytes
from gzfeatures.files import file_state
from gzfeatures.ids import as_ids
from gzfeatures.images.decoding.bundle import bundle, npy
from gzfeatures.images.decoding.grey_levels import FLAGS
from gzfeatures.images.reading import READING, Reading
from gzfeatures.images.sources.slabs import read_row

IMAGES = ("images", "image", "data")
"""Names under which an HDF5 file may store its images."""

MAX_BYTES = 2**30
"""Largest size of a single image, in bytes."""

MAX_ROWS = 50_000_000
"""Most images in one file; a damaged header may claim more."""

IDS = (
    "galaxyid", "galaxyids", "id", "ids", "idstr", "objid", "objids", "objectid", "objectids",
    "sourceid", "sourceids", "specobjid", "dr7objid", "dr8objid", "dr8id", "targetid",
    "assetid", "iauname", "pgc",
)  # fmt: skip
"""Names, in lower case without _, under which a file may store ids; else rows are numbered."""

REMEDY = (
    "name another array of ids with --ids-from OTHER, or store the ids as text or 64-bit integers"
)
"""Remedy in error messages about ids that lost digits in an HDF5 file."""


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayFile:
    """Read the images of galaxies from one array file, one image per row.

    Parameters
    ----------
    path : Path
        HDF5 or .npy file.
    dataset : str
        Name of the array in the HDF5 file; empty for .npy.
    rows : dict of str to int
        Row of each galaxy.
    bands : tuple of str, optional
        Names of the bands along the channel axis; None for grey or RGB images.
    together : int
        Number of rows that share chunks of the HDF5 file, and are decompressed together; 1 if each
        row can be read alone.
    """

    path: Path
    dataset: str
    rows: dict[str, int]
    bands: tuple[str, ...] | None = None
    together: int = 1

    @staticmethod
    def is_stack(path: Path) -> bool:
        """Return whether a .npy file contains many images (4 axes), not one."""
        return _mapped(path).ndim == 4

    @classmethod
    def of(cls, path: Path, reading: Reading = READING) -> ArrayFile:
        """List the images in an HDF5 or .npy file by galaxy id; refuse unclear types and shapes.

        Parameters
        ----------
        path : Path
            HDF5 file or .npy stack.
        reading : Reading
            Names of its bands, names of the arrays of images and ids, and how values of more than 8
            bits become grey levels.

        Raises
        ------
        InputError
            The file has no array of images, or its array points into a different file; the channels
            are neither grey nor RGB nor as many as the named bands; grey levels of the values are
            undefined; ids are not unique; or several arrays may be the images or the ids.
        """
        bands, grey = reading.bands, reading.range is not None or reading.stretch is not None
        npy_file = path.suffix.lower() == ".npy"
        found = _npy_array(path) if npy_file else _hdf5_arrays(path, reading)
        shape, kind, ids = found.shape, found.kind, found.ids
        if kind.kind not in "uif" or (kind != np.uint8 and bands is None and not grey):
            raise InputError(
                "images are not 8-bit",
                where=path,
                rule="be uint8, or have their bands named",
                found=str(kind),
                remedy=f"give --bands g,r,z, or {FLAGS}",
            )
        # check now which axis is the channels, because an error after reading many images would
        # waste time
        channel_axis(shape[1:], bands, where=path)
        if int(np.prod(shape[1:], dtype=object)) * kind.itemsize > MAX_BYTES:
            raise InputError(
                "images are too large",
                where=path,
                rule=f"take at most {MAX_BYTES} B each",
                found=shape[1:],
            )
        if not 0 < shape[0] <= MAX_ROWS:
            raise InputError(
                "number of images", where=path, rule=f"lie in 1…{MAX_ROWS}", found=shape[0]
            )
        rows = {
            name: row for row, name in enumerate(map(str, range(shape[0])) if ids is None else ids)
        }
        if len(rows) != shape[0]:
            raise InputError(
                "ids of the images", where=path, rule=f"be {shape[0]}, each once", found=len(rows)
            )
        return cls(path, found.dataset, rows, bands, found.together)

    def names(self) -> list[str]:
        """Return the galaxy ids of the rows, in the order of the rows."""
        return list(self.rows)

    def read(self, name: str) -> bytes:
        """Return one image as the bytes of a .npy file, or of a .npz file if bands are named.

        The .npz holds `images` and `filters`.
        """
        row = self.rows[name]
        if not self.dataset:
            image = np.array(_mapped(self.path)[row])
        else:
            with reading_bytes("image cannot be read", f"{self.path}: {name}"):
                image = read_row(self.path, self.dataset, row, self.together)
        if self.bands is None:
            return npy(image)
        axis = channel_axis(image.shape, self.bands, where=self.path)
        image = image[None] if axis is None else np.moveaxis(image, axis, 0)
        return bundle({"images.npy": npy(image), "filters.npy": npy(np.asarray(self.bands))})

    def file_state(self, name: str) -> list[int] | None:
        """Return size and modification time of the array file; None if the file is missing."""
        return file_state(self.path)

    def position(self, name: str) -> int:
        """Return a galaxy's row number; sort by it to read fast."""
        return self.rows[name]


def channel_axis(
    shape: tuple[int, ...], bands: tuple[str, ...] | None, *, where: object
) -> int | None:
    """Return which axis of an image's shape is the channels; None for a shape (height, width).

    Raises
    ------
    InputError
        The shape is neither (height, width), (height, width, channels) nor (channels, height,
        width).
    """
    counts = {1, 3} if bands is None else {len(bands)}
    axes = [axis for axis in (0, 2) if len(shape) == 3 and shape[axis] in counts]
    if len(shape) == 2 and 1 in counts:
        return None
    if len(axes) != 1:
        raise InputError(
            "channels of the images cannot be told",
            where=where,
            rule="be grey or RGB" if bands is None else f"be {len(bands)}, one for each band named",
            found=shape,
            remedy="name the bands"
            if bands is None
            else "name as many bands as there are channels",
        )
    return axes[0]


@dataclasses.dataclass(frozen=True)
class _Found:
    """Store facts about an array file: array name, shape, type, galaxy ids and rows per chunk."""

    dataset: str
    shape: tuple[int, ...]
    kind: np.dtype[Any]
    ids: list[str] | None = None
    together: int = 1


def _npy_array(path: Path) -> _Found:
    """Return shape and type of the images in a .npy file, which stores no ids."""
    array = _mapped(path)
    return _Found("", array.shape, array.dtype)


def _hdf5_arrays(path: Path, reading: Reading) -> _Found:
    """Find the array of images in an HDF5 file; return its shape, type, ids and rows per chunk."""
    import h5py

    with (
        reading_bytes("HDF5 file is damaged", path, remedy="fetch it again"),
        h5py.File(path, "r") as file,
    ):
        own_names = [
            name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)
        ]
        arrays = {name: file[name] for name in own_names if isinstance(file[name], h5py.Dataset)}
        able = [name for name, array in arrays.items() if array.ndim in (3, 4)]
        name = _images_key(able, reading.science, path, ", ".join(file) or "nothing")
        key = _ids_key(
            [other_name for other_name in arrays if other_name != name], reading.ids_from, path
        )
        ids = None if key is None else arrays[key]
        for array in (arrays[name], ids):
            if array is not None and (array.external or array.is_virtual):
                raise InputError("array points into another file", where=path, found=array.name)
        shape, chunks = arrays[name].shape, arrays[name].chunks
        # chunks of a growing array can be longer than the array, so use at most the array's length
        together = 1 if chunks is None else max(1, min(chunks[0], shape[0]))
        if ids is not None and ids.shape != shape[:1]:
            # check the shape before reading, because a damaged file may claim 10^18 ids, too many
            # for the memory
            raise InputError(
                "ids of the images", where=path, rule=f"be {shape[0]}, each once", found=ids.shape
            )
        if ids is None:
            return _Found(name, shape, arrays[name].dtype, together=together)
        read = ids[:MAX_ROWS]
        if read.dtype.kind not in "iuf":
            # decode and strip texts only: numeric ids stay numbers, because their type tells
            # `as_ids` how many digits are exact
            texts = [
                value.decode("utf-8") if isinstance(value, bytes) else value
                for value in read.tolist()
            ]
            read = [text.strip() if isinstance(text, str) else text for text in texts]
        keys = as_ids(read, where=f"{path}: {key}", remedy=REMEDY)
        return _Found(name, shape, arrays[name].dtype, keys.tolist(), together)


def _images_key(able: Sequence[str], science: str | None, path: Path, listing: str) -> str:
    """Choose the HDF5 array of images: as the user says, or the one with a usual name."""
    if science is not None:
        if science not in able:
            rule = (
                f"be one of {', '.join(able)}"
                if able
                else "have shape (n, height, width[, channels])"
            )
            raise InputError(f"no array {science} of images", where=path, rule=rule, found=science)
        return science
    called = [name for name in IMAGES if name in able]
    if len(called) > 1:
        raise InputError(
            "several arrays may hold the images",
            where=path,
            rule="be told which",
            found=", ".join(called),
            remedy=f"choose it with --science {called[0]}",
        )
    if not called:
        raise InputError(
            "no images in the HDF5 file",
            where=path,
            rule=f"have an array {' or '.join(IMAGES)} of shape (n, height, width[, channels])",
            found=listing,
            remedy=f"name the array that holds them, as --science {able[0]}" if able else None,
        )
    return called[0]


def _ids_key(names: Sequence[str], ids_from: str | None, path: Path) -> str | None:
    """Choose the HDF5 array of ids: as the user says, or the only one with a known name.

    Return None if the file has no ids.
    """
    if ids_from is not None:
        if ids_from not in names:
            raise InputError(
                f"no array {ids_from} for the ids",
                where=path,
                rule=f"be one of {', '.join(names)}",
                found=ids_from,
            )
        return ids_from
    able = [name for name in names if name.replace("_", "").lower() in IDS]
    if len(able) > 1:
        raise InputError(
            "several arrays may hold the ids",
            where=path,
            rule="be told which",
            found=", ".join(able),
            remedy=f"choose it with --ids-from {able[0]}",
        )
    return able[0] if able else None


def _mapped(path: Path) -> npt.NDArray[Any]:
    with reading_bytes("array file cannot be read", path):
        try:
            array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except SystemError:
            # try once more: in Python 3.11 reading the header can fail if two threads do it at
            # once, because Python's parser counts the nesting depth of both in one variable
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
