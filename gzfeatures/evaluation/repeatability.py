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

    The observed fractions of a panel scatter more than the galaxies' own: taken as they are, a
    galaxy on which 40 people happened to agree would seem sure to be agreed on again. They are
    first drawn towards those of all galaxies, by a Dirichlet prior fitted to the whole table, and
    vary as the votes leave open; both panels have as many volunteers as the galaxy had. Errors that
    all volunteers make alike are left out: panels may well agree on what is wrong.

    Parameters
    ----------
    shares : ndarray of float64
        Vote fractions of the classes, rows of sum 1, shape (n, k).
    panels : ndarray of int
        Volunteers of each galaxy, at least 1, shape (n,).
    draws : int
        Pairs of panels per galaxy.
    seed : int
        Of the panels.

    Returns
    -------
    ndarray of float64
        Shape (n,), in [0, 1].

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
    """Compute how often majorities of other volunteers would agree, once for equal galaxies."""
    shares: Array = np.frombuffer(votes).reshape(shape)
    sizes = np.frombuffer(volunteers, dtype=np.int64)
    prior = dirichlet_prior(shares, sizes)
    rng = np.random.default_rng(seed)
    same = np.zeros(len(shares))
    for _ in range(draws):
        # draw vote fractions from each galaxy's Dirichlet posterior; its mean would be pulled
        # towards equal fractions, so that two groups would agree too rarely
        likely = rng.standard_gamma(shares * sizes[:, None] + prior) + 1e-12
        likely /= likely.sum(1, keepdims=True)
        # add a random number below one vote, so that chance decides between answers with equal
        # votes
        first = (rng.multinomial(sizes, likely) + rng.random(shares.shape)).argmax(1)
        second = (rng.multinomial(sizes, likely) + rng.random(shares.shape)).argmax(1)
        same += first == second
    return same / draws


def dirichlet_prior(shares: Array, sizes: npt.NDArray[np.integer]) -> Array:
    """Return the Dirichlet parameters of the galaxies' true vote fractions, from moments.

    Observed fractions have the variance m(1 − m)(1 / (s + 1) + (1 − 1 / (s + 1)) / n) about their
    mean m with panels of n volunteers, where s is the sum of the parameters; s follows from the sum
    over classes.
    """
    mean = shares.mean(0)
    scatter = float(
        ((shares - mean) ** 2).mean(0).sum() / max(float((mean * (1 - mean)).sum()), 1e-12)
    )
    noise = float((1 / sizes).mean())
    # of the scatter in vote fractions, the part between galaxies is 1 / (s + 1), if s is the sum of
    # the Dirichlet parameters
    between = np.clip((scatter - noise) / max(1 - noise, 1e-12), 1e-4, 1 - 1e-4)
    return np.asarray(np.maximum(mean, 1e-6) * (1 / between - 1))
