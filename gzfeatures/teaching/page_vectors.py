"""Compress each embedding to a few numbers, from which a web page fits a classifier."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.ids import Ids, among, positions

COMPONENTS = 64
"""Numbers per galaxy; with 32, 64 and 128 of them heads are equally good."""
POWER = 0.5
"""Power of its standard deviation that divides a component: 0 leaves all, 1 makes all equal.

With 1, components of noise count like the others, and a head of a hundred labels is at a loss.
"""
ANSWERS = 0.2
"""Share of the mean squared length that predicted answers of the decision tree get.

Chosen on other draws of real galaxies than those that are reported (`experiments/teaching.py`).
"""


def page_vectors(
    matrix: npt.NDArray[np.float32],
    answers: npt.NDArray[np.float64] | None = None,
    components: int = COMPONENTS,
) -> npt.NDArray[np.float16]:
    """Return principal components of embeddings, and predicted answers, scaled, as float16.

    Answers of the decision tree (Galaxy Zoo) are what people see in a galaxy: with them a head
    learns a new class from fewer labels.

    Parameters
    ----------
    matrix : ndarray of float32
        Embeddings, shape (n, dim), finite.
    answers : ndarray of float64, optional
        Predicted fractions of answers, shape (n, a), with a < `components`. They take the place of
        the last principal components; a galaxy with NaN counts as an average one.
    components : int
        Most numbers per galaxy; a narrower table keeps all of its own.

    Returns
    -------
    ndarray of float16
        Shape (n, at most `components`); the mean squared length of a row is 1, or less where all
        embeddings or all answers are equal.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    >>> page_vectors(rows, components=3).shape
    (50, 3)
    """
    if answers is None or not len(matrix):
        return _components(matrix, components).astype(np.float16)
    first = _components(matrix, components - answers.shape[1]) * np.sqrt(1 - ANSWERS)
    known = np.isfinite(answers).all(1)
    centred = np.zeros(answers.shape)
    if known.any():
        centred[known] = answers[known] - answers[known].mean(0)
    return np.hstack([first, _unit(centred) * np.sqrt(ANSWERS)]).astype(np.float16)


def answers_of_page(ids: Ids, answers: Predictions | None) -> npt.NDArray[np.float64] | None:
    """Return predicted answers of a page's galaxies, in their order; NaN for those it lacks."""
    if answers is None:
        return None
    known = among(ids, answers.ids)
    rows = positions(answers.ids, ids[known], where="answers")
    values = np.full((len(ids), answers.probabilities.shape[1]), np.nan)
    values[known] = answers.probabilities[rows]
    return values


def _components(matrix: npt.NDArray[np.float32], components: int) -> npt.NDArray[np.float64]:
    """Return leading principal components of a mean squared length of 1, or 0 of equal rows."""
    if not len(matrix) or np.ptp(matrix, axis=0).max() == 0:
        return np.zeros((len(matrix), min(components, matrix.shape[1])))
    space = FeatureSpace.fit(matrix, components=components)
    scores = space.vectors(matrix).astype(np.float64)
    spread = scores.std(0)
    # a component without variance holds no information, and division by its spread of 0 would give
    # infinities
    return _unit(scores / np.where(spread > 0, spread, 1) ** POWER)


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divide rows by one number, so that their mean squared length is 1; zeros stay."""
    return np.asarray(values / (np.sqrt((values**2).sum(1).mean()) or 1.0))


def table_digest(ids: Ids, vectors: npt.NDArray[np.float16]) -> str:
    """Return a digest (sha256, 32 letters) of a table, by which a browser finds its saved labels.

    Examples
    --------
    >>> len(table_digest(np.array(["a"], dtype=object), np.zeros((1, 2), dtype=np.float16)))
    32
    """
    digest = hashlib.sha256("\n".join(ids.tolist()).encode())
    digest.update(np.ascontiguousarray(vectors).astype("<f2").tobytes())
    return digest.hexdigest()[:32]
