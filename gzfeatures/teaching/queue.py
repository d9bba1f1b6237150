"""Choose which galaxies a person labels next: typical, uncertain, rare or disputed ones.

`page/queue.js` makes the same choices from the same numbers. Scores within 1e-6 of each other are
equal, since the last digits of two machines differ; of equal ones the smaller id goes first.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gzfeatures.explore.neighbours import nearest
from gzfeatures.ids import Ids

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
SCALE = 1e6
"""Scores are compared as whole multiples of 1e-6."""
UNCERTAIN = 5
"""The most uncertain fifth of the galaxies is asked about."""
TYPICAL_FIRST, TYPICAL = 3, 7
"""Without a head the most typical third is asked about, later once the most typical seventh."""
FEW, SOME = 10, 20
"""Labels from which, and below which, typical galaxies are asked about."""
LIKELY = 40
"""Most probable members of the rarest class among which one question of a round is chosen."""
CROWD = 20
"""Neighbours whose mean distance says how typical a galaxy is."""
FEWEST = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Store two fixed orders of a table's galaxies: sorted by id, and random.

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
        """Order galaxies by id and at random; the order of rows in the table does not matter.

        Examples
        --------
        >>> Draws.of(np.array(["b", "a", "c"], dtype=object), seed=0).ranks.tolist()
        [1, 0, 2]
        """
        by_id = np.argsort(ids)
        ranks = np.empty(len(ids), dtype=np.intp)
        ranks[by_id] = np.arange(len(ids))
        return cls(ranks, by_id[np.random.default_rng(seed).permutation(len(ids))])


def typicality(vectors: Array, ranks: Rows) -> Rows:
    """Rank galaxies by the mean distance to their neighbours, shape (n,); the smallest has rank 0.

    Labels are few in the beginning, and typical galaxies say most (Hacohen+2022, arXiv:2202.02794).

    Parameters
    ----------
    vectors : ndarray of float64
        Page vectors, shape (n, d).
    ranks : ndarray of int
        Decide between equals, shape (n,).

    Examples
    --------
    >>> typicality(np.array([[9.0], [0.0], [1.0]]), np.arange(3)).tolist()
    [2, 1, 0]
    """
    n = len(vectors)
    if n < 2:
        return np.zeros(n, dtype=np.intp)
    near = nearest(vectors.astype(np.float32), None, min(CROWD, n - 1))
    distances = near.distances.mean(1, dtype=np.float64)
    order = np.lexsort((ranks, np.floor(distances * SCALE + 0.5)))
    places = np.empty(n, dtype=np.intp)
    places[order] = np.arange(n)
    return places


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """Store what the choice of questions depends on: labelled galaxies and the head's predictions.

    Parameters
    ----------
    labelled : ndarray of int
        Rows that a head may be trained on.
    answers : int
        Labels so far, those set aside included.
    probabilities : ndarray of float64, optional
        Of k classes, shape (n, k); None without a head.
    rarest : int
        Code of the class with the fewest labels.
    """

    labelled: Rows
    answers: int
    probabilities: Array | None = None
    rarest: int = 0


def questions(
    vectors: Array, known: Known, free: Mask, typical: Rows, draws: Draws, count: int
) -> Rows:
    """Return row numbers of the next galaxies to ask about, which differ from labelled ones.

    Without a head they are typical galaxies, then uncertain ones. From 10 to 20 labels they are
    typical ones again, as the head is not trained on most kinds of galaxies yet. Later they are
    uncertain ones, and one that probably belongs to the rarest class. This order was chosen on real
    galaxies (`experiments/teaching.py`).

    Parameters
    ----------
    vectors : ndarray of float64
        Page vectors, shape (n, d).
    known : Known
    free : ndarray of bool
        Galaxies that may be asked about, shape (n,).
    typical : ndarray of int
        As `typicality` gives it.
    draws : Draws
        Decides between equals.
    count : int
        Most rows to return.
    """
    open_rows = np.flatnonzero(free)
    if known.probabilities is None or FEW < known.answers <= SOME:
        share = TYPICAL_FIRST if known.probabilities is None else TYPICAL
        pool = open_rows[np.argsort(typical[open_rows], kind="stable")]
        pool = pool[: max(FEWEST, -(-len(open_rows) // share))]
        return _farthest(vectors, pool, known.labelled, draws, count)
    likely = 1 if known.answers > SOME else 0
    chosen = informative(
        vectors, known.probabilities, known.labelled, free, draws, max(0, count - likely)
    )
    if not likely:
        return chosen
    left = free.copy()
    left[chosen] = False
    pool = most_certain(known.probabilities, known.rarest, left, draws, LIKELY)
    labelled = np.concatenate([known.labelled, chosen])
    return np.concatenate([chosen, _farthest(vectors, pool, labelled, draws, 1)])


def informative(
    vectors: Array, probabilities: Array, labelled: Rows, free: Mask, draws: Draws, count: int
) -> Rows:
    """Return row numbers of galaxies with uncertain predictions, far from all labelled galaxies.

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
    return _farthest(vectors, pool, labelled, draws, count)


def _farthest(vectors: Array, pool: Rows, labelled: Rows, draws: Draws, count: int) -> Rows:
    """Choose galaxies one by one, each the farthest from labelled and already chosen galaxies."""
    from scipy.spatial.distance import cdist

    points = vectors[pool]
    nearest_known = cdist(points, vectors[labelled], "sqeuclidean").min(1, initial=np.inf)
    chosen: list[int] = []
    left = np.ones(len(pool), dtype=bool)
    places = _Places(draws.ranks[pool])
    for _ in range(min(count, len(pool))):
        best = int(_best(nearest_known[left], np.flatnonzero(left), places)[0])
        chosen.append(int(pool[best]))
        left[best] = False
        nearest_known = np.minimum(nearest_known, ((points - points[best]) ** 2).sum(1))
    return np.asarray(chosen, dtype=np.intp)


def most_certain(probabilities: Array, code: int, free: Mask, draws: Draws, count: int) -> Rows:
    """Return the unlabelled galaxies that have the highest probability of one class."""
    rows = np.flatnonzero(free)
    return _best(probabilities[rows, code], rows, draws)[:count]


def disagreements(
    probabilities: Array, labelled: Rows, codes: npt.NDArray[np.int64], draws: Draws, count: int
) -> Rows:
    """Return labelled galaxies to whose label the head gives a probability below 0.5."""
    given = probabilities[labelled, codes]
    doubted = given < 0.5
    return _best(1 - given[doubted], labelled[doubted], draws)[:count]


def entropy(probabilities: Array) -> Array:
    """Return the entropy of each galaxy's class probabilities, from 0 (certain) to 1 (all equal).

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    p = np.maximum(probabilities, 1e-300)
    return np.asarray(-(probabilities * np.log(p)).sum(1) / np.log(probabilities.shape[1]) + 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Places:
    """Store each galaxy's position in the order of ids; of equal scores the first position wins."""

    ranks: Rows


def _best(scores: Array, rows: Rows, draws: Draws | _Places) -> Rows:
    """Sort rows by falling score, rounded to 1e-6; of equal scores the smaller id goes first."""
    # without labelled galaxies all distances are infinite: limit scores to 1e9, so that they can be
    # rounded to whole steps of 1e-6
    steps = np.floor(np.minimum(scores, 1e9) * SCALE + 0.5)
    return rows[np.lexsort((draws.ranks[rows], -steps))]
