"""Correct the best method's score for the luck of having been chosen as the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.statistics.proportions import Array


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
    rng = np.random.default_rng(seed)
    # count how often each galaxy is drawn in a resample; galaxies with count 0 test the method that
    # the resample chooses
    drawn = np.stack(
        [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(resamples)]
    ).astype(np.float32)
    left = (drawn == 0).astype(np.float32)

    def means(weights: npt.NDArray[np.float32], number: Array) -> Array:
        """Return each method's score in each of B resamples, as the mean over its seeds, (B, K)."""
        method_values = []
        for seeds in columns:
            totals = ((weights @ each.astype(np.float32)).astype(np.float64) for each in seeds)
            method_values.append(np.mean([metric(each, number) for each in totals], axis=0))
        return np.stack(method_values, axis=1)

    sign = 1.0 if higher_is_better else -1.0
    on_drawn = sign * np.nan_to_num(means(drawn, np.full(resamples, float(n))), nan=-np.inf * sign)
    on_left = sign * means(left, left.sum(1))
    on_all = sign * means(np.ones((1, n), dtype=np.float32), np.full(1, float(n)))[0]
    # each resample chooses a method; score it on the galaxies that the resample left out, which had
    # no part in the choice
    chosen = on_left[np.arange(resamples), on_drawn.argmax(1)]
    return float(sign * max(np.nanmax(on_all) - float(np.nanmean(chosen)), 0.0))
