"""Simulate a camera: seeing, neighbouring sources, noise, and the JPEG that volunteers see."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures.synthetic.galaxy_shape import Galaxy
from gzfeatures.synthetic.profiles import PIXEL, Plane, bands, nanomaggies
from gzfeatures.synthetic.surface_brightness import surface_brightness

SEEING = 1.3
"""Full width at half maximum of a star's image, in arcsec."""
SKY_NOISE = np.array([0.009, 0.014, 0.0185])
"""Standard deviation of the sky brightness in g, r and i, in nanomaggies per pixel."""
GAIN = 500.0
"""Number of photo-electrons per nanomaggy."""
WINGS = 0.06
"""Share of a star's light in the wider of the two Gaussians that describe the seeing."""
STRETCH = np.array([1.95, 2.3, 3.6])
"""Factors on i, r and g before the asinh stretch; with them a galaxy of solar colour is white."""
SOFTENING = 7.0
"""Softening of the asinh stretch: brightness is linear for scaled fluxes well below 1/7."""
PEDESTAL = 0.008
"""Brightness of empty sky in the colour image, on a scale from 0 to 1."""


def observed(flux: Plane) -> Plane:
    """Blur an image by simulated seeing: a narrow Gaussian, and a faint one three times as wide.

    Parameters
    ----------
    flux : ndarray of float64
        Light in three bands, shape (3, side, side), in any unit per pixel.
    """
    from scipy.ndimage import gaussian_filter

    sigma = 0.985 * SEEING / PIXEL / math.sqrt(8 * math.log(2))
    core = gaussian_filter(flux, (0, sigma, sigma), mode="constant", truncate=4.0)
    wings = gaussian_filter(core, (0, 2.8 * sigma, 2.8 * sigma), mode="constant", truncate=4.0)
    blurred: Plane = (1 - WINGS) * core + WINGS * wings
    return blurred


def neighbours(side: int, rng: np.random.Generator) -> Plane:
    """Draw field stars and small distant galaxies around a simulated galaxy, before seeing.

    The image has shape (3, side, side), in nanomaggies per pixel, and no noise.
    """
    field = np.zeros((3, side, side))
    area = (side * PIXEL / 60) ** 2
    keep_clear = 0.09 * side
    for place, magnitude, far in zip(*_field_catalog(side, area, rng), strict=True):
        # skip sources near the centre: in front of the galaxy they would change its visible shape
        if np.hypot(*(place - side / 2)) < keep_clear:
            continue
        if far and magnitude > 17:
            source = Galaxy(
                "elliptical",
                magnitude,
                r50=float(0.5 + 0.1 * (22 - magnitude) * rng.uniform(0.7, 1.6)),
                axis_ratio=float(rng.uniform(0.35, 1)),
                position_angle=float(rng.uniform(0, math.pi)),
                colour=float(rng.normal(0.95, 0.3)),
            )
            _stamp(
                field, surface_brightness(source, 2 * int(5 * source.r50 / PIXEL) + 9, rng), place
            )
        else:
            colour = float(
                np.clip(
                    rng.choice([rng.normal(0.3, 0.2), rng.normal(0.7, 0.2), rng.normal(1.4, 0.12)]),
                    0.0,
                    1.6,
                )
            )
            # draw halo and spikes only for bright stars: those of fainter stars are invisible, and
            # one pixel with the star's light suffices
            if magnitude < 13.5:
                source = Galaxy(
                    "star", magnitude, r50=1.0, position_angle=math.pi / 5, colour=colour
                )
                _stamp(field, surface_brightness(source, 2 * (side // 4) + 41, rng), place)
            else:
                _stamp(field, (nanomaggies(magnitude) * bands(colour))[:, None, None], place)
    return field


def _field_catalog(
    side: int, area: float, rng: np.random.Generator
) -> tuple[Plane, Plane, npt.NDArray[np.bool_]]:
    """Draw random field sources: positions (n, 2), r magnitudes (n,), True for galaxies (n,).

    The field covers `area` square arcmin.
    """
    count = rng.poisson(8 * area)
    magnitudes = 22.0 - rng.exponential(1.5, count)
    return rng.uniform(0, side, (count, 2)), np.maximum(magnitudes, 12.0), rng.random(count) < 0.5


def _stamp(field: Plane, stamp: Plane, place: Plane) -> None:
    """Add the image of one source to the image `field`, centred on the pixel `place`.

    The part of it outside the border of `field` is cut off.
    """
    side, width = field.shape[-1], stamp.shape[-1]
    row, column = (int(p) - width // 2 for p in place)
    top, left, bottom, right = (
        max(row, 0),
        max(column, 0),
        min(row + width, side),
        min(column + width, side),
    )
    if top < bottom and left < right:
        field[:, top:bottom, left:right] += stamp[
            :, top - row : bottom - row, left - column : right - column
        ]


def exposed(flux: Plane, rng: np.random.Generator) -> Plane:
    """Add noise of sky and sources to a simulated image, and a small error in the sky level."""
    # add two variances: that of the sky, and flux / gain, the Poisson noise of the source's photons
    variance = SKY_NOISE[:, None, None] ** 2 + np.maximum(flux, 0) / GAIN
    # real surveys subtract the sky's brightness with a small error: add a random constant to each
    # band, with a standard deviation of 0.15 times that of the sky
    left_over = SKY_NOISE * rng.normal(0, 0.15, 3)
    return flux + left_over[:, None, None] + rng.standard_normal(flux.shape) * np.sqrt(variance)


def coloured(flux: Plane, size: int) -> Image.Image:
    """Compose a colour image from the bands g, r and i: i is red, r is green, g is blue.

    The asinh stretch is that of Lupton et al. 2004 (doi:10.1086/382245): all bands are multiplied
    by one function of their mean, so that colours do not change, and a pixel too bright for the
    screen keeps its hue.

    Parameters
    ----------
    flux : ndarray of float64
        Light in g, r and i, shape (3, side, side), in nanomaggies per pixel.
    size : int
        Side of the image in pixels.
    """
    red_green_blue = flux[::-1] * STRETCH[:, None, None]
    mean = red_green_blue.mean(0)
    safe = np.where(np.abs(mean) < 1e-6, 1e-6, mean)
    rgb = red_green_blue * (np.arcsinh(SOFTENING * safe) / (SOFTENING * safe)) + PEDESTAL
    rgb = np.clip(rgb / np.maximum(rgb.max(0), 1), 0, 1)
    image = Image.fromarray((rgb.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))
    return image.resize((size, size), Image.Resampling.BICUBIC)


def photograph(
    galaxy: Galaxy, size: int, sky: np.random.Generator, night: np.random.Generator
) -> bytes:
    """Return a JPEG of a simulated galaxy and its neighbours, as wide as Galaxy Zoo's images.

    Galaxy Zoo's images are 8.48 Petrosian 90 % radii wide.

    Parameters
    ----------
    galaxy : Galaxy
        Galaxy in the centre of the image.
    size : int
        Side of the image in pixels; 424 in Galaxy Zoo.
    sky : numpy.random.Generator
        Random numbers for what is really on the sky: clumps, knots, neighbours.
    night : numpy.random.Generator
        Random numbers for the noise of this exposure.
    """
    side = round(8.48 * galaxy.r90 / PIXEL)
    flux = observed(surface_brightness(galaxy, side, sky) + neighbours(side, sky))
    file = io.BytesIO()
    coloured(exposed(flux, night), size).save(file, "JPEG", quality=88)
    return file.getvalue()
