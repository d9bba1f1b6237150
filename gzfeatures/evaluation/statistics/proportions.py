"""Compute intervals of a share of n galaxies: exact (Clopper & Pearson) or Wilson's."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


def clopper_pearson(hits: Any, n: Any, level: float = 0.9) -> tuple[Array, Array]:
    """Return the exact interval of a share; it contains the true one at least as often as `level`.

    Parameters
    ----------
    hits, n : array of float
        Numbers of successes and of trials, in shapes that can be broadcast; n = 0 gives [0, 1].
        They need not be whole.
    level : float
        Smallest coverage, in (0, 1).

    Returns
    -------
    low, high : ndarray of float64
        Lower and upper limits in [0, 1], in the broadcast shape.

    References
    ----------
    Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> low, high = clopper_pearson(3, 3)
    >>> round(float(low), 3), float(high)
    (0.368, 1.0)
    """
    from scipy.special import betaincinv

    hits, n = np.broadcast_arrays(
        np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    tail = (1 - level) / 2
    misses = np.maximum(n - hits, 0)
    # the distributions are not defined at 0 hits or misses, where the limits are 0 and 1; any other
    # number counts as it is, also below 1, where related galaxies count as less than one
    low = np.where(hits > 0, betaincinv(np.where(hits > 0, hits, 1), misses + 1, tail), 0.0)
    high = np.where(
        misses > 0, betaincinv(hits + 1, np.where(misses > 0, misses, 1), 1 - tail), 1.0
    )
    return low, high


def wilson(share: float, n: int, level: float = 0.9) -> list[float]:
    """Return Wilson's score interval [low, high] of a share of n galaxies.

    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    low, high = score_interval(np.float64(share), np.float64(n), level)
    return [float(low), float(high)]


def score_interval(share: Any, n: Any, level: float = 0.9) -> tuple[Array, Array]:
    """Return Wilson's intervals for arrays of shares and numbers n > 0; n need not be whole."""
    from scipy.stats import norm

    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    share, n = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    middle, reach = share + z2 / (2 * n), np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2)))
    return (middle - reach) / (1 + z2 / n), (middle + reach) / (1 + z2 / n)
