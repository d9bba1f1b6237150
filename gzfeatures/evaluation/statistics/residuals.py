"""Score predicted numbers by their residuals, with confidence intervals.

The intervals are computed from sums over groups of related galaxies; only that of the scatter is
computed by resampling groups. In simulations with n = 120 and 400 galaxies, a third of them in
pairs, they keep their level; a percentile bootstrap of the RMSE would contain the true value in 72
% of cases instead of 90 % (`tests/claims/numbers/test_predicted_numbers.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from gzfeatures.evaluation.statistics.intervals import FEWEST, moments, of_mean
from gzfeatures.evaluation.statistics.proportions import Array, clopper_pearson

VALUE_METRICS = ("rmse", "bias", "sigma_nmad", "outlier_share")
"""Names of the metrics of predicted numbers, in the order in which tables list them."""
REDSHIFT_OUTLIER = 0.05
"""|Δz| / (1 + z) beyond which a redshift is an outlier.

Pasquet+2019, doi:10.1051/0004-6361/201833617, section 5; deeper surveys use 0.15, Ilbert+2006."""
OUTLIER_SIGMAS = 3.0
"""Distance from the median, in σ_NMAD, beyond which a residual is an outlier, if no redshift."""
NMAD = 1.4826
"""Ratio of the standard deviation and the median absolute deviation of a normal distribution."""
RESAMPLES = 500


def residuals(predicted: Array, true: Array, kind: str) -> Array:
    """Return predicted minus true numbers; for redshifts, divided by 1 + true redshift.

    Parameters
    ----------
    predicted, true : ndarray of float64
        Finite numbers of n galaxies, shape (n,); true redshifts are above −1.
    kind : {"value", "redshift"}
        For "redshift", the residuals are Δz / (1 + z) (Ilbert+2006,
        doi:10.1051/0004-6361:20065138, section 4.1).

    Examples
    --------
    >>> residuals(np.array([0.31]), np.array([0.25]), "redshift").round(3).tolist()
    [0.048]
    """
    difference = np.asarray(predicted - true, dtype=np.float64)
    return difference / (1 + true) if kind == "redshift" else difference


def value_metrics(residual: Array, kind: str) -> dict[str, float]:
    """Return RMSE, bias, scatter and outlier share of residuals.

    Parameters
    ----------
    residual : ndarray of float64
        Finite residuals r of n ≥ 1 galaxies, shape (n,).
    kind : {"value", "redshift"}
        Decides which residuals are outliers: for "redshift" |r| > 0.05, otherwise those farther
        than 3 `sigma_nmad` from the median.

    Returns
    -------
    dict
        `rmse`; `bias` (mean); `sigma_nmad` (1.4826 × median |r − median r|); `outlier_share`.

    Examples
    --------
    >>> value_metrics(np.array([0.0, 0.01, -0.01, 0.2]), "redshift")["outlier_share"]
    0.25
    """
    scatter = _scatter(residual)
    return {
        "rmse": float(np.sqrt((residual**2).mean())),
        "bias": float(residual.mean()),
        "sigma_nmad": scatter,
        "outlier_share": float(_outliers(residual, scatter, kind).mean()),
    }


def value_intervals_of_metrics(
    residual: Array, kind: str, groups: npt.NDArray[np.intp] | None = None, level: float = 0.9
) -> dict[str, tuple[float, float]]:
    """Return a confidence interval for RMSE, bias, scatter and outlier share.

    Parameters
    ----------
    residual : ndarray of float64
        Finite residuals of n galaxies, shape (n,).
    kind : {"value", "redshift"}
        Decides which residuals are outliers; see `value_metrics`.
    groups : ndarray of int, optional
        Number of each galaxy's group, shape (n,); galaxies of a group are not independent
        measurements. By default each galaxy is its own group.
    level : float
        Coverage of the intervals, in (0, 1).

    Returns
    -------
    dict
        Lower and upper limit of each metric; empty for fewer than ten groups. RMSE: Hall's
        transformation of Student's t, with about as many degrees of freedom as groups contribute to
        the sum of squares. Bias: Student's t. σ_NMAD: bootstrap of groups, with a fixed seed. Share
        of outliers: Clopper & Pearson, with the effective number of galaxies.

    References
    ----------
    Hall 1992, doi:10.1111/j.2517-6161.1992.tb01881.x; Field & Welsh 2007,
    doi:10.1111/j.1467-9868.2007.00593.x (bootstrap of clusters); Korn & Graubard 1998, Survey
    Methodology 24, 193 (Clopper & Pearson for clustered samples).
    """
    n = len(residual)
    group = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(group).astype(np.float64)
    if len(sizes) < FEWEST:
        return {}
    square, plain = (_of_groups(part, group, sizes) for part in (residual**2, residual))
    # a few outliers can dominate the sum of squared residuals: take the degrees of freedom from the
    # effective number of groups of related galaxies, (Σ s)² / Σ s², where s is a group's sum of
    # squares
    squares = np.bincount(group, residual**2)
    worth = squares.sum() ** 2 / max(float((squares**2).sum()), 1e-300)
    low, high = of_mean(*square, len(sizes), level, freedom=max(worth - 1, 2.0))
    reach = stdtrit(len(sizes) - 1, (1 + level) / 2) * np.sqrt(plain.variance / len(sizes))
    outliers = _outliers(residual, _scatter(residual), kind).astype(np.float64)
    return {
        "rmse": (float(np.sqrt(low)), float(np.sqrt(high))),
        "bias": (float(plain.mean - reach), float(plain.mean + reach)),
        "sigma_nmad": _scatter_interval(residual, group, len(sizes), level),
        "outlier_share": _share_interval(outliers, group, sizes, level),
    }


def _scatter(residual: Array) -> float:
    """Return σ_NMAD of residuals, a scatter insensitive to outliers (Ilbert+2006)."""
    return float(NMAD * np.median(np.abs(residual - np.median(residual))))


def _outliers(residual: Array, scatter: float, kind: str) -> npt.NDArray[np.bool_]:
    """Return a mask of the residuals that are outliers, shape (n,).

    A redshift's residual is an outlier beyond ±0.05; that of another number is an outlier if it is
    farther than 3 σ_NMAD from the median.
    """
    if kind == "redshift":
        return np.asarray(np.abs(residual) > REDSHIFT_OUTLIER)
    return np.asarray(np.abs(residual - np.median(residual)) > OUTLIER_SIGMAS * scatter)


class _Moments(NamedTuple):
    """Hold a value's mean over galaxies, and its variance and skewness between groups of galaxies.

    A group holds related galaxies, such as close neighbours on the sky, which are not independent.
    """

    mean: Array
    variance: Array
    skewness: Array


def _of_groups(numbers: Array, group: npt.NDArray[np.intp], sizes: Array) -> _Moments:
    """Return a value's mean over galaxies, and its variance and skewness between groups.

    Galaxies of a group are related; see `_Moments`.
    """
    sums = np.bincount(group, numbers, len(sizes))
    mean = np.asarray(sums.sum() / sizes.sum())
    # groups of related galaxies differ in size: subtract from a group's sum the sum expected for
    # its size, so that only its own deviation stays
    _, variance, skewness = moments((sums - mean * sizes) / sizes.mean())
    return _Moments(mean, variance, skewness)


def _scatter_interval(
    residual: Array, group: npt.NDArray[np.intp], count: int, level: float
) -> tuple[float, float]:
    """Return an interval of σ_NMAD, from random resamples of whole groups of galaxies."""
    rng = np.random.default_rng(0)
    scatters = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        scatters[number] = _scatter(np.repeat(residual, times[group]))
    low, high = np.quantile(scatters, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _share_interval(
    flags: Array, group: npt.NDArray[np.intp], sizes: Array, level: float
) -> tuple[float, float]:
    """Return the confidence interval of the share of flagged galaxies, such as outliers.

    Galaxies of a group tend to be alike, so each counts as less than one galaxy.
    """
    n, share = sizes.sum(), flags.mean()
    # `effect` is the number of galaxies that count as one independent galaxy; it cannot be measured
    # if all galaxies have the same flag (outlier or not): then assume equal flags within each group
    effect = (sizes**2).sum() / n
    if 0 < share < 1:
        variance = float(_of_groups(flags, group, sizes).variance) / len(sizes)
        effect = max(1.0, variance / (share * (1 - share) / n))
    low, high = clopper_pearson(share * n / effect, n / effect, level)
    return float(low), float(high)
