"""Choose which galaxies a person labels next: typical, uncertain, rare or disputed ones.

`page/queue.js` makes the same choices from the same numbers in the browser. The last digits of
scores differ between two machines, so scores are rounded to 1e-6; of equal scores, that of the
galaxy with the smaller id comes first.
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
"""Scores are multiplied by this number and rounded to integers before they are compared."""
UNCERTAIN = 5
"""Questions are about the most uncertain fifth of the galaxies: one in so many."""
TYPICAL_FIRST, TYPICAL = 3, 7
"""Questions are about the most typical third of the galaxies (before a head exists), and about the
most typical seventh (from `FEW` to `SOME` labels)."""
FEW, SOME = 10, 20
"""With more than `FEW` and at most `SOME` labels, questions are about typical galaxies again."""
LIKELY = 40
"""One question of a round is about one of so many galaxies most likely in the rarest class."""
CROWD = 20
"""Number of nearest neighbours whose mean distance says how typical a galaxy is."""
FEWEST = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Store two fixed orders of a table's galaxies: sorted by id, and random.

    Parameters
    ----------
    ranks : ndarray of int
        Position of each galaxy's id among the sorted ids, shape (n,); of two galaxies with equal
        scores, the one with the smaller rank comes first.
    turns : ndarray of int
        Row numbers in a random order, shape (n,); its first entries are a random sample.
    """

    ranks: Rows
    turns: Rows

    @classmethod
    def of(cls, ids: Ids, seed: int) -> Draws:
        """Return two orders of galaxies: sorted by id, and random.

        Neither order depends on the order of the table's rows.

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
    """Return ranks of galaxies by mean distance to their neighbours, shape (n,); 0 is the smallest.

    With few labels in the beginning, a head learns most from typical galaxies (Hacohen+2022,
    arXiv:2202.02794).

    Parameters
    ----------
    vectors : ndarray of float64
        Compressed embeddings, shape (n, d), from `page_vectors`.
    ranks : ndarray of int
        Position of each galaxy's id among the sorted ids, shape (n,), for equal distances.

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
        Row numbers of labelled galaxies on which a head may be trained.
    answers : int
        Number of labels so far, also of galaxies set aside for tests.
    probabilities : ndarray of float64, optional
        The head's class probabilities of all galaxies, shape (n, k); None before a head exists.
    rarest : int
        Number of the class with the fewest labels.
    """

    labelled: Rows
    answers: int
    probabilities: Array | None = None
    rarest: int = 0


def questions(
    vectors: Array, known: Known, free: Mask, typical: Rows, draws: Draws, count: int
) -> Rows:
    """Return row numbers of the next galaxies to ask about, all unlike the labelled galaxies.

    Before a head exists (labels of two classes), they are typical galaxies. With a head, they are
    uncertain galaxies. From 11 to 20 labels they are typical galaxies again, because the head has
    not been trained on most kinds of galaxies yet. Later they are uncertain galaxies, and one that
    probably belongs to the rarest class. This order was chosen on real galaxies
    (`experiments/teaching.py`).

    Parameters
    ----------
    vectors : ndarray of float64
        Compressed embeddings, shape (n, d), from `page_vectors`.
    known : Known
        Labelled galaxies, and the head's predictions.
    free : ndarray of bool
        True for galaxies that may be asked about, shape (n,).
    typical : ndarray of int
        Ranks from `typicality`.
    draws : Draws
        Order of ids, which decides between equal scores.
    count : int
        Largest number of rows to return.
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

    They are chosen from the most uncertain fifth: first the galaxy farthest from all labelled
    galaxies, then the galaxy farthest from labelled and already chosen galaxies, and so on (as
    Citovsky+2021, arXiv:2107.14263, who choose from clusters instead of the farthest galaxy).

    Parameters
    ----------
    vectors : ndarray of float64
        Compressed embeddings, shape (n, d), from `page_vectors`.
    probabilities : ndarray of float64
        Class probabilities, shape (n, k).
    labelled : ndarray of int
        Row numbers of labelled galaxies.
    free : ndarray of bool
        True for galaxies that may be asked about, shape (n,).
    draws : Draws
        Order of ids, which decides between equal scores.
    count : int
        Largest number of rows to return.
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
    """Return row numbers of unlabelled galaxies with the highest probability of one class."""
    rows = np.flatnonzero(free)
    return _best(probabilities[rows, code], rows, draws)[:count]


def disagreements(
    probabilities: Array, labelled: Rows, codes: npt.NDArray[np.int64], draws: Draws, count: int
) -> Rows:
    """Return row numbers of labelled galaxies whose label has a predicted probability below 0.5."""
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
    """Store each galaxy's position among the sorted ids, which decides between equal scores."""

    ranks: Rows


def _best(scores: Array, rows: Rows, draws: Draws | _Places) -> Rows:
    """Sort row numbers by score, the largest first; of equal scores, the smaller id comes first."""
    # limit scores to 1e9, as the map page must: it sorts by differences of scores, and without a
    # labelled galaxy all distances are infinite, whose difference is not a number
    steps = np.floor(np.minimum(scores, 1e9) * SCALE + 0.5)
    return rows[np.lexsort((draws.ranks[rows], -steps))]
