"""Shift the images of one galaxy in several bands onto one pixel grid, by their sky coordinates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.images.decoding.filters import wavelength
from gzfeatures.images.decoding.warning_filter import without_warnings

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    from gzfeatures.images.decoding.bands import Bands

WHOLE = 0.1
"""A shift this close to whole pixels is rounded, so that no interpolation is needed."""

BENT = 0.5
"""Largest difference in pixels that may remain after the shift at a corner of two bands."""

_CARDS = (
    "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CTYPE1", "CTYPE2", "CDELT1", "CDELT2", "CD1_1",
    "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "CROTA2", "LONPOLE",
    "LATPOLE"
)  # fmt: skip

Corners = npt.NDArray[np.float64]


def arcsec_per_pixel(world: WCS) -> float:
    """Return the arcseconds per pixel of an image: the square root of a pixel's sky area."""
    from astropy.wcs.utils import proj_plane_pixel_area

    return float(np.sqrt(proj_plane_pixel_area(world)) * 3600)


def celestial(header: Header | None) -> WCS | None:
    """Return an image's celestial coordinate system (WCS); None if its FITS header defines none."""
    if header is None or "CTYPE1" not in header:
        return None
    from astropy.wcs import WCS

    with without_warnings():
        try:
            world = WCS(header, naxis=2)
            return world if world.has_celestial else None
        except Exception:
            # ignore damaged coordinates, which raise many kinds of errors, because the image can be
            # shown without them
            return None


def mirrored(header: Header | None) -> bool:
    """Return whether the image is mirrored, compared with the sky (east to the right of north)."""
    world = celestial(header)
    return world is not None and _handedness(world) > 0


def _handedness(world: WCS) -> float:
    """Return the determinant of the pixel-to-sky matrix; it is positive if mirrored."""
    # if a header has latitude on the first axis, two matrix columns are exchanged, which changes
    # the determinant's sign
    sign = -1 if world.wcs.lng > world.wcs.lat else 1
    return sign * float(np.linalg.det(world.pixel_scale_matrix))


def aligned(parts: Sequence[Bands], *, where: object) -> list[Bands]:
    """Shift images of several bands onto the pixel grid of one band, by their sky coordinates.

    The bands are sorted by wavelength, and the grid of the middle band is used. The other images
    are shifted by whole pixels if the error is below a tenth of a pixel, otherwise by linear
    interpolation. Pixels outside the image before the shift become bad pixels.

    Parameters
    ----------
    parts : sequence of Bands
        Images of one shape. If no image has sky coordinates, none is shifted.
    where : object
        Named in errors.

    Raises
    ------
    InputError
        Only some images have coordinates; or the images differ in pixel scale, rotation, mirroring
        or field of sky.
    """
    if len({_cards(part.header) for part in parts}) == 1:
        return list(parts)
    worlds = [celestial(part.header) for part in parts]
    if all(world is None for world in worlds):
        return list(parts)
    if None in worlds:
        lost = "+".join(parts[worlds.index(None)].names)
        raise InputError(
            "bands cannot be aligned",
            where=where,
            rule="all have celestial coordinates, or none",
            found=f"none in {lost}",
            remedy="put them on one grid, as one file",
        )
    return _onto(
        list(parts), [world for world in worlds if world is not None], _middle(parts), where
    )


def _cards(header: Header | None) -> tuple[object, ...] | None:
    """Return the header values that place an image on the sky; None without coordinates."""
    if header is None or "CTYPE1" not in header:
        return None
    return tuple(header.get(card) for card in _CARDS)


def _middle(parts: Sequence[Bands]) -> int:
    """Return the index of the band that is in the middle when bands are sorted by wavelength."""
    order = sorted(range(len(parts)), key=lambda row: (wavelength(parts[row].names[0]) or 0.0, row))
    return order[len(order) // 2]


def _onto(parts: list[Bands], worlds: list[WCS], middle: int, where: object) -> list[Bands]:
    """Shift every band onto the pixel grid of the middle band; refuse a rotated image."""
    height, width = parts[middle].flux.shape[1:]
    corners = np.array(
        [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)], dtype=np.float64
    )
    result = []
    for part, world in zip(parts, worlds, strict=True):
        pair = f"{'+'.join(part.names)} and {'+'.join(parts[middle].names)}"
        if part is parts[middle]:
            result.append(part)
            continue
        with without_warnings():
            mapped = _mapped(worlds[middle], world, corners)
        _require_alike(mapped - corners, corners, pair, worlds[middle], world, where)
        result.append(_moved(part, (mapped - corners).mean(axis=0), parts[middle].header))
    return result


def _mapped(source: WCS, target: WCS, corners: Corners) -> Corners:
    """Convert pixel positions of one image to those of a second image; NaN where impossible."""
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    try:
        sky = np.asarray(source.all_pix2world(corners, 0))[:, [source.wcs.lng, source.wcs.lat]]
        frames = [wcs_to_celestial_frame(world) for world in (source, target)]
        # convert both images to one celestial frame first, because bands may use different frames
        # (FK5, ICRS, galactic)
        if not frames[0].is_equivalent_frame(frames[1]):
            moved = SkyCoord(*sky.T, unit="deg", frame=frames[0]).transform_to(frames[1]).spherical
            sky = np.column_stack([moved.lon.deg, moved.lat.deg])
        return np.asarray(
            target.all_world2pix(sky if target.wcs.lng < target.wcs.lat else sky[:, ::-1], 0)
        )
    except Exception:
        # these functions raise many kinds of error if the projection cannot represent a point, or
        # if distortion terms do not converge
        return np.full_like(corners, np.nan)


def _require_alike(
    shift: Corners, corners: Corners, pair: str, reference: WCS, moved: WCS, where: object
) -> None:
    """Refuse two images that differ by more than a shift, or by a shift over half the image."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    scales = [float(proj_plane_pixel_scales(world).mean()) * 3600 for world in (moved, reference)]
    remedy = "put them on one grid first, or leave one of them out"
    fault = "bands of one galaxy cannot be aligned"
    size = corners.max(axis=0) + 1
    # pixel scales may differ slightly, as long as no corner moves by more than half a pixel
    if not abs(scales[0] / scales[1] - 1) <= BENT / size.max():
        values = f'{scales[0]:.4g}" and {scales[1]:.4g}" a pixel in {pair}'
        raise InputError(
            fault, where=where, rule="have one pixel scale", found=values, remedy=remedy
        )
    if (_handedness(reference) > 0) != (_handedness(moved) > 0):
        raise InputError(
            fault, where=where, rule="have east on one side", found=pair, remedy=remedy
        )
    middle = shift.mean(axis=0)
    if not (np.abs(middle) < size / 2).all():
        # images far apart on the sky have a NaN shift; it is refused here too, because comparisons
        # with NaN are false
        raise InputError(
            fault, where=where, rule="show one field of the sky", found=pair, remedy=remedy
        )
    if not np.abs(shift - middle).max() <= BENT:
        raise InputError(fault, where=where, rule="have one orientation", found=pair, remedy=remedy)


def _moved(part: Bands, shift: npt.NDArray[np.float64], header: Header | None) -> Bands:
    """Shift a band's image by (x, y) pixels; pixels left empty by the shift become NaN and bad."""
    flux = np.full_like(part.flux, np.nan)
    bad, uncovered = np.ones_like(part.bad), np.ones_like(part.bad)
    whole = np.rint(shift).astype(int)
    shift = np.where(np.abs(shift - whole) <= WHOLE, whole, shift)
    if (shift == whole).all():
        height, width = flux.shape[1:]
        (x, y), (target_x, source_x), (target_y, source_y) = (
            whole,
            _span(whole[0], width),
            _span(whole[1], height),
        )
        flux[:, target_y, target_x] = part.flux[:, source_y, source_x]
        bad[:, target_y, target_x] = part.bad[:, source_y, source_x]
        uncovered[:, target_y, target_x] = False
        if not (x or y):
            return part
        return dataclasses.replace(part, flux=flux, bad=bad, header=header, uncovered=uncovered)
    # a shift by a fraction of a pixel mixes neighbours: set bad pixels to 0 before, and mark pixels
    # that contain part of a bad one as bad
    from scipy import ndimage

    for plane, (values, holes) in enumerate(zip(part.flux, part.bad, strict=True)):
        back = (shift[1], shift[0])
        filled = np.where(holes, 0, np.nan_to_num(values))
        moved = ndimage.affine_transform(
            filled, np.ones(2), back, order=1, mode="constant", cval=np.nan
        )
        touched = ndimage.affine_transform(
            holes.astype(np.float32), np.ones(2), back, order=1, cval=1.0
        )
        bad[plane] = np.isnan(moved) | (touched > 1e-3)
        uncovered[plane] = np.isnan(moved)
        flux[plane] = moved
    return dataclasses.replace(part, flux=flux, bad=bad, header=header, uncovered=uncovered)


def _span(shift: int, length: int) -> tuple[slice, slice]:
    """Return the slices to write to and to read from, for shifting an image along one axis."""
    return slice(max(0, -shift), min(length, length - shift)), slice(
        max(0, shift), min(length, length + shift)
    )
