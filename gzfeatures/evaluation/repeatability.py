"""Estimate how often the majorities of two groups of volunteers agree on a galaxy."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.statistics.proportions import Array

ASSUMED_PANEL = 40
"""Number of volunteers per galaxy if unknown: the usual number of Galaxy Zoo 2 (Willett+2013)."""
DRAWS = 200
"""Number of pairs of volunteer groups that are drawn per galaxy."""


def of_majorities(
    shares: Array, panels: npt.NDArray[np.integer], *, draws: int = DRAWS, seed: int = 0
) -> Array:
    """Estimate the probability that two new groups of volunteers give the same majority class.

    Observed vote fractions scatter around a galaxy's true ones: if 40 volunteers happened to agree,
    40 others may not. True fractions are therefore drawn from a Dirichlet distribution (posterior)
    that combines the galaxy's votes with a prior fitted to all galaxies. From these, two groups of
    as many volunteers as the galaxy had are drawn. Errors that most volunteers make in the same way
    do not lower the result: both groups may agree on a wrong class.

    Parameters
    ----------
    shares : ndarray of float64
        Vote fractions of the k classes, shape (n, k); each row sums to 1.
    panels : ndarray of int
        Number of volunteers of each galaxy, at least 1, shape (n,).
    draws : int
        Number of pairs of volunteer groups to draw for each galaxy.
    seed : int
        Seed of these random draws.

    Returns
    -------
    ndarray of float64
        Probability for each galaxy, shape (n,), in [0, 1].

    References
    ----------
    Minka 2000, Estimating a Dirichlet distribution, section on the Polya distribution (moments);
    Willett+2013, doi:10.1093/mnras/stt1458.
    """
    sizes = np.maximum(np.asarray(panels, dtype=np.int64), 1)
    volunteers = np.broadcast_to(sizes, len(shares))
    given = np.asarray(shares, dtype=np.float64)
    return _agreed(given.tobytes(), given.shape, volunteers.tobytes(), draws, seed).copy()


@functools.lru_cache(maxsize=8)
def _agreed(
    votes: bytes, shape: tuple[int, ...], volunteers: bytes, draws: int, seed: int
) -> Array:
    """Compute `of_majorities` from arrays given as bytes, and cache the result by these bytes.

    A cache cannot have arrays as keys.
    """
    shares: Array = np.frombuffer(votes).reshape(shape)
    sizes = np.frombuffer(volunteers, dtype=np.int64)
    prior = dirichlet_prior(shares, sizes)
    rng = np.random.default_rng(seed)
    same = np.zeros(len(shares))
    for _ in range(draws):
        # few votes leave a galaxy's true vote fractions uncertain: draw them at random from the
        # Dirichlet posterior, then draw both groups of volunteers from the same fractions
        likely = rng.standard_gamma(shares * sizes[:, None] + prior) + 1e-12
        likely /= likely.sum(1, keepdims=True)
        # add a random number below one vote, so that chance decides between answers with equal
        # votes
        first = (rng.multinomial(sizes, likely) + rng.random(shares.shape)).argmax(1)
        second = (rng.multinomial(sizes, likely) + rng.random(shares.shape)).argmax(1)
        same += first == second
    return same / draws


def dirichlet_prior(shares: Array, sizes: npt.NDArray[np.integer]) -> Array:
    """Estimate Dirichlet parameters of galaxies' true vote fractions from mean and variance.

    For n volunteers per galaxy, observed fractions of mean m have the variance
    m(1 − m)(1 / (s + 1) + (1 − 1 / (s + 1)) / n), where s is the sum of the parameters. Summing the
    variances over classes gives one equation for s.
    """
    mean = shares.mean(0)
    scatter = float(
        ((shares - mean) ** 2).mean(0).sum() / max(float((mean * (1 - mean)).sum()), 1e-12)
    )
    noise = float((1 / sizes).mean())
    # scatter = between + (1 - between) * noise, where between = 1 / (s + 1) is the part due to
    # differences between galaxies, and s the sum of the Dirichlet parameters: solve for `between`
    between = np.clip((scatter - noise) / max(1 - noise, 1e-12), 1e-4, 1 - 1e-4)
    return np.asarray(np.maximum(mean, 1e-6) * (1 / between - 1))
