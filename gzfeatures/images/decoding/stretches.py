"""Convert fluxes in any unit to 8-bit grey levels, by published formulas (stretches)."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

Flux = npt.NDArray[np.float64]


class Stretch(Protocol):
    """Describe the interface of a stretch: it takes fluxes and returns 8-bit grey levels."""

    def __call__(self, flux: Flux) -> npt.NDArray[np.uint8]:
        """Return the stretched image as 8-bit values, shape (channels, height, width).

        NaN is left out of every statistic and drawn as 0.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Lupton:
    """Stretch an image by the arcsinh of its mean over bands; bright pixels keep their colour.

    Lupton et al. 2004, doi:10.1086/382245.

    The median of each channel becomes black. The linear range is a multiple of the sky noise, so
    that the flux unit does not matter. The noise is the median minus the 15.87th percentile of the
    mean image, and at least 1/1000 of the range of the mean image.

    Parameters
    ----------
    softening : float
        Q of the paper.
    linear : float
        Linear range (the paper's α⁻¹, `stretch` in astropy) in units of the noise.
    """

    softening: float
    linear: float

    def __call__(self, flux: Flux) -> npt.NDArray[np.uint8]:
        """Return the stretched image as 8-bit values, shape (channels, height, width).

        NaN is left out of every statistic and drawn as 0.
        """
        flux = flux - np.nanmedian(flux, axis=(1, 2), keepdims=True)
        bad = np.isnan(flux).any(axis=0)
        flux[:, bad] = 0
        intensity = flux.mean(axis=0)
        low, middle, high = np.percentile(intensity[~bad], [15.87, 50, 100])
        scale = self.linear * max(middle - low, (high - low) / 1000)
        return lupton(flux, intensity, softening=self.softening, scale=scale)


def lupton(flux: Flux, intensity: Flux, *, softening: float, scale: float) -> npt.NDArray[np.uint8]:
    """Convert fluxes to 8-bit levels by equations 2 to 4 of Lupton et al. (2004).

    The slope is astropy's: intensity 0.1 `scale` becomes 25.5.
    """
    # equation 2 of Lupton et al. (2004): arcsinh grows linearly for faint pixels, logarithmically
    # for bright pixels
    slope = 0.1 * 255 / np.arcsinh(0.1 * softening)
    positive = intensity > 0
    safe = np.where(positive, intensity, 1.0)
    colour = flux * np.where(positive, np.arcsinh(safe * softening / scale) * slope / safe, 0.0)
    # equation 3: if one channel would exceed 255, scale all channels of the pixel down, so that its
    # colour stays
    colour *= 255 / np.maximum(colour.max(axis=0), 255)
    return np.clip(colour, 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Background:
    """Scale each channel between black and white levels computed from the channel's sky background.

    The background is the fainter half of the pixels.

    Parameters
    ----------
    below, above : float
        Black is `below` standard deviations of the background below its mean, white is `above`
        standard deviations above its mean.
    """

    below: float
    above: float

    def __call__(self, flux: Flux) -> npt.NDArray[np.uint8]:
        """Return the stretched image as 8-bit values, shape (channels, height, width).

        NaN is left out of every statistic and drawn as 0.
        """
        return np.stack([self._channel(channel) for channel in flux])

    def _channel(self, flux: Flux) -> npt.NDArray[np.uint8]:
        pixels = np.sort(flux[~np.isnan(flux)])
        # use the fainter half of the pixels as sky, because the galaxy is in the brighter half
        sky = pixels[: max(1, len(pixels) // 2)]
        low, high = sky.mean() - self.below * sky.std(), sky.mean() + self.above * sky.std()
        scaled = (flux - low) / max(high - low, np.finfo(np.float64).tiny)
        levels: npt.NDArray[np.uint8] = (
            np.clip(np.nan_to_num(scaled, nan=0.0), 0, 1) * 255
        ).astype(np.uint8)
        return levels


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """Scale all channels together between two quantiles of the image's own values.

    Equal fluxes in two images may become different grey levels.

    Parameters
    ----------
    low, high : float
        Quantiles, in [0, 1], of the pixel values that become black and white.
    """

    low: float
    high: float

    def __call__(self, flux: Flux) -> npt.NDArray[np.uint8]:
        """Return the stretched image as 8-bit values, shape (channels, height, width).

        NaN is left out of every statistic and drawn as 0.
        """
        low, high = np.nanquantile(flux, [self.low, self.high])
        scaled = (np.nan_to_num(flux, nan=low) - low) / max(high - low, np.finfo(np.float64).tiny)
        return np.asarray(np.rint(np.clip(scaled, 0, 1) * 255), dtype=np.uint8)


STRETCHES: dict[str, Stretch] = {
    "lupton": Lupton(softening=8.0, linear=10.0),
    "engel": Background(below=1.0, above=5.0),
    "quantile": Quantiles(0.005, 0.995),
}
"""Stretches by name.

`engel`: mean − 1 std … mean + 5 std of the fainter half of the pixels × 255, as in A. Engel's GZ2
project. `quantile`: 1 % of each image's own values are black or white."""
