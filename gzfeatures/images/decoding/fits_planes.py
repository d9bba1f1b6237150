"""Find the images in a FITS file; mark their bad pixels by weight and mask images of the file."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Mapping, Sequence
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
from gzfeatures.images.decoding.filters import (
    SCIENCE,
    canonical,
    filter_of,
    is_weight,
    words_of,
)
from gzfeatures.images.decoding.fits_inheritance import with_sky
from gzfeatures.images.decoding.mask_owners import kind_of_mask, owner, unclear
from gzfeatures.images.decoding.warning_filter import without_warnings

if TYPE_CHECKING:
    from astropy.io.fits import Header


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
            (band_names(unit.header, first), with_sky(unit.header, first))
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
        # look for BLANK before any data are read, because astropy then deletes it from the header
        blank = _blank(data) if any("BLANK" in unit.header for _, unit in images) else {}
        result = []
        for number, unit in chosen:
            values = _without_blank(np.asarray(unit.data), blank.get(number))
            bad = _bad(values, steps.get(number))
            result.append(
                Plane(band_names(unit.header, first), values, bad, with_sky(unit.header, first))
            )
        _mark(images, [number for number, _ in chosen], result, blank, where)
    return result


def _blank(data: bytes) -> dict[int, npt.NDArray[np.bool_]]:
    """Return a dict: HDU number → which pixels have no measurement, for images that define BLANK.

    BLANK is compared with the stored integers (FITS standard 4.0, section 4.4.2.5). Astropy would
    ignore it if it is 0, and in unsigned integers.
    """
    from astropy.io import fits

    result = {}
    with fits.open(io.BytesIO(data), memmap=False, do_not_scale_image_data=True) as units:
        for number, unit in enumerate(units):
            value = unit.header.get("BLANK") if unit.is_image else None
            if type(value) is int and unit.header.get("NAXIS", 0) and unit.header["BITPIX"] > 0:
                result[number] = np.asarray(unit.data == value)
    return result


def _without_blank(
    values: npt.NDArray[Any], blank: npt.NDArray[np.bool_] | None
) -> npt.NDArray[Any]:
    """Return an image's values with NaN where `blank` is true; 32-bit integers stay exact."""
    if blank is None or not blank.any():
        return values
    numbers = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    numbers[blank] = np.nan
    return numbers


def _label(unit: Any) -> str:
    """Return the name of a FITS unit (HDU): EXTNAME, or IMAGETYP if this means a weight image."""
    kind = str(unit.header.get("IMAGETYP", "")).strip()
    name = str(unit.name).strip()
    return kind if is_weight(kind) and kind else ("" if name == "PRIMARY" else name)


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
        if SCIENCE.intersection(words_of(_label(unit).lower()))
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
    images: Sequence[tuple[int, Any]],
    chosen: Sequence[int],
    planes_of_image: Sequence[Plane],
    blank: Mapping[int, npt.NDArray[np.bool_]],
    where: object,
) -> None:
    """Mark the bad pixels of each image, as the weight and mask images of the FITS file say.

    A weight or mask belongs to the image that `mask_owners.owner` finds; without such an image, to
    the image before it in the file. Pixels where it is BLANK are bad.
    """
    able = [unit for unit in images if unit[0] in chosen or not is_weight(_label(unit[1]))]
    stated = [(_label(unit), unit.header) for _, unit in able]
    bad = {number: plane.bad for number, plane in zip(chosen, planes_of_image, strict=True)}
    guessed: dict[str, list[int]] = {}
    found: dict[str, list[tuple[int, npt.NDArray[np.bool_]]]] = {}
    for number, unit in images:
        label = _label(unit)
        if number in chosen or not is_weight(label):
            continue
        # find the image of this mask: by their names, filters and versions, else by their order
        # among all images of the file, chosen or not
        place = owner((label, unit.header), stated)
        before = sum(science < number for science, _ in able) - 1
        row = max(before, 0) if place is None else place
        # a mask has one plane for each band of a cube, or a single plane for all bands
        image = able[row]
        shape = bad[image[0]].shape if image[0] in bad else image[1].shape
        mask = None
        if unit.shape in (shape, shape[-2:]):
            mask = masked(label, np.asarray(unit.data), unit.header)
        if mask is not None:
            mask = mask | blank.get(number, False)
            kind = kind_of_mask(label)
            found.setdefault(kind, []).append((row, mask))
            # a mask that marks no pixel may be of any image
            if place is None and mask.any():
                guessed.setdefault(kind, []).append(before)
    for kind, entries in found.items():
        owners = [row for row, _ in entries]
        unsure = unclear(owners, guessed.get(kind, ()), len(able))
        # a single mask of several images is of the one image that was named
        if unsure and not len(owners) == 1 == len(chosen):
            raise InputError(
                "masks of several images cannot be told apart",
                where=where,
                rule="share EXTNAME (SCI_G and MASK_G), FILTER or EXTVER with their image",
                found=f"{len(owners)} of the kind {kind} for {len(able)} images",
                remedy="name them so" + ", or name one image with --science" * (len(owners) == 1),
            )
        for row, mask in entries:
            target = bad.get(chosen[0] if unsure else able[row][0])
            if target is not None and mask.shape in (target.shape, target.shape[-2:]):
                np.logical_or(target, mask, out=target)


def band_names(header: Mapping[str, Any], first: Mapping[str, Any]) -> tuple[str, ...] | None:
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
        for word in words_of(str(header.get("EXTNAME", "")), keep=True)
        if word.lower() not in SCIENCE
    )
    extension = canonical("".join(in_header).strip("-_. "))
    single = filter_of(header) or extension or (filter_of(first) if first is not header else "")
    return (single,) if single else None


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
