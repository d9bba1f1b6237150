"""Find the images in a FITS file; mark their bad pixels by weight and mask images of the file."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, parsing
from gzfeatures.fits.hcompress import fenced
from gzfeatures.fits.header import judged, judged_bytes
from gzfeatures.fits.numbers import Unit
from gzfeatures.fits.tiles import check_tiles, heap_of
from gzfeatures.images.decoding.bad_pixels import masked, unobserved
from gzfeatures.images.decoding.filters import canonical, is_weight
from gzfeatures.images.decoding.fits_inheritance import with_sky
from gzfeatures.images.decoding.warning_filter import without_warnings

if TYPE_CHECKING:
    from astropy.io.fits import Header

SCIENCE = frozenset({"sci", "science", "image", "data", "flux", "signal"})
"""Names of the FITS unit with the galaxy's image (JWST and HST: SCI; HSC and LSST: IMAGE)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """Store one image or cube of a FITS file, with its band names, bad pixels and header.

    Parameters
    ----------
    names : tuple of str, optional
        Names of its bands, from the header.
    values : ndarray
        Shape (…, height, width).
    bad : ndarray of bool
        True for pixels without a measurement, same shape as `values`.
    header : astropy.io.fits.Header
        Header of the image; if it has no celestial coordinates, those of the file's first header
        are added (see `fits_inheritance`).
    """

    names: tuple[str, ...] | None
    values: npt.NDArray[Any]
    bad: npt.NDArray[np.bool_]
    header: Header


def planes(
    data: bytes, *, where: object, max_pixels: int, science: str | None = None
) -> list[Plane]:
    """Return the images in a FITS file, in the file's order, without weight, error and mask images.

    Parameters
    ----------
    data : bytes
        The decompressed file; its headers are checked before it is parsed.
    where : object
        Named in errors.
    max_pixels : int
        Largest number of pixels in one FITS unit (HDU).
    science : str, optional
        The unit with the galaxy's image: its EXTNAME, `EXTNAME,EXTVER`, or number. By default all
        units named as science images (`SCI`, `IMAGE` …); without such names, all images except
        weights, errors and masks.

    Raises
    ------
    InputError
        The file is damaged or too large, or no unit contains the galaxy's image.
    """
    data = judged_bytes(data, where=where, max_pixels=max_pixels)
    with parsing("FITS file is damaged", where), without_warnings():
        twice = fenced(data, where)
    if twice is None:
        return _planes(data, where, science)
    first, second = (_planes(part, where, science) for part in twice)
    for one, other in zip(first, second, strict=True):
        if one.values.tobytes() != other.values.tobytes() or (one.bad != other.bad).any():
            raise InputError(
                "FITS file is damaged",
                where=where,
                rule="have whole HCOMPRESS streams in its tiles",
                found="one that is cut short",
                remedy="fetch it again",
            )
    return first


def plane_headers(
    path: Path, *, science: str | None = None
) -> list[tuple[tuple[str, ...] | None, Header]]:
    """Return band names and header of each image in a FITS file, without reading its pixels.

    Parameters
    ----------
    path : Path
        FITS file, plain, gzipped or compressed; its headers are checked first.
    science : str, optional
        As for `planes`.

    Raises
    ------
    InputError
        The file is damaged, or no unit contains the galaxy's image.
    """
    from astropy.io import fits

    with (
        judged(path, what="image") as file,
        parsing("FITS file is damaged", path),
        without_warnings(),
        fits.open(file, memmap=False) as units,
    ):
        images = [
            (number, unit)
            for number, unit in enumerate(units)
            if unit.is_image and unit.header.get("NAXIS", 0) >= 2
        ]
        if not images:
            raise InputError("FITS file holds no image", where=path, rule="have a plane of pixels")
        first = units[0].header
        return [
            (_names(unit.header, first), with_sky(unit.header, first))
            for _, unit in _chosen(images, science, path)
        ]


def _planes(data: bytes, where: object, science: str | None) -> list[Plane]:
    """Return the images in a FITS file whose headers have been checked."""
    from astropy.io import fits

    with (
        parsing("FITS file is damaged", where),
        without_warnings(),
        fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False) as units,
    ):
        images = [
            (number, unit)
            for number, unit in enumerate(units)
            # leave out random groups: they have axes like images, but contain radio visibilities
            if unit.is_image
            and unit.header.get("NAXIS", 0) >= 2
            and not isinstance(unit, fits.GroupsHDU)
        ]
        if not images:
            raise InputError(
                "FITS file holds no image", where=where, rule="have a plane or cube of pixels"
            )
        chosen = _chosen(images, science, where)
        for _, unit in chosen:
            if math.prod(unit.shape) == 0:
                raise InputError(
                    "FITS file holds an image without pixels", where=where, found=unit.shape
                )
        steps = (
            _steps(data, where)
            if any(type(unit).__name__ == "CompImageHDU" for _, unit in images)
            else {}
        )
        first = units[0].header
        result = []
        for number, unit in chosen:
            values = np.asarray(unit.data)
            bad = _bad(values, steps.get(number))
            result.append(
                Plane(_names(unit.header, first), values, bad, with_sky(unit.header, first))
            )
        _mark(images, [number for number, _ in chosen], result)
    return result


def _label(unit: Any) -> str:
    """Return the name of a FITS unit (HDU): EXTNAME, or IMAGETYP if this means a weight image."""
    kind = str(unit.header.get("IMAGETYP", "")).strip()
    name = str(unit.name).strip()
    return kind if is_weight(kind) and kind else ("" if name == "PRIMARY" else name)


def _words(name: str, keep: bool = False) -> list[str]:
    """Split the name of a file or FITS unit into words; with `keep`, return separators too."""
    return re.split(r"([-_. ])" if keep else r"[-_. ]", name)


def _chosen(
    images: Sequence[tuple[int, Any]], science: str | None, where: object
) -> list[tuple[int, Any]]:
    """Choose the units (HDUs) of a FITS file that contain the galaxy's image, one or more."""
    units = ", ".join(f"{number} ({_label(unit) or 'unnamed'})" for number, unit in images)
    if science is not None:
        name, _, version = science.partition(",")
        named = [
            (number, unit)
            for number, unit in images
            if (
                str(unit.name).lower() == name.strip().lower()
                and version.strip() in ("", str(unit.ver))
            )
            or science == str(number)
        ]
        if not named:
            raise InputError(
                f"no plane {science}",
                where=where,
                rule=f"be one of {units}",
                found=science,
                remedy="name another with --science",
            )
        return named
    # weights, errors and masks have the same shape as the image, so recognise them by name
    able = [(number, unit) for number, unit in images if not is_weight(_label(unit))]
    if not able:
        raise InputError(
            "FITS file holds no image but weights, errors or masks",
            where=where,
            found=units,
            remedy="name the plane with --science if one is the image",
        )
    called = [
        (number, unit)
        for number, unit in able
        if SCIENCE.intersection(_words(_label(unit).lower()))
    ]
    others = [(number, unit) for number, unit in able if (number, unit) not in called]
    if called and others:
        raise InputError(
            "several planes may be the image",
            where=where,
            rule="have one, or planes of one kind",
            found=units,
            remedy="name it with --science",
        )
    return able


def _mark(
    images: Sequence[tuple[int, Any]], chosen: Sequence[int], planes_of_image: Sequence[Plane]
) -> None:
    """Mark the bad pixels of each image, as the weight and mask images of the FITS file say.

    A weight or mask belongs to the image of the same version (EXTVER); without such an image, to
    the image before it in the file.
    """
    versions = {unit.ver for number, unit in images if number in chosen}
    for number, unit in images:
        label = _label(unit)
        if number in chosen or not is_weight(label):
            continue
        rows = [row for row, science in enumerate(chosen) if science < number][-1:] or [0]
        if len(versions) == len(chosen) > 1 and unit.ver in versions:
            rows = [
                row
                for row, plane in enumerate(planes_of_image)
                if plane.header.get("EXTVER", 1) == unit.ver
            ] or rows
        # a mask has one plane for each band of a cube, or a single plane for all bands
        for row in rows:
            shape = planes_of_image[row].bad.shape
            if unit.shape == shape or unit.shape == shape[-2:]:
                mask = masked(label, np.asarray(unit.data), unit.header)
                if mask is not None:
                    np.logical_or(planes_of_image[row].bad, mask, out=planes_of_image[row].bad)


def _names(header: Header, first: Header) -> tuple[str, ...] | None:
    """Return the band names of a FITS unit (HDU), from its header or the file's first header."""
    n = int(header.get("NAXIS3", 1)) if header.get("NAXIS", 0) > 2 else 1
    numbered = tuple(str(header.get(f"BAND{k}", "")).strip() for k in range(n))
    if all(numbered):
        return numbered
    together = str(header.get("BANDS", "")).strip()
    if together:
        return (
            tuple(re.split(r"[,+\s]+", together))
            if re.search(r"[,+\s]", together)
            else tuple(together)
        )
    in_header = (
        word
        for word in _words(str(header.get("EXTNAME", "")), keep=True)
        if word.lower() not in SCIENCE
    )
    extension = canonical("".join(in_header).strip("-_. "))
    single = _filter(header) or extension or (_filter(first) if first is not header else "")
    return (single,) if single else None


def _filter(header: Header) -> str:
    """Return the filter named in an image's header; skip a filter wheel in position CLEAR."""
    for key in ("BAND", "FILTER"):
        text = str(header.get(key, "")).strip()
        if text and not text.upper().startswith("CLEAR"):
            return canonical(text) or text
    wheels = (
        canonical(str(header.get(key, "")))
        for key in ("PUPIL", "FILTER1", "FILTER2", "FILTER01", "FILTNAM1")
    )
    return next((name for name in wheels if name), "")


def _bad(values: npt.NDArray[Any], steps: npt.NDArray[np.float64] | None) -> npt.NDArray[np.bool_]:
    """Find pixels without a measurement: values that are not finite, or areas filled with zeros.

    Integers and floats of the same values have the same bad pixels. `steps` is the tolerance for
    zeros of compressed images, because quantisation changes values by up to half a step.
    """
    flat = values.reshape((-1, *values.shape[-2:]))
    tolerance = np.zeros(flat.shape) if steps is None else steps.reshape(flat.shape)
    pairs = zip(flat, tolerance, strict=True)
    return np.stack(
        [~np.isfinite(plane) | unobserved(plane, step) for plane, step in pairs]
    ).reshape(values.shape)


def _steps(data: bytes, where: object) -> dict[int, npt.NDArray[np.float64]]:
    """Return a dict of compressed images: HDU number → half the quantisation step of each pixel.

    The tiles of each compressed image are checked before: see `fits.tiles.check_tiles`.
    """
    from astropy.io import fits

    result = {}
    with fits.open(io.BytesIO(data), memmap=False, disable_image_compression=True) as units:
        for number, unit in enumerate(units):
            header = unit.header
            if not header.get("ZIMAGE"):
                continue
            heap = heap_of(unit, units.fileinfo(number)["datLoc"], data)
            check_tiles(unit, heap, Unit(where, number))
            if int(header["ZBITPIX"]) > 0:
                continue
            shape = [int(header[f"ZNAXIS{axis}"]) for axis in range(1, int(header["ZNAXIS"]) + 1)]
            tiles = [
                int(header.get(f"ZTILE{axis + 1}", length if axis == 0 else 1))
                for axis, length in enumerate(shape)
            ]
            columns = unit.columns.names
            scale = (
                unit.data["ZSCALE"]
                if "ZSCALE" in columns
                else np.full(len(unit.data), header.get("ZSCALE", 0.0))
            )
            grid = [-(-length // tile) for length, tile in zip(shape, tiles, strict=True)]
            steps = np.nan_to_num(np.asarray(scale, dtype=np.float64)).reshape(grid[::-1])
            for axis, (length, tile) in enumerate(zip(shape[::-1], tiles[::-1], strict=True)):
                steps = np.repeat(steps, tile, axis=axis).take(range(length), axis=axis)
            result[number] = np.abs(steps) / 2 * (1 + 1e-6)
    return result
