"""Decide whether a network was trained long enough to be compared with other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

RISING: Final = "still rising"
COMMONEST: Final = "not above the commonest class"
BASELINE: Final = "not better than one number for all"

BLOCKS, LEAST_RISES, LEAST_GAIN = 5, 8, 0.01
"""Blocks of the end of a curve, how much more of their ten pairs rise than fall, and the gain."""
LAST_PART = 3
"""The blocks cover a third of the epochs, or the last five epochs of a short training."""

WORDS: Final[Mapping[str, str]] = {
    RISING: "validation score still rising at the last epoch",
    COMMONEST: "accuracy not told apart from always answering the commonest class",
    BASELINE: "error not told apart from that of one number for all galaxies",
}
"""What each reason means."""


def is_rising(curve: Sequence[float], *, of_one: bool = True) -> bool | None:
    """Return whether a validation curve was still rising at its last epoch.

    The last third of the curve, five epochs at least, is cut into five blocks of as many epochs
    each. It rises if at most one of the ten pairs of block means is out of order (chance .042 for a
    curve that only scatters: exact test of Mann 1945, doi:10.2307/1907187), and if the last block
    is higher by .01 than the middle one: what had risen before and then levelled off is at rest.

    Parameters
    ----------
    curve : sequence of float
        Validation score after each epoch, higher is better; NaN stands for an epoch without one.
    of_one : bool
        Whether scores are shares of 1. Others, such as errors with their sign changed, have to gain
        a hundredth of the last one.

    Returns
    -------
    bool or None
        None for fewer than five epochs, or an epoch without a score among the last ones.

    Notes
    -----
    `experiments/benchmarks/rising.py` simulates it: of converged curves 2 in 100 are called rising,
    and 9 at most, where neighbouring epochs are alike and galaxies few. A learning rate that falls
    to zero bends any curve: one at rest may still be of too few epochs.

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
    # a gain of exactly one hundredth counts; 1e-9 prevents that rounding makes it smaller
    gained = blocks[-1] - blocks[BLOCKS // 2] >= least * (1 - 1e-9)
    return bool(rises >= LEAST_RISES and gained)


def why_untrained(
    curve: Sequence[float],
    *,
    accuracy: Sequence[float] | None = None,
    commonest: float | None = None,
    rmse: Sequence[float] | None = None,
    baseline: float | None = None,
) -> str | None:
    """Return why a network was not trained long enough for a comparison; None if it was.

    Parameters
    ----------
    curve : sequence of float
        As for `is_rising`; empty where it is not known.
    accuracy : (low, high), optional
        Interval of its accuracy; None where it has none.
    commonest : float, optional
        Share of the commonest class among the test galaxies.
    rmse : (low, high), optional
        Interval of its error.
    baseline : float, optional
        Error of one number for all galaxies.

    Examples
    --------
    >>> why_untrained([], accuracy=(0.35, 0.45), commonest=0.4)
    'not above the commonest class'
    >>> why_untrained([0.9, 0.9, 0.9, 0.9, 0.9], accuracy=(0.8, 0.9), commonest=0.4)
    """
    # a network that predicts the commonest class for every galaxy would have the same accuracy
    if accuracy is not None and commonest is not None and accuracy[0] <= commonest:
        return COMMONEST
    if rmse is not None and baseline is not None and rmse[1] >= baseline:
        return BASELINE
    return RISING if is_rising(curve, of_one=rmse is None) else None
