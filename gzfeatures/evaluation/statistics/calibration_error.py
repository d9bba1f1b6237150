"""Estimate the expected calibration error without its part from noise, with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammainc, ndtr

from gzfeatures.evaluation.statistics.intervals import Interval, Mask
from gzfeatures.evaluation.statistics.proportions import Array


def interval(bins: Array, n: Any, level: float) -> Interval:
    """Return the lowest and highest true calibration error compatible with the measured one.

    The measured error is a sum of absolute values, so that noise alone makes it positive. For a
    true error ε, which is assumed to have the same shares in the bins as the measured error after
    subtraction of noise, the measured error is a sum of absolute values of normal numbers. Its
    distribution is approximated by a gamma distribution of equal mean and variance. The interval
    contains every ε for which the measured error is not among the most extreme 1 − level of this
    distribution. For ε = 0 only large measured errors are extreme; for large ε both large and
    small ones; between these cases the share of small ones grows smoothly. The interval thus keeps
    its level at ε = 0 too (after Feldman & Cousins).

    Parameters
    ----------
    bins : ndarray of float64
        Shape (…, 3, b). For each of b bins: sum of (confidence − correct), sum of its squares, and
        sum of confidence × (1 − confidence). The last is the expected sum of squares, known even
        for a bin in which no galaxy is misclassified.
    n : int or array
        Number of galaxies.
    level : float
        Coverage of the interval.

    References
    ----------
    Kumar+2019, arXiv:1909.10155 (bias of the plug-in error); Feldman & Cousins 1998,
    doi:10.1103/PhysRevD.57.3873; Carpenter 1999, doi:10.1111/1467-9868.00169 (test inversion).
    """
    measured, noise, shape = _parts(bins, n)
    still = _folded(np.zeros_like(noise), noise)

    def position(true: Array) -> tuple[Array, Array]:
        """Return the chance to measure less than the observed error, and the least allowed chance.

        The chance is that for a given true error. If it is below the least allowed chance, this
        true error is outside the interval.
        """
        mean, variance = _folded(true[..., None] * shape, noise)
        variance = np.maximum(variance, 1e-300)
        # a sum of folded normal numbers has no simple distribution; a gamma distribution of equal
        # mean and variance approximates it
        place = gammainc(np.maximum(mean**2 / variance, 1e-9), measured * mean / variance)
        apart = np.clip(
            2 * ndtr((mean - still[0]) / np.sqrt(np.maximum(still[1], 1e-300))) - 1, 0, 1
        )
        return place, (1 - level) / 2 * apart

    none = np.zeros_like(measured)
    far = measured + 5 * noise.sum(-1) + 1e-12
    place, tail = position(none)
    low = np.where(place > level + tail, _edge(none, far, lambda e: _above(position(e), level)), 0)
    high = _edge(none, far, lambda e: _not_below(position(e)))
    return low, np.minimum(high, 1)


def debiased(bins: Array, n: Any) -> Array:
    """Return the calibration error minus the part that noise alone would give, at least 0.

    It is the true error ε ≥ 0 for which the mean of the measured error (see `interval`) equals the
    observed one.
    """
    measured, noise, shape = _parts(bins, n)

    def larger(true: Array) -> Mask:
        return np.asarray(_folded(true[..., None] * shape, noise)[0] < measured)

    none = np.zeros_like(measured)
    return np.where(larger(none), _edge(none, measured + 1e-12, larger), 0.0)


def _parts(bins: Array, n: Any) -> tuple[Array, Array, Array]:
    """Return the measured calibration error; each bin's noise and share of the true error."""
    excess, squares, expected = np.moveaxis(bins, -2, 0)
    n = np.asarray(n, dtype=np.float64)[..., None]
    error = excess / n
    observed = np.maximum(squares / n - error**2, 0) / n
    # in a bin where few errors are expected, the observed scatter is unreliable (0 without any
    # error): use the expected scatter there, if it is larger
    certainty = expected / (expected + 1)
    noise = np.sqrt(certainty * observed + (1 - certainty) * np.maximum(observed, expected / n**2))
    shape = np.sqrt(np.maximum(error**2 - noise**2, 0)) + noise
    return np.abs(error).sum(-1), noise, shape / np.maximum(shape.sum(-1, keepdims=True), 1e-300)


def _above(position: tuple[Array, Array], level: float) -> Mask:
    return np.asarray(position[0] > level + position[1])


def _not_below(position: tuple[Array, Array]) -> Mask:
    return np.asarray(position[0] >= position[1])


def _edge(low: Array, high: Array, holds: Any) -> Array:
    """Return, by bisection, the value at which a condition that is true at `low` becomes false."""
    for _ in range(40):
        middle = (low + high) / 2
        yes = holds(middle)
        low, high = np.where(yes, middle, low), np.where(yes, high, middle)
    return np.asarray((low + high) / 2)


def _folded(mean: Array, deviation: Array) -> tuple[Array, Array]:
    """Return mean and variance of the sum over the last axis of |N(mean, deviation²)|."""
    ratio = mean / np.maximum(deviation, 1e-300)
    centre = deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + mean * (
        1 - 2 * ndtr(-ratio)
    )
    return centre.sum(-1), np.maximum(mean**2 + deviation**2 - centre**2, 0).sum(-1)
