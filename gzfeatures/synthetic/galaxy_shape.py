"""Define the true shape of one simulated galaxy, star or satellite trail."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from gzfeatures.errors import InputError
from gzfeatures.synthetic.profiles import nanomaggies

Kind: TypeAlias = Literal["elliptical", "disk", "edge-on", "irregular", "merger", "star", "trail"]
BulgeShape: TypeAlias = Literal["none", "rounded", "boxy"]

_RANGES: dict[str, tuple[float, float]] = {
    "magnitude": (-30, 40),
    "r50": (0.01, 1000),
    "sersic": (0.5, 10),
    "axis_ratio": (0.01, 1),
    "bulge": (0, 1),
    "arms": (0, 20),
    "pitch": (1, 89),
    "strength": (0, 1),
    "handedness": (-1, 1),
    "bar": (0, 5),
    "ring": (0, 1),
    "dust": (0, 100),
    "disturbance": (0, 5),
}


@dataclasses.dataclass(frozen=True)
class Galaxy:
    """Store the true shape of one simulated galaxy, star or satellite trail.

    Parameters
    ----------
    kind : str
        Model of the surface brightness; `star` and `trail` are no galaxies.
    magnitude : float
        Total apparent r magnitude.
    r50 : float
        Half-light radius along the major axis, arcsec.
    sersic : float
        Sérsic index of the smooth light (1 is an exponential).
    axis_ratio : float
        Apparent minor over major axis, in (0, 1].
    position_angle : float
        Angle of the major axis in radians, counter-clockwise from the image's x axis.
    colour : float
        Observed g − r of the old stars, mag.
    bulge : float
        Bulge-to-total light, in [0, 1].
    bulge_shape : {"none", "rounded", "boxy"}
        Shape of the bulge.
    arms : int
        Number of spiral arms; volunteers call 5 and more "more than 4".
    pitch : float
        Angle between a spiral arm and a circle, in degrees; a small angle means tightly wound arms.
    strength : float
        Contrast of the arms, in [0, 1].
    handedness : {1, -1}
        Direction in which the spiral arms wind.
    bar : float
        Half of the bar's length in scale lengths of the disk; 0 means no bar.
    ring : float
        Share of the galaxy's light that is in a ring.
    dust : float
        Optical depth in r of the dust lane of an edge-on disk.
    disturbance : float
        How far the light is shifted from a symmetric shape, in half-light radii.

    Raises
    ------
    InputError
        A number is out of its range, or not a number.
    """

    kind: Kind
    magnitude: float
    r50: float
    sersic: float = 1.0
    axis_ratio: float = 1.0
    position_angle: float = 0.0
    colour: float = 0.7
    bulge: float = 0.0
    bulge_shape: BulgeShape = "none"
    arms: int = 0
    pitch: float = 20.0
    strength: float = 0.0
    handedness: int = 1
    bar: float = 0.0
    ring: float = 0.0
    dust: float = 0.0
    disturbance: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    f"galaxy: {name}", rule=f"lie in {low:g}…{high:g}", found=getattr(self, name)
                )

    @property
    def flux(self) -> float:
        """Return the total flux in the r band, in nanomaggies."""
        return nanomaggies(self.magnitude)

    @property
    def r90(self) -> float:
        """Return the radius that contains 90 % of the galaxy's Petrosian light, in arcsec.

        Seen face-on, it is 2.3 r50 for a disk (Sérsic index 1) and 3.3 r50 for an index of 4.
        """
        return self.r50 * (2.3 + 0.33 * (self.sersic - 1)) * (0.7 + 0.3 * self.axis_ratio)
