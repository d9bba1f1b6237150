"""Files of bands: FITS planes, cubes and extensions, .npy and .npz → Bands. A band is known by name, never by place."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, reading
from gzfeatures.fitsheader import judged_bytes
from gzfeatures.images.bands import WAVELENGTHS, Bands
from gzfeatures.images.parcels import array
from gzfeatures.images.quiet import quiet

if TYPE_CHECKING:
    from astropy.io.fits import Header

UNNAMED = "unnamed"
"""Name of the only band of an image that says nowhere which it is."""


def read_fits(data: bytes, *, where: object, max_pixels: int, names: tuple[str, ...] | None = None) -> Bands:
    """Bands of a FITS file: a plane, a cube, or an image extension for each band.

    Names come from the header (BANDS or BAND0…, BAND, FILTER, or EXTNAME where it is a band's), else from `names`.
    An extension whose IMAGETYP is `invvar` marks bad pixels of the band before it where it is not positive.

    Raises
    ------
    InputError
        The file is truncated, damaged, or too large; the planes of a cube have no names; or header and `names` differ.
    """
    from astropy.io import fits

    if data[:2] == b"\x1f\x8b":
        data = _gunzipped(data, where=where, max_bytes=16 * max_pixels)
    data = judged_bytes(data, where=where, max_pixels=max_pixels)
    parts: list[tuple[tuple[str, ...] | None, npt.NDArray[Any]]] = []
    weights: dict[int, npt.NDArray[Any]] = {}
    header = None
    with (
        reading("FITS file is damaged", where),
        quiet(),
        fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False) as units,
    ):
        for unit in units:
            if not unit.is_image or unit.header.get("NAXIS", 0) < 2:
                continue
            _fits_fault(unit, len(data), where=where, max_pixels=max_pixels)
            plane = np.asarray(unit.data)
            if str(unit.header.get("IMAGETYP", "")).strip().lower() == "invvar":
                weights[len(parts) - 1] = plane
                continue
            header = unit.header if header is None else header
            parts.append((_fits_names(unit.header), plane))
    if not parts or header is None:
        raise InputError("FITS file holds no image", where=where, rule="have a plane or cube of pixels")
    cubes = [plane.reshape((-1, *plane.shape[-2:])) for _, plane in parts]
    if len({cube.shape[1:] for cube in cubes}) > 1:
        raise InputError("bands differ in shape", where=where, found=", ".join(str(cube.shape) for cube in cubes))
    found = [name for own, _ in parts for name in own or ()]
    flux = np.concatenate([_native(cube) for cube in cubes])
    bad = np.concatenate([_bad(cube) for cube in cubes])
    for part, weight in weights.items():
        if part >= 0 and weight.shape == bad.shape[1:] and all(len(cube) == 1 for cube in cubes):
            bad[part] |= ~(weight > 0)
    return Bands(_agreed(tuple(found), names, len(flux), where=where), flux, bad, header)


def read_npy(data: bytes, *, where: object, max_pixels: int, names: tuple[str, ...] | None = None) -> Bands:
    """Bands of a .npy file of shape (bands, height, width) or (height, width), which holds no names.

    Raises
    ------
    InputError
        The file is damaged or too large, or its bands are not named.
    """
    planes = array(data, where=where, max_bytes=16 * max_pixels)
    return _of_array(planes, names, where=where)


def read_npz(parts: dict[str, bytes], *, where: object, max_pixels: int, names: tuple[str, ...] | None = None) -> Bands:
    """Bands of a .npz file: `images` of shape (bands, height, width) and their names `filters` (or `image`, `bands`).

    Raises
    ------
    InputError
        An array is missing, damaged or too large, or the names do not fit.
    """
    planes = next((parts[key] for key in ("images.npy", "image.npy") if key in parts), None)
    if planes is None:
        raise InputError("npz file holds no image", where=where, rule="have an array 'images'", found=", ".join(parts))
    own = next((parts[key] for key in ("filters.npy", "bands.npy") if key in parts), None)
    if own is not None:
        listed = tuple(str(name) for name in array(own, where=where, max_bytes=2**16).ravel())
        names = _agreed(listed, names, len(listed), where=where)
    return _of_array(array(planes, where=where, max_bytes=16 * max_pixels), names, where=where)


def stacked(parts: Sequence[Bands], *, where: object) -> Bands:
    """Bands of one galaxy from several files.

    Raises
    ------
    InputError
        They differ in shape, or name a band twice.
    """
    if len({part.flux.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(f"{'+'.join(part.names)} {part.flux.shape[1:]}" for part in parts)
        raise InputError("bands differ in shape", where=where, found=shapes)
    names = tuple(name for part in parts for name in part.names)
    flux, bad = np.concatenate([part.flux for part in parts]), np.concatenate([part.bad for part in parts])
    return Bands(names, flux, bad, parts[0].header)


def _of_array(planes: npt.NDArray[Any], names: tuple[str, ...] | None, *, where: object) -> Bands:
    planes = planes[None] if planes.ndim == 2 else planes
    if planes.ndim != 3 or planes.dtype.kind not in "uif":
        raise InputError(
            "array is no image",
            where=where,
            rule="be numbers (bands, height, width)",
            found=(planes.shape, planes.dtype),
        )
    return Bands(_agreed((), names, len(planes), where=where), _native(planes), _bad(planes))


def _agreed(found: tuple[str, ...], given: tuple[str, ...] | None, n: int, *, where: object) -> tuple[str, ...]:
    """Names of the bands, where the file's own and those given may not contradict each other."""
    if found and given and found != given:
        raise InputError("bands of the file are not those named", where=where, rule=f"be {given}", found=found)
    names = found or given or ((UNNAMED,) if n == 1 else ())
    if len(names) != n:
        raise InputError(
            "bands are not named",
            where=where,
            rule=f"have a name for each of {n} planes (FITS: BANDS or BAND0…; npz: filters)",
            found=names,
            remedy="name the bands of the image set, in the file's order",
        )
    return names


def _fits_names(header: Header) -> tuple[str, ...] | None:
    n = int(header.get("NAXIS3", 1))
    numbered = tuple(str(header.get(f"BAND{k}", "")).strip() for k in range(n))
    if all(numbered):
        return numbered
    together = str(header.get("BANDS", "")).strip()
    if together:
        return tuple(re.split(r"[,+\s]+", together)) if re.search(r"[,+\s]", together) else tuple(together)
    extension = str(header.get("EXTNAME", "")).strip()
    single = str(header.get("BAND", "") or header.get("FILTER", "")).strip()
    single = single or (extension if extension in WAVELENGTHS else "")
    return (single,) if single else None


def _fits_fault(unit: Any, size: int, *, where: object, max_pixels: int) -> None:
    """Judge an extension by its header alone: its pixels must fit the limit, and lie in the file."""
    shape = unit.shape
    pixels = int(np.prod(shape, dtype=object))
    if pixels > max_pixels:
        raise InputError(
            "image is too large to decode", where=where, rule=f"hold at most {max_pixels:,} pixels", found=shape
        )
    if pixels == 0:
        raise InputError("FITS file holds an image without pixels", where=where, found=shape)
    place = unit.fileinfo()
    compressed = "ZBITPIX" in unit.header or type(unit).__name__ == "CompImageHDU"
    needed = place["datLoc"] + (place["datSpan"] if compressed else pixels * abs(int(unit.header["BITPIX"])) // 8)
    if needed > size:
        raise InputError("image is truncated", where=where, rule=f"hold {needed} bytes", found=size)


def _gunzipped(data: bytes, *, where: object, max_bytes: int) -> bytes:
    with reading("image is truncated or damaged", where), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        plain = file.read(max_bytes + 1)
    if len(plain) > max_bytes:
        raise InputError("image is too large to unpack", where=where, rule=f"hold at most {max_bytes:,} bytes")
    return plain


def _native(planes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        flux = planes.astype(np.float32)
    flux[~np.isfinite(flux)] = np.nan
    return flux


def _bad(planes: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if planes.dtype.kind != "f":
        return np.zeros(planes.shape, dtype=bool)
    bad: npt.NDArray[np.bool_] = ~np.isfinite(planes) | (planes == 0)
    return bad
