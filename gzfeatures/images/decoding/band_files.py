"""Read images in named bands from FITS images, cubes and extensions, and from .npy and .npz."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, parsing
from gzfeatures.images.decoding.alignment import aligned
from gzfeatures.images.decoding.bad_pixels import unobserved
from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.decoding.bundle import array
from gzfeatures.images.decoding.filters import alike, canonical
from gzfeatures.images.decoding.fits_planes import planes

UNNAMED = "unnamed"
"""Name of an image's only band if neither the file nor the user names the band."""


def read_fits(
    data: bytes,
    *,
    where: object,
    max_pixels: int,
    names: tuple[str, ...] | None = None,
    science: str | None = None,
) -> Bands:
    """Read the bands of a FITS file: one image, a cube, or one image extension per band.

    Names come from the header (BANDS or BAND0…, BAND, FILTER, or an EXTNAME that is a band's name),
    otherwise from `names`. Weight, error and mask images are never read as the galaxy's image;
    weights and masks mark its bad pixels (see `bad_pixels`).

    Parameters
    ----------
    data : bytes
        The file, plain or gzipped; its images may be compressed (.fz).
    where : object
        Named in errors.
    max_pixels : int
        Largest image that is decoded, all bands together.
    names : tuple of str, optional
        Names of the bands, if the file does not name them.
    science : str, optional
        Name or number of the FITS unit (HDU) with the galaxy's image.

    Raises
    ------
    InputError
        The file is truncated, damaged, or too large; no image, or more than one, can be the
        galaxy's; the bands of a cube have no names; header and `names` differ; or bands differ in
        shape or cannot be aligned.
    """
    parts = read_unaligned(data, where=where, max_pixels=max_pixels, names=names, science=science)
    return stacked(parts, where=where)


def read_unaligned(
    data: bytes,
    *,
    where: object,
    max_pixels: int,
    names: tuple[str, ...] | None = None,
    science: str | None = None,
) -> list[Bands]:
    """Read each image or cube of a FITS file on its own pixel grid, with its own coordinates.

    Parameters
    ----------
    data, where, max_pixels, names, science
        As for `read_fits`.

    Returns
    -------
    list of Bands
        One for each image or cube, in the file's order; shapes and pixel grids may differ.

    Raises
    ------
    InputError
        As for `read_fits`, except that the images need not be alike.
    """
    if data[:2] == b"\x1f\x8b":
        data = _gunzipped(data, where=where, max_bytes=16 * max_pixels)
    chosen = planes(data, where=where, max_pixels=max_pixels, science=science)
    names_in_file = [name for plane in chosen for name in plane.names or ()]
    cubes = [plane.values.reshape((-1, *plane.values.shape[-2:])) for plane in chosen]
    # check the sum of pixels over all bands, because each image of the file alone may be below the
    # limit
    if sum(cube.size for cube in cubes) > max_pixels:
        raise InputError(
            "image is too large to decode", where=where, rule=f"hold at most {max_pixels:,} pixels"
        )
    total = sum(map(len, cubes))
    named = iter(_agreed(tuple(names_in_file), names, total, where=where))
    bands = [
        Bands(
            tuple(itertools.islice(named, len(cube))),
            _native(cube),
            plane.bad.reshape(cube.shape),
            plane.header,
        )
        for plane, cube in zip(chosen, cubes, strict=True)
    ]
    # refuse two images in one band, because nothing says which exposure or version is the right one
    twice = [
        name
        for part in bands
        for name in part.names
        if sum(name in part_of_file.names for part_of_file in bands) > 1
    ]
    if twice:
        raise InputError(
            "planes are of one band",
            where=where,
            rule="be one for each band",
            found=", ".join(twice),
            remedy="name the plane that is the image with --science NAME,VERSION or a number",
        )
    return bands


def read_npy(
    data: bytes, *, where: object, max_pixels: int, names: tuple[str, ...] | None = None
) -> Bands:
    """Read the bands of a .npy file of shape (bands, height, width) or (height, width).

    The file does not contain names; the caller gives them.

    Raises
    ------
    InputError
        The file is damaged or too large, or its bands are not named.
    """
    return _of_array(array(data, where=where, max_bytes=16 * max_pixels), names, where=where)


def read_npz(
    parts: dict[str, bytes], *, where: object, max_pixels: int, names: tuple[str, ...] | None = None
) -> Bands:
    """Read the bands of a .npz file with the arrays `images` and `filters` (band names).

    `images` (or `image`) has shape (bands, height, width); the names may also be in an array
    `bands`.

    Raises
    ------
    InputError
        An array is missing, damaged or too large, or the names do not fit.
    """
    stored = next((parts[key] for key in ("images.npy", "image.npy") if key in parts), None)
    if stored is None:
        raise InputError(
            "npz file holds no image",
            where=where,
            rule="have an array 'images'",
            found=", ".join(parts),
        )
    stored_names = next((parts[key] for key in ("filters.npy", "bands.npy") if key in parts), None)
    if stored_names is not None:
        listed = tuple(
            str(name) for name in array(stored_names, where=where, max_bytes=2**16).ravel()
        )
        names = _agreed(listed, names, len(listed), where=where)
    return _of_array(array(stored, where=where, max_bytes=16 * max_pixels), names, where=where)


def stacked(parts: Sequence[Bands], *, where: object) -> Bands:
    """Stack the bands of several files or images, aligned by their celestial coordinates.

    Raises
    ------
    InputError
        Two images differ in shape or have the same band, or the images cannot be aligned.
    """
    if len(parts) == 1:
        return parts[0]
    if len({part.flux.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(f"{'+'.join(part.names)} {part.flux.shape[1:]}" for part in parts)
        raise InputError("bands differ in shape", where=where, found=shapes)
    parts = aligned(parts, where=where)
    names = tuple(name for part in parts for name in part.names)
    flux, bad = (
        np.concatenate([part.flux for part in parts]),
        np.concatenate([part.bad for part in parts]),
    )
    uncovered = None
    if any(part.uncovered is not None for part in parts):
        uncovered = np.concatenate(
            [
                np.zeros_like(part.bad) if part.uncovered is None else part.uncovered
                for part in parts
            ]
        )
    return Bands(names, flux, bad, parts[0].header, uncovered)


def _of_array(cube: npt.NDArray[Any], names: tuple[str, ...] | None, *, where: object) -> Bands:
    """Return the bands in an array (bands, height, width); refuse an array that is no image."""
    cube = cube[None] if cube.ndim == 2 else cube
    if cube.ndim != 3 or cube.dtype.kind not in "uif":
        raise InputError(
            "array is no image",
            where=where,
            rule="be numbers (bands, height, width)",
            found=(cube.shape, cube.dtype),
        )
    return Bands(_agreed((), names, len(cube), where=where), _native(cube), _bad(cube))


def _compatible(in_file: str, requested: str) -> bool:
    """Return whether a band name in the file and one given by the user may mean the same band."""
    return canonical(requested) is None or alike(in_file, requested)


def _agreed(
    in_file: tuple[str, ...], requested: tuple[str, ...] | None, n: int, *, where: object
) -> tuple[str, ...]:
    """Return the names of a file's bands; refuse names from the user that contradict the file."""
    if (
        in_file
        and requested
        and not (len(in_file) == len(requested) and all(map(_compatible, in_file, requested)))
    ):
        raise InputError(
            "bands of the file are not those named",
            where=where,
            rule=f"be {requested}",
            found=in_file,
        )
    names = requested or in_file or ((UNNAMED,) if n == 1 else ())
    if len(names) != n:
        raise InputError(
            "bands are not named",
            where=where,
            rule=f"have a name for each of {n} planes (FITS: BANDS or BAND0…; npz: filters)",
            found=names,
            remedy="name them in the file's order with --bands, "
            "or the one plane that is the image with --science",
        )
    return names


def _gunzipped(data: bytes, *, where: object, max_bytes: int) -> bytes:
    """Decompress a gzip file; refuse a file larger than `max_bytes`."""
    with (
        parsing("image is truncated or damaged", where),
        gzip.GzipFile(fileobj=io.BytesIO(data)) as file,
    ):
        # read one byte more than allowed: if this byte exists, the file is too large, whatever its
        # header states
        plain = file.read(max_bytes + 1)
    if len(plain) > max_bytes:
        raise InputError(
            "image is too large to unpack", where=where, rule=f"hold at most {max_bytes:,} bytes"
        )
    return plain


def _native(planes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        flux = planes.astype(np.float32)
    flux[~np.isfinite(flux)] = np.nan
    return flux


def _bad(planes: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mark pixels that are not finite or in areas of zeros, shape (bands, height, width)."""
    if planes.dtype.kind != "f":
        return np.zeros(planes.shape, dtype=bool)
    return np.stack([~np.isfinite(plane) | unobserved(plane) for plane in planes])
