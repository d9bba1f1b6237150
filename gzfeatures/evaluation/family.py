"""Test all pairs of methods together, so that many tests give few false differences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from gzfeatures.evaluation.statistics.proportions import Array

_BLOCK_BYTES = 64 * 2**20
_ROUNDING = 1e-6
"""Relative difference below which two statistics are a tie.

Numerical derivatives give contributions of galaxies an error of up to 1e-8. Ties must count, as in
an exact sign test: without them, p values of few galaxies would be half as large.
"""


def seed_variance(values: Sequence[Array], shares: Sequence[Array]) -> Array:
    """Estimate the variance of each method's mean score due to its training seeds, shape (K,).

    Parameters
    ----------
    values : sequence of ndarray
        For each of the K methods, the score of each of its S seeds, shape (S,).
    shares : sequence of ndarray
        For each method, each galaxy's contribution to the score of each seed, shape (S, n); the
        mean over galaxies is the score.

    Returns
    -------
    ndarray of float64
        0 for a method with one seed, because only this one fit is compared. For other methods, the
        variance of the score over seeds, without the part due to few galaxies, divided by S. A
        variance below the mean over all methods is replaced by this mean: a few seeds can have
        similar scores by chance, and the method would too often be found different from others.
    """
    of_method = np.full(len(values), np.nan)
    for method, (value, share) in enumerate(zip(values, shares, strict=True)):
        count, n = share.shape
        if count > 1:
            # scores of several seeds differ also because galaxies are few: estimate this part of
            # the variance from `residual` and subtract it; the rest is due to the seeds
            residual = share - share.mean(0) - (value - value.mean())[:, None]
            of_method[method] = value.var(ddof=1) - (residual**2).sum() / ((count - 1) * n**2)
    with_seeds = np.isfinite(of_method)
    if not with_seeds.any():
        return np.zeros(len(values))
    pooled = max(float(of_method[with_seeds].mean()), 0.0)
    counts = np.array([len(value) for value in values])
    return np.asarray(
        np.where(with_seeds, np.maximum(np.nan_to_num(of_method), pooled), 0.0) / counts
    )


def step_down(
    values: Sequence[Array], shares: Sequence[Array], resamples: int, seed: int
) -> tuple[Array, Array, Array]:
    """Compute p values for all pairs of K methods together, and each difference's standard error.

    Each resample draws a random sign for each galaxy, the same for all methods, and a random change
    of each method's score due to its seeds. A negative sign exchanges the two methods of a pair for
    this galaxy, which would make no difference if the methods were equally good; for the accuracies
    of two methods this is McNemar's exact test. A pair differs if its difference, divided by the
    standard error, is larger than the largest one of all pairs in most resamples. The probability
    that any pair is wrongly found to differ is therefore the stated one, without a further
    correction for the number of pairs or seeds.

    Parameters
    ----------
    values, shares : sequences of ndarray
        Scores of each method's seeds, and each galaxy's contributions to them, as in
        `seed_variance`.
    resamples : int
        Number B of resamples.
    seed : int
        Seed of the random signs and of the random changes due to seeds.

    Returns
    -------
    family, single, error : ndarray of float64
        For the pairs (0, 1), (0, 2), …, (K−2, K−1): p value corrected for the number of pairs, p
        value of the pair alone, and standard error of the difference; each of shape
        (K(K − 1)/2,).

    References
    ----------
    Romano & Wolf 2005, doi:10.1198/016214504000000539, algorithms 3.1 and 4.1 (step-down, largest
    studentised statistic); Liu 1988, doi:10.1214/aos/1176351062 (wild bootstrap).
    """
    # mean over the method's seeds of each galaxy's contribution to the score, shape (n, K)
    mean = np.stack([share.mean(0) for share in shares], axis=1)
    n, methods = mean.shape
    rng = np.random.default_rng(seed)
    variance = seed_variance(values, shares)
    first, second = np.array(list(combinations(range(methods), 2))).T
    pairs = zip(first, second, strict=True)
    square = np.array([((mean[:, i] - mean[:, j]) ** 2).sum() for i, j in pairs]) / n**2
    error = np.sqrt(square + variance[first] + variance[second])
    statistic = _ratio(np.abs(mean.mean(0)[first] - mean.mean(0)[second]), error)
    drawn = _signed_means(mean, resamples, rng) + _seed_means(values, variance, resamples, rng)
    spread = _ratio(np.abs(drawn[:, first] - drawn[:, second]), error)
    # step-down test (Romano & Wolf 2005, algorithm 4.1): compare each pair's statistic with the
    # largest random one among the pairs of equal or smaller statistic; this finds more true
    # differences than a comparison with the largest one among all pairs
    order = np.argsort(-statistic, kind="stable")
    largest = np.maximum.accumulate(spread[:, order[::-1]], axis=1)[:, ::-1]
    reached = statistic * (1 - _ROUNDING)
    single = (1 + (spread >= reached).sum(0)) / (1 + resamples)
    p = (1 + (largest >= reached[order]).sum(0)) / (1 + resamples)
    # a pair with a smaller statistic must not get a smaller p value
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p)
    return corrected, single, error


def _ratio(difference: Array, error: Array) -> Array:
    """Return score differences divided by their standard errors; 0 where the error is 0."""
    return np.asarray(np.divide(difference, error, out=np.zeros_like(difference), where=error > 0))


def _signed_means(shares: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Flip signs of random galaxies' values in B resamples; return each method's mean, (B, K)."""
    n = len(shares)
    means = np.empty((resamples, shares.shape[1]))
    block = max(1, _BLOCK_BYTES // (8 * n))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        # sums in single precision would lose ties with the measured difference
        signs = rng.integers(0, 2, (size, n), dtype=np.int8).astype(np.float64) * 2 - 1
        means[start : start + size] = signs @ shares / n
    return means


def _seed_means(
    values: Sequence[Array], variance: Array, resamples: int, rng: np.random.Generator
) -> Array:
    """Draw how much each method's mean would change with new training seeds, shape (B, K).

    Seeds are drawn from the deviations of all methods together, each scaled to variance 1, because
    draws from three seeds of one method have only ten different means, and no extreme ones. If no
    method has more than two seeds, the variance is uncertain and is drawn too (from χ² with as many
    degrees of freedom as methods have two seeds; Gelman+2013, Bayesian Data Analysis, section 2.6).
    From three seeds on this is not needed: `seed_variance` returns the larger of a method's own and
    the mean variance, which is large enough (simulated in `experiments/benchmarks/comparisons.py`).
    """
    pool = [
        (value - value.mean()) / value.std()
        for value in values
        if len(value) > 1 and value.std() > 0
    ]
    moved = np.zeros((resamples, len(values)))
    if not pool:
        return moved
    deviations = np.concatenate(pool)
    for method, value in enumerate(values):
        if len(value) > 1:
            draws = rng.choice(deviations, (resamples, len(value))).mean(1) * np.sqrt(len(value))
            moved[:, method] = draws * np.sqrt(variance[method])
    counts = np.array([len(value) for value in values])
    freedom = int((counts - 1).sum())
    if counts.max() == 2:
        moved *= np.sqrt(freedom / rng.chisquare(freedom, (resamples, 1)))
    return moved
