"""Correct the best method's score for the luck of having been chosen as the best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gzfeatures.evaluation.statistics.proportions import Array

_BLOCK_BYTES = 32 * 2**20


def luck_of_the_best(
    columns: Sequence[Sequence[Array]],
    metric: Callable[[Array, Array], Array],
    higher_is_better: bool,
    resamples: int,
    seed: int,
) -> float:
    """Estimate how much choosing the best of K methods raises its score by luck.

    In each resample, methods are ranked on galaxies drawn with replacement, and the first one is
    scored on the galaxies that were not drawn. The mean of these scores is what the choice is
    really worth; the best score on all galaxies minus this mean is the luck.

    Parameters
    ----------
    columns : sequence of sequences of ndarray
        For each method and each of its seeds, an array of shape (n, m), whose sums over the n
        galaxies give the metric.
    metric : callable
        Function that returns the metric, shape (B,), from sums of shape (B, m) and numbers of
        galaxies (B,).
    higher_is_better : bool
        Whether a higher metric is better.
    resamples : int
        Number B of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    float
        Luck, to be subtracted from the best method's score: at least 0 if a higher metric is
        better, at most 0 if a lower one is.

    References
    ----------
    Tsamardinos+2018, doi:10.1007/s10994-018-5714-4, algorithm 5 (bootstrap bias corrected
    cross-validation).
    """
    n = len(columns[0][0])
    sign = 1.0 if higher_is_better else -1.0
    chosen: list[Array] = []
    for drawn in _drawn(n, resamples, np.random.default_rng(seed)):
        left = (drawn == 0).astype(np.float64)
        on_drawn = sign * _scores(columns, metric, drawn)
        on_left = sign * _scores(columns, metric, left)
        # each resample chooses a method; score it on the galaxies that the resample left out, which
        # had no part in the choice. A method of unknown score is never chosen
        best = np.where(np.isnan(on_drawn), -np.inf, on_drawn).argmax(1)
        chosen.append(on_left[np.arange(len(drawn)), best])
    on_all = sign * _scores(columns, metric, np.ones((1, n)))[0]
    worth = float(np.nanmean(np.concatenate(chosen)))
    return float(sign * max(float(np.nanmax(on_all)) - worth, 0.0))


def _drawn(n: int, resamples: int, rng: np.random.Generator) -> Iterator[Array]:
    """Count how often each of n galaxies is drawn in a resample; yield blocks, shape (b, n)."""
    block = max(1, _BLOCK_BYTES // (8 * n))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        counts = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(size)]
        # in double precision: squared residuals of numbers in a small or large unit, such as
        # luminosities in erg/s, are outside the range of single precision
        yield np.stack(counts).astype(np.float64)


def _scores(
    columns: Sequence[Sequence[Array]], metric: Callable[[Array, Array], Array], weights: Array
) -> Array:
    """Return each method's score, as the mean over its seeds, for each row of weights, (b, K)."""
    number = weights.sum(1)
    scores = []
    for seeds in columns:
        scores.append(np.mean([metric(weights @ each, number) for each in seeds], axis=0))
    return np.stack(scores, axis=1)
