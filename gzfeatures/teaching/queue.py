"""Choose the galaxies to ask about next: informative and unlike each other, certain, or disputed.

`page/queue.js` makes the same choices from the same numbers. Scores within 1e-6 of each other are
equal, since the last digits of two machines differ; of equal ones the smaller id goes first.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gzfeatures.ids import Ids

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
SCALE = 1e6
"""Scores are compared as whole multiples of 1e-6."""
UNCERTAIN = 5
"""The most uncertain fifth of the galaxies is asked about."""
FEWEST = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Hold the fixed orders of a campaign's galaxies.

    Parameters
    ----------
    ranks : ndarray of int
        Place of each galaxy's id among the sorted ids, shape (n,): decides between equal scores.
    turns : ndarray of int
        Rows in a random order, shape (n,): its beginning is a random sample of the table.
    """

    ranks: Rows
    turns: Rows

    @classmethod
    def of(cls, ids: Ids, seed: int) -> Draws:
        """Return the orders of galaxies; they do not depend on the order of rows.

        Examples
        --------
        >>> Draws.of(np.array(["b", "a", "c"], dtype=object), seed=0).ranks.tolist()
        [1, 0, 2]
        """
        by_id = np.argsort(ids)
        ranks = np.empty(len(ids), dtype=np.intp)
        ranks[by_id] = np.arange(len(ids))
        return cls(ranks, by_id[np.random.default_rng(seed).permutation(len(ids))])


def informative(
    vectors: Array, probabilities: Array, labelled: Rows, free: Mask, draws: Draws, count: int
) -> Rows:
    """Return galaxies whose answers would help most: uncertain, and far from what is known.

    Of the most uncertain fifth, the first is the one farthest from all labelled galaxies, the next
    the one farthest from these and the first, and so on (margin by clusters, Citovsky+2021,
    arXiv:2107.14263, with farthest-first traversal in place of clusters).

    Parameters
    ----------
    vectors : ndarray of float64
        Page vectors, shape (n, d).
    probabilities : ndarray of float64
        Of k classes, shape (n, k).
    labelled : ndarray of int
        Rows that have been answered.
    free : ndarray of bool
        Galaxies that may be asked about, shape (n,).
    draws : Draws
        Decides between equals.
    count : int
        Most rows to return.
    """
    open_rows = np.flatnonzero(free)
    wanted = max(FEWEST, -(-len(open_rows) // UNCERTAIN))
    pool = _best(entropy(probabilities)[open_rows], open_rows, draws)[:wanted]
    nearest = np.full(len(pool), np.inf)
    for row in labelled:
        nearest = np.minimum(nearest, ((vectors[pool] - vectors[row]) ** 2).sum(1))
    chosen: list[int] = []
    left = np.ones(len(pool), dtype=bool)
    for _ in range(min(count, len(pool))):
        best = int(_best(nearest[left], np.flatnonzero(left), _Places(draws.ranks[pool]))[0])
        chosen.append(int(pool[best]))
        left[best] = False
        nearest = np.minimum(nearest, ((vectors[pool] - vectors[pool[best]]) ** 2).sum(1))
    return np.asarray(chosen, dtype=np.intp)


def most_certain(probabilities: Array, code: int, free: Mask, draws: Draws, count: int) -> Rows:
    """Return the galaxies without a label that most probably are of a class."""
    rows = np.flatnonzero(free)
    return _best(probabilities[rows, code], rows, draws)[:count]


def disagreements(
    probabilities: Array, labelled: Rows, codes: npt.NDArray[np.int64], draws: Draws, count: int
) -> Rows:
    """Return the labelled galaxies whose label the head finds least probable, below even odds."""
    given = probabilities[labelled, codes]
    doubted = given < 0.5
    return _best(1 - given[doubted], labelled[doubted], draws)[:count]


def entropy(probabilities: Array) -> Array:
    """Return the entropy of each galaxy's probabilities as a share of the largest, shape (n,).

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    p = np.maximum(probabilities, 1e-300)
    return np.asarray(-(probabilities * np.log(p)).sum(1) / np.log(probabilities.shape[1]) + 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Places:
    """Hold the ranks of the galaxies of a pool."""

    ranks: Rows


def _best(scores: Array, rows: Rows, draws: Draws | _Places) -> Rows:
    """Return rows by falling score, compared in steps of 1e-6, then by id."""
    # without a known galaxy distances are infinite: treat them as one large equal score
    steps = np.floor(np.minimum(scores, 1e9) * SCALE + 0.5)
    return rows[np.lexsort((draws.ranks[rows], -steps))]
