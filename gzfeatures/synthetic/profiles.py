"""Compute brightness distributions: Sérsic profiles, clumps, point sources, colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Plane: TypeAlias = npt.NDArray[np.float64]

PIXEL = 0.396
"""Side of a camera pixel in arcsec, as in SDSS."""


def nanomaggies(magnitude: float) -> float:
    """Convert an AB magnitude to flux in nanomaggies; magnitude 22.5 is one nanomaggy.

    Examples
    --------
    >>> nanomaggies(22.5), nanomaggies(17.5)
    (1.0, 100.0)
    """
    return math.pow(10, 0.4 * (22.5 - magnitude))


def bands(g_minus_r: float) -> Plane:
    """Return the flux of stars with colour g − r in the bands g, r and i, divided by that in r."""
    return np.array([10 ** (-0.4 * g_minus_r), 1.0, 10 ** (0.4 * (0.02 + 0.42 * g_minus_r))])


def sersic_b(n: float) -> float:
    """Compute the constant b of a Sérsic profile, for which half of the light lies within r_e.

    The formula is equation 18 of Ciotti & Bertin 1999, A&A 352, 447. The light within r_e differs
    from one half by 1e-4 for n = 0.6, and by at most 2e-5 for n ≥ 1.

    Examples
    --------
    >>> round(sersic_b(1), 4), round(sersic_b(4), 4)
    (1.6784, 7.6692)
    """
    return (
        2 * n
        - 1 / 3
        + 4 / (405 * n)
        + 46 / (25515 * n**2)
        + 131 / (1148175 * n**3)
        - 2194697 / (30690717750 * n**4)
    )


def sersic(radius: Plane, r_e: float, n: float) -> Plane:
    """Compute a Sérsic profile's surface brightness, which is 1 at the effective radius `r_e`."""
    return np.exp(-sersic_b(n) * ((radius / r_e) ** (1 / n) - 1))


def elliptical_radius(x: Plane, y: Plane, axis_ratio: float, boxiness: float = 2.0) -> Plane:
    """Return the major-axis radius of the ellipse, or boxy ellipse, through the point (x, y).

    A boxiness of 2 gives an ellipse; a larger number gives a shape closer to a box.
    """
    if boxiness == 2:
        return np.hypot(x, y / axis_ratio)
    return (np.abs(x) ** boxiness + np.abs(y / axis_ratio) ** boxiness) ** (1 / boxiness)


def on_pixels(
    profile: Callable[[Plane, Plane], Plane], x: Plane, y: Plane, fine: int = 10, reach: float = 4.0
) -> Plane:
    """Return an image of a brightness profile, with sum 1; central pixels average `fine`² points.

    Parameters
    ----------
    profile : callable
        (x, y) in arcsec → surface brightness.
    x, y : ndarray of float64
        Pixel centres relative to the source, arcsec, shape (n, n).
    fine : int
        Number of points along each side of a central pixel; even, so that no point lies on the
        centre of the profile, where it is infinitely steep.
    reach : float
        Distance from the source, in pixels, within which pixels count as central.

    Returns
    -------
    ndarray of float64
        Image, shape (n, n), with sum 1.
    """
    image = profile(x, y)
    core = np.hypot(x, y) < reach * PIXEL
    if core.any():
        step = (np.arange(fine) - (fine - 1) / 2) * PIXEL / fine
        dy, dx = (d.ravel() for d in np.meshgrid(step, step, indexing="ij"))
        image[core] = profile(x[core, None] + dx, y[core, None] + dy).mean(-1)
    shares: Plane = image / image.sum()
    return shares


def turned(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    """Return coordinates along and across the direction `angle` (radians), from x and y.

    y grows downwards, but angles are counter-clockwise, so this is a reflection: applied twice, it
    gives x and y again.
    """
    c, s = math.cos(angle), math.sin(angle)
    return c * x - s * y, -s * x - c * y


def clumps(shape: tuple[int, ...], size: float, contrast: float, rng: np.random.Generator) -> Plane:
    """Draw a random log-normal texture: its mean is near 1, and its clumps have `size` arcsec."""
    from scipy.ndimage import gaussian_filter

    sigma = max(size / PIXEL, 0.7)
    noise = gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap", truncate=3.0)
    texture: Plane = np.exp(contrast * noise * (2 * math.sqrt(math.pi) * sigma))
    return texture


def scattered(x: Plane, y: Plane, points_x: Plane, points_y: Plane, weights: Plane) -> Plane:
    """Draw point sources into an image; divide each source among the four nearest pixels.

    x and y are the coordinates of the pixels, `points_x` and `points_y` those of the sources, all
    in arcsec from the same origin.
    """
    side = len(x)
    column, row = (points_x - x[0, 0]) / PIXEL, (points_y - y[0, 0]) / PIXEL
    image = np.zeros_like(x)
    c0, r0 = np.floor(column).astype(int), np.floor(row).astype(int)
    for dr in (0, 1):
        for dc in (0, 1):
            share = weights * (1 - np.abs(column - c0 - dc)) * (1 - np.abs(row - r0 - dr))
            on_image = (c0 + dc >= 0) & (c0 + dc < side) & (r0 + dr >= 0) & (r0 + dr < side)
            np.add.at(image, (r0[on_image] + dr, c0[on_image] + dc), share[on_image])
    return image


def summed(layers: list[tuple[Plane, float, float]]) -> Plane:
    """Add images of a galaxy's components to one image in g, r and i, with total flux 1 in r.

    Each component (layer) is an image with sum 1, its share of the light in r, and its g − r.
    """
    total = sum(share for _, share, _ in layers)
    light: Plane = np.sum(
        [image * (bands(c) * (share / total))[:, None, None] for image, share, c in layers], axis=0
    )
    return light
