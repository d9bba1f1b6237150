"""Compute confidence intervals of metrics by formulas, without resampling the galaxies.

The formulas use confusion matrices, statistics of ROC curves, and mean, variance and skewness of
losses such as the log loss. In simulations, these methods kept their level down to ten galaxies of
a class (`experiments/benchmarks/coverage.py` prints the table). Arrays may have leading axes, for
example one for many simulated surveys.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from gzfeatures.evaluation.statistics.proportions import Array, clopper_pearson, score_interval

Interval: TypeAlias = tuple[Array, Array]
Mask: TypeAlias = npt.NDArray[np.bool_]
FEWEST = 10
"""Number of galaxies below which a class, and each mean over classes, has no interval."""
ENOUGH_DISORDER = 8
"""Number of misranked galaxies of a class at which both intervals of the area count equally."""
EXACT = ("accuracy", "precision", "recall", "f1")
"""Metrics with an exact interval, whose coverage is at least its level for any sample size."""


class Curves(NamedTuple):
    """Hold statistics of the ROC curves of k classes, for the interval of their mean area.

    Arrays may have leading axes. `areas` (…, k) are the areas under the curves, `correlation`
    (…, k, k) their correlations. `variance` (…,) is that of the mean area; `skewness` (…,) is that
    of the galaxies' contributions to 1 − mean area. `disordered` (…,) counts, over all classes,
    the galaxies of a class that score lower in it than a galaxy of another class.
    """

    areas: Array
    correlation: Array
    variance: Array
    skewness: Array
    disordered: Array


def mover(values: Array, low: Array, high: Array, correlation: Array | None = None) -> Interval:
    """Return the confidence interval of a mean of k estimates, from each estimate's interval.

    This is the method of variance estimates recovery (MOVER).

    Parameters
    ----------
    values, low, high : ndarray of float64
        Estimates and their limits, shape (…, k).
    correlation : ndarray of float64, optional
        Correlations of the estimates, shape (…, k, k); by default none.

    Returns
    -------
    low, high : ndarray of float64
        Lower and upper limit of the mean, shape (…,).

    References
    ----------
    Zou & Donner 2008, doi:10.1002/sim.3095, equation 2, for k estimates and with correlations.
    """
    k = values.shape[-1]
    centre = values.mean(-1)
    ends = []
    for sign, reach in ((-1, values - low), (1, high - values)):
        if correlation is None:
            square = (reach**2).sum(-1)
        else:
            square = np.einsum("...i,...ij,...j->...", reach, correlation, reach)
        ends.append(centre + sign * np.sqrt(np.maximum(square, 0)) / k)
    return ends[0], ends[1]


def correlation_of(covariance: Array) -> Array:
    """Return the correlations of estimates from their covariance, shape (…, k, k)."""
    spread = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 0))
    scale = spread[..., :, None] * spread[..., None, :]
    correlation: Array = np.divide(
        covariance, scale, out=np.zeros_like(covariance), where=scale > 0
    )
    diagonal = np.arange(covariance.shape[-1])
    correlation[..., diagonal, diagonal] = 1
    return correlation


def of_confusion(confusion: Array, level: float) -> dict[str, Interval]:
    """Return the confidence interval of each metric that a confusion matrix determines.

    Accuracy, precision and recall are shares of galaxies, with the interval of Clopper & Pearson.
    So is the Jaccard index J: correctly classified galaxies of a class, divided by galaxies that
    belong to it or are predicted to; F1 = 2J / (1 + J) follows. For means over classes, `mover`
    combines Wilson's intervals of the classes; for F1 it uses their correlations (delta method).
    Matthews' correlation uses Fisher's z, with the variance of the delta method. If no galaxy is
    misclassified, its lower limit follows from that of the accuracy.

    Parameters
    ----------
    confusion : ndarray of float64
        Number of galaxies by true class (row) and predicted class (column), shape (…, k, k).
    level : float
        Coverage of the intervals.

    Returns
    -------
    dict
        Lower and upper limits: `accuracy, balanced_accuracy, macro_f1, mcc` of shape (…,) and
        `precision, recall, f1` of shape (…, k). NaN for a class with fewer than ten galaxies, and
        for means over classes if they include such a class.

    References
    ----------
    Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404; Wilson 1927,
    doi:10.1080/01621459.1927.10502953; Zou & Donner 2008, doi:10.1002/sim.3095; Takahashi+2022,
    doi:10.1007/s10489-021-02635-5 (delta method of F1); Gorodkin 2004,
    doi:10.1016/j.compbiolchem.2004.09.006 (Matthews' correlation of k classes).
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, chosen = confusion.sum(-1), confusion.sum(-2)
    n, hits = true.sum(-1), hit.sum(-1)
    few = true < FEWEST
    either = true + chosen - hit
    rates = {"recall": (hit, true), "precision": (hit, chosen), "f1": (hit, either)}
    exact = {name: clopper_pearson(part, whole, level) for name, (part, whole) in rates.items()}
    exact["f1"] = f1_of(exact["f1"])
    limits = {name: unless(few, bounds) for name, bounds in exact.items()}
    limits["accuracy"] = clopper_pearson(hits, n, level)
    # for metrics that are means over classes, combine the classes' Wilson intervals by `mover`
    safe, wide = np.maximum(true, 1), np.maximum(either, 1)
    recall = hit / safe
    limits["balanced_accuracy"] = mover(recall, *score_interval(recall, safe, level))
    f1 = 2 * hit / np.maximum(true + chosen, 1)
    f1_limits = f1_of(score_interval(hit / wide, wide, level))
    limits["macro_f1"] = mover(f1, *f1_limits, correlation_of(_f1_covariance(confusion, f1)))
    for name in ("balanced_accuracy", "macro_f1"):
        limits[name] = unless(few.any(-1), limits[name])
    limits["mcc"] = _matthews(confusion, limits["accuracy"][0], level)
    return limits


def f1_of(jaccard: Interval) -> Interval:
    """Return limits of F1 = 2J / (1 + J) from limits of the Jaccard index J.

    Examples
    --------
    >>> f1_of((0.0, 1.0))
    (0.0, 1.0)
    """
    return 2 * jaccard[0] / (1 + jaccard[0]), 2 * jaccard[1] / (1 + jaccard[1])


def unless(few: Mask, bounds: Interval) -> Interval:
    """Replace both confidence limits by NaN where a class has too few galaxies."""
    return np.where(few, np.nan, bounds[0]), np.where(few, np.nan, bounds[1])


def _f1_covariance(confusion: Array, f1: Array) -> Array:
    """Return the covariance of the F1 scores of all classes, (…, k, k), by the delta method.

    The numbers in the confusion matrix are assumed to be multinomial.

    The derivative of class c's F1 by cell (i, j) is (2[i = j = c] − F1([i = c] + [j = c])) / (true
    + chosen). It is 0 outside row c and column c, so that no array of k⁴ numbers is needed.
    """
    k = confusion.shape[-1]
    size = np.maximum(confusion.sum(-1) + confusion.sum(-2), 1)
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    weight = f1 / size
    # the F1 scores of two classes c ≠ d share only the cells (c, d) and (d, c) of the confusion
    # matrix, so these alone give their covariance
    covariance: Array = (
        (confusion + np.swapaxes(confusion, -1, -2)) * weight[..., :, None] * weight[..., None, :]
    )
    variances = hit * ((2 - 2 * f1) / size) ** 2 + (size - 2 * hit) * weight**2
    diagonal = np.arange(k)
    covariance[..., diagonal, diagonal] = variances
    return covariance


def _matthews(confusion: Array, accuracy_low: Array, level: float) -> Interval:
    """Return the confidence interval of a confusion matrix's Matthews correlation."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1)
    true, chosen = confusion.sum(-1), confusion.sum(-2)
    n = true.sum(-1)
    a, b = n**2 - (chosen**2).sum(-1), n**2 - (true**2).sum(-1)
    defined = (a > 0) & (b > 0)
    root = np.sqrt(np.where(defined, a * b, 1))
    value = (n * hit - (true * chosen).sum(-1)) / root
    # the delta method needs the derivative of the correlation by each cell of the confusion matrix
    same = np.eye(confusion.shape[-1])
    slope = (
        hit[..., None, None] + n[..., None, None] * same - chosen[..., :, None] - true[..., None, :]
    )
    slope = slope / root[..., None, None]
    of_a = ((n[..., None] - chosen) / np.where(defined, a, 1)[..., None])[..., None, :]
    of_b = ((n[..., None] - true) / np.where(defined, b, 1)[..., None])[..., :, None]
    slope = slope - value[..., None, None] * (of_a + of_b)
    deviation = np.sqrt((confusion * slope**2).sum((-1, -2)))
    # compute the interval in Fisher's z = artanh(value), whose variance hardly depends on the value
    clipped = np.clip(value, -1 + 1e-12, 1 - 1e-12)
    z, reach = np.arctanh(clipped), ndtri((1 + level) / 2) * deviation / (1 - clipped**2)
    # if no galaxy is misclassified, the variance is 0 and the interval would have no width: then
    # use the lower limit of the accuracy, corrected for chance agreement
    chance = (true * chosen).sum(-1) / np.maximum(n, 1) ** 2
    least = (accuracy_low - chance) / np.where(chance < 1, 1 - chance, 1)
    perfect = hit == n
    low = np.where(perfect, least, np.tanh(z - reach))
    high = np.where(perfect, 1.0, np.tanh(z + reach))
    return unless(~defined, (low, high))


def of_mean(
    mean: Array,
    variance: Array,
    skewness: Array,
    n: Array | int,
    level: float,
    *,
    freedom: Array | float | None = None,
) -> Interval:
    """Return the confidence interval of the mean of skewed, non-negative numbers (losses).

    This is Hall's transformation of t.

    Parameters
    ----------
    mean, variance, skewness : ndarray of float64
        Moments of the n numbers, shape (…,); the variance has the denominator n − 1.
    n : int or array
        How many numbers the mean is of.
    level : float
        Coverage of the interval.
    freedom : float or array, optional
        Degrees of freedom of Student's t; by default n − 1.

    References
    ----------
    Hall 1992, doi:10.1111/j.2517-6161.1992.tb01881.x, equation for the monotone cubic
    transformation g₂.
    """
    n = np.asarray(n, dtype=np.float64)
    error = np.sqrt(variance / n)
    slant = np.asarray(skewness / np.sqrt(n))
    slant = np.where(np.abs(slant) < 1e-6, 1e-6, slant)
    quantile = stdtrit(np.maximum(n - 1 if freedom is None else freedom, 1), (1 + level) / 2)

    def undone(q: Array) -> Array:
        return np.asarray(3 / slant * (np.cbrt(1 + slant * (q - slant / 6)) - 1))

    return np.maximum(mean - undone(quantile) * error, 0), mean - undone(-quantile) * error


def moments(values: Array) -> tuple[Array, Array, Array]:
    """Return mean, variance (with n − 1) and skewness of each column of values (n, …)."""
    n = len(values)
    mean = values.mean(0)
    centred = values - mean
    square = (centred**2).mean(0)
    cube = (centred**3).mean(0)
    skewness: Array = np.divide(
        cube, square**1.5, out=np.zeros_like(np.asarray(cube)), where=square > 0
    )
    return mean, square * n / max(n - 1, 1), skewness


def of_auc(curves: Curves, members: Array, n: Array, level: float) -> Interval:
    """Return the confidence interval of the mean area under the ROC curves of all classes.

    Two intervals are combined. The first uses DeLong's variance and Hall's transformation of t,
    because 1 − area is a mean of skewed contributions of galaxies. If almost no galaxy of a class
    scores lower than a galaxy of another class, this variance is unreliable. The second interval,
    Newcombe's with the variance of Hanley & McNeil, combined over classes by `mover`, does not need
    it. The distance of each limit from the area is the geometric mean of both distances, with
    weights J : 8 for J such galaxies. Both limits stay in [0, 1].

    Parameters
    ----------
    curves : Curves
        Statistics of the classes' ROC curves.
    members : ndarray of float64
        Number of galaxies of each class, shape (…, k).
    n : ndarray of float64
        Number of all galaxies, shape (…,).
    level : float
        Coverage of the interval.

    Returns
    -------
    low, high : ndarray of float64
        Limits of the mean area, shape (…,). NaN if, for any class, fewer than ten galaxies belong
        to it, or fewer than ten do not.

    References
    ----------
    DeLong+1988, doi:10.2307/2531595; Hall 1992, doi:10.1111/j.2517-6161.1992.tb01881.x; Newcombe
    2006, doi:10.1002/sim.2324, method 5; Zou & Donner 2008, doi:10.1002/sim.3095.
    """
    others = n[..., None] - members
    few = np.asarray(((members < FEWEST) | (others < FEWEST)).any(-1))
    members, others = np.maximum(members, 1), np.maximum(others, 1)
    area = curves.areas.mean(-1)
    # an estimated variance can fall below 0, where hardly any two galaxies are in the wrong order
    variance = np.maximum(curves.variance, 0) * n
    least, most = of_mean(1 - area, variance, curves.skewness, n, level)
    limits = _newcombe(curves.areas, members, others, float(ndtri((1 + level) / 2)))
    low, high = mover(curves.areas, *limits, curves.correlation)
    share = curves.disordered / (curves.disordered + ENOUGH_DISORDER)
    low = area - _between(area - (1 - np.minimum(most, 1)), area - low, share)
    high = area + _between(1 - least - area, np.minimum(high, 1) - area, share)
    return unless(few, (np.maximum(low, 0), np.minimum(high, 1)))


def _between(first: Array, second: Array, share: Array) -> Array:
    """Return the weighted geometric mean of two distances from an estimate to a limit.

    The first distance has the weight `share`; negative distances count as 0.
    """
    return np.asarray(np.maximum(first, 0) ** share * np.maximum(second, 0) ** (1 - share))


def _newcombe(area: Array, members: Array, others: Array, z: float) -> Interval:
    """Return Newcombe's limits of an area under a ROC curve: both θ with |area − θ| = z √V(θ)."""
    half = (members + others) / 2 - 1

    def differs(theta: Array) -> Mask:
        shape = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * shape / (members * others)
        return np.asarray(np.abs(area - theta) > z * np.sqrt(variance))

    ends = []
    for far in (np.zeros_like(area), np.ones_like(area)):
        near = area.copy()
        for _ in range(40):
            middle = (near + far) / 2
            out = differs(middle)
            far, near = np.where(out, middle, far), np.where(out, near, middle)
        ends.append((near + far) / 2)
    return ends[0], ends[1]
