"""Decide whether a network was trained long enough to be compared with other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

RISING: Final = "still rising"
COMMONEST: Final = "not above the commonest class"
BASELINE: Final = "not better than one number for all"

BLOCKS, LEAST_RISES, LEAST_GAIN = 5, 8, 0.01
"""Number of blocks; least number of rising minus falling pairs of blocks; least gain in score."""
LAST_PART = 3
"""Number by which epochs are divided: the blocks cover the last third, and at least 5 epochs."""

WORDS: Final[Mapping[str, str]] = {
    RISING: "validation score still rising at the last epoch",
    COMMONEST: "accuracy not told apart from always answering the commonest class",
    BASELINE: "error not told apart from that of one number for all galaxies",
}
"""Explanation of each reason why a network was not trained long enough."""


def is_rising(curve: Sequence[float], *, of_one: bool = True) -> bool | None:
    """Return whether a validation curve was still rising at its last epoch.

    The last third of the curve (at least five epochs) is divided into five blocks of equally many
    epochs. The curve rises if two conditions are met. First, at most one of the ten pairs of block
    means falls; for a curve that only scatters, this has the probability 0.042 (exact test of Mann
    1945, doi:10.2307/1907187). Second, the mean of the last block is higher than that of the middle
    one by at least 0.01: a curve that rose earlier and then became flat does not count as rising.

    Parameters
    ----------
    curve : sequence of float
        Validation score after each epoch, higher is better; NaN for an epoch without a score.
    of_one : bool
        Whether scores are shares between 0 and 1. For other scores, such as errors with their sign
        changed, the second condition is a gain of one hundredth of the last block's mean.

    Returns
    -------
    bool or None
        None for fewer than five epochs, or if one of the last epochs has no score.

    Notes
    -----
    In simulations (`experiments/benchmarks/rising.py`), 2 of 100 converged curves are found to be
    rising; at most 9 of 100 if successive epochs are correlated and galaxies are few. A learning
    rate that falls to zero flattens every curve, so a network with a flat curve may still have been
    trained for too few epochs.

    Examples
    --------
    >>> is_rising([0.3, 0.4, 0.5, 0.6, 0.7]), is_rising([0.6, 0.8, 0.81, 0.8, 0.81]), is_rising([1])
    (True, False, None)
    """
    length = max(1, len(curve) // (LAST_PART * BLOCKS))
    end = np.asarray(curve[-BLOCKS * length :], dtype=np.float64)
    if len(end) < BLOCKS or not np.isfinite(end).all():
        return None
    blocks = end.reshape(BLOCKS, length).mean(1)
    earlier, later = np.triu_indices(BLOCKS, 1)
    rises = np.sign(blocks[later] - blocks[earlier]).sum()
    least = LEAST_GAIN if of_one else LEAST_GAIN * abs(float(blocks[-1]))
    # a curve that gains exactly `least` counts as rising; without the factor 1 − 1e-9, rounding
    # could make this gain too small
    gained = blocks[-1] - blocks[BLOCKS // 2] >= least * (1 - 1e-9)
    return bool(rises >= LEAST_RISES and gained)


def why_untrained(
    curve: Sequence[float],
    *,
    accuracy: Sequence[float] | None = None,
    commonest: float | None = None,
    rmse: Sequence[float] | None = None,
    baseline: float | None = None,
    of_one: bool = True,
) -> str | None:
    """Return why a network was not trained long enough for a comparison; None if it was.

    Parameters
    ----------
    curve : sequence of float
        Validation score after each epoch, as for `is_rising`; empty if unknown.
    accuracy : (low, high), optional
        Confidence interval of the network's accuracy; None if it has none.
    commonest : float, optional
        Share of the commonest class among the test galaxies.
    rmse : (low, high), optional
        Confidence interval of the network's root mean square error.
    baseline : float, optional
        Root mean square error of predicting the same number for all galaxies.
    of_one : bool
        Whether the curve's scores are shares between 0 and 1, as for `is_rising`.

    Examples
    --------
    >>> why_untrained([], accuracy=(0.35, 0.45), commonest=0.4)
    'not above the commonest class'
    >>> why_untrained([0.9, 0.9, 0.9, 0.9, 0.9], accuracy=(0.8, 0.9), commonest=0.4)
    """
    # the network may be no better than predicting the commonest class for every galaxy, if the
    # lower limit of its accuracy is not above the share of this class
    if accuracy is not None and commonest is not None and accuracy[0] <= commonest:
        return COMMONEST
    if rmse is not None and baseline is not None and rmse[1] >= baseline:
        return BASELINE
    return RISING if is_rising(curve, of_one=of_one) else None
