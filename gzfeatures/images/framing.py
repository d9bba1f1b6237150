"""Crop images of any survey to the sky field that Galaxy Zoo 2 showed of the same galaxy.

The pictures of Galaxy Zoo 2 (frames), and the Kaggle images made from them, have 424 pixels of 0.02
Petrosian radii (petroR90 in r). So they show a field of 8.48 radii of every galaxy, whatever its
size on the sky, and networks trained on them expect this field.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.ids import Ids, require_unique
from gzfeatures.images.view import View

FRAME_RADII = 424 * 0.02
"""Side of the field in Galaxy Zoo 2's pictures (frames), in Petrosian radii.

Willett+2013, doi:10.1093/mnras/stt1458, section 2.2."""
FILE_DIGITS = 32
"""First digits of a cropped image's digest that are those of the sha256 of its file."""
LEAST_PIXELS = 20
"""Least number of pixels across this field: with fewer, a galaxy has no visible shape.

A scale or radius in a wrong unit also gives so few pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Framing:
    """Store each galaxy's pixel scale and Petrosian radius, which determine the size of its crop.

    Parameters
    ----------
    ids : Ids
        Galaxies, shape (n,), unique.
    pixel_scale : ndarray of float64
        Arcseconds per pixel of each galaxy's image, shape (n,); NaN = not known.
    petrosian : ndarray of float64
        Petrosian radius (petroR90) of each galaxy in arcseconds, shape (n,); NaN = not known.
    columns : (str, str)
        Names of the columns of scale and radius, for messages and records.

    Examples
    --------
    >>> ids = np.array(["a", "b"], dtype=object)
    >>> framing = Framing(ids, np.array([0.4, 0.4]), np.array([10.0, np.nan]), ("scale", "r90"))
    >>> framing.frame_pixels("a")
    212.0
    """

    ids: Ids
    pixel_scale: npt.NDArray[np.float64]
    petrosian: npt.NDArray[np.float64]
    columns: tuple[str, str]

    def __post_init__(self) -> None:
        require_unique(self.ids, where="framing")
        if not len(self.ids) == len(self.pixel_scale) == len(self.petrosian):
            raise InputError("framing", rule="have a pixel scale and a radius of each galaxy")
        rows = {str(name): row for row, name in enumerate(self.ids)}
        object.__setattr__(self, "_rows", rows)

    def frame_pixels(self, galaxy: str) -> float:
        """Return the side of the field that Galaxy Zoo 2 showed, in pixels of the galaxy's image.

        Raises
        ------
        InputError
            The galaxy is not in the catalog, its scale or radius is missing or not above 0, or the
            field would have fewer than 20 pixels.
        """
        rows: dict[str, int] = self._rows  # type: ignore[attr-defined]
        row = rows.get(str(galaxy))
        remedy = "leave the galaxy out with --on-bad skip"
        if row is None:
            raise InputError(
                "galaxy has no crop",
                where=galaxy,
                rule=f"have {' and '.join(self.columns)} in the catalog",
                remedy=remedy,
            )
        scale, radius = float(self.pixel_scale[row]), float(self.petrosian[row])
        for column, value in zip(self.columns, (scale, radius), strict=True):
            # refuse a missing or impossible scale or radius, because any replacement would give a
            # wrong crop
            if not 0 < value < np.inf:
                raise InputError(
                    f"{column} sets the crop",
                    where=galaxy,
                    rule="be a number above 0",
                    found="no value" if np.isnan(value) else value,
                    remedy=remedy,
                )
        pixels = round(FRAME_RADII * radius / scale, 6)
        if pixels < LEAST_PIXELS:
            raise InputError(
                f"frame of {FRAME_RADII:g} Petrosian radii",
                where=galaxy,
                rule=f"have {LEAST_PIXELS} pixels or more",
                found=f"{pixels:g} ({radius:g} arcsec at {scale:g} arcsec per pixel)",
                remedy=f"give both in arcseconds, or {remedy}",
            )
        return pixels

    def asdict(self) -> dict[str, Any]:
        """Return the column names of scale and radius, and Galaxy Zoo 2's field, as JSON values.

        `frame_radii` is the side of the field that Galaxy Zoo 2 showed, in Petrosian radii.
        """
        scale, radius = self.columns
        return {"pixel_scale": scale, "petrosian": radius, "frame_radii": FRAME_RADII}

    @property
    def fingerprint(self) -> str:
        """Return a sha256 of all galaxy ids, pixel scales and Petrosian radii."""
        values = np.stack([self.pixel_scale, self.petrosian])
        return fingerprint.of([self.ids.tolist(), fingerprint.of_array(values)])


def cut_to_frame(view: View, frame: float | None, size: tuple[int, int], where: object) -> View:
    """Return the view with its crop as a share of the image, instead of Galaxy Zoo's sky field.

    Parameters
    ----------
    view : View
        View whose crop is a share of the field that Galaxy Zoo 2 showed.
    frame : float, optional
        Side of this field in pixels; None if the image shows exactly this field.
    size : (int, int)
        Sides of the image in pixels.
    where : object
        Named in errors.

    Raises
    ------
    InputError
        The view shows more sky than the image.

    Examples
    --------
    >>> cut_to_frame(View(crop=0.5), 212.0, (424, 500), "a.jpg").crop
    0.25
    """
    if frame is None:
        return view
    side = view.crop * frame
    # allow rounding errors, because a crop exactly as large as the image must not be refused
    if side > min(size) * (1 + 1e-6):
        raise InputError(
            "view is wider than the image",
            where=where,
            # round up, so that the message never asks for fewer pixels than are needed
            rule=f"have {math.ceil(side)} pixels across, {view.crop:g} of the frame of this galaxy",
            found=min(size),
            remedy="cut larger images, or leave the galaxy out with --on-bad skip",
        )
    return dataclasses.replace(view, crop=min(1.0, side / min(size)))
