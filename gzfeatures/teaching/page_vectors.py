"""Compress each embedding to a few numbers, from which a web page fits a classifier."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.ids import Ids, among, positions

COMPONENTS = 64
"""Number of values for each galaxy; heads on 32, 64 and 128 values are equally good."""
POWER = 0.5
"""Each principal component is divided by its standard deviation to this power.

With 0, components keep their different variances; with 1, all have equal variance, and components
that are only noise would confuse a head that is fitted to a hundred labels.
"""
ANSWERS = 0.2
"""Share of a vector's mean squared length that comes from predicted answers of the decision tree.

It was chosen on random draws of real galaxies; the scores reported in `experiments/teaching.py` are
of other draws.
"""


def page_vectors(
    matrix: npt.NDArray[np.float32],
    answers: npt.NDArray[np.float64] | None = None,
    components: int = COMPONENTS,
) -> npt.NDArray[np.float16]:
    """Return short vectors of galaxies, float16: principal components and predicted vote fractions.

    Answers of Galaxy Zoo's decision tree say what people see in a galaxy: with them, a head needs
    fewer labels to learn a new class.

    Parameters
    ----------
    matrix : ndarray of float32
        Embeddings, shape (n, dim), finite.
    answers : ndarray of float64, optional
        Predicted vote fractions of answers, shape (n, a), with a < `components`. They replace the
        last principal components; a galaxy with NaN gets the average answers.
    components : int
        Largest number of values for each galaxy.

    Returns
    -------
    ndarray of float16
        Vectors, shape (n, at most `components`), whose mean squared length is 1, or less if all
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
    """Return each given id's predicted vote fractions; NaN if the galaxy has no prediction."""
    if answers is None:
        return None
    known = among(ids, answers.ids)
    rows = positions(answers.ids, ids[known], where="answers")
    values = np.full((len(ids), answers.probabilities.shape[1]), np.nan)
    values[known] = answers.probabilities[rows]
    return values


def _components(matrix: npt.NDArray[np.float32], components: int) -> npt.NDArray[np.float64]:
    """Return principal components with a mean squared length of 1; zeros if all rows are equal."""
    if not len(matrix) or np.ptp(matrix, axis=0).max() == 0:
        return np.zeros((len(matrix), min(components, matrix.shape[1])))
    # n galaxies span n − 1 dimensions; asked for more, `fit` would keep all columns
    space = FeatureSpace.fit(matrix, components=min(components, len(matrix) - 1))
    scores = space.vectors(matrix).astype(np.float64)
    spread = scores.std(0)
    # divide a component without variance by 1: division by its standard deviation, 0, would fail
    return _unit(scores / np.where(spread > 0, spread, 1) ** POWER)


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divide all rows by one number, so that their mean squared length is 1; zeros stay zeros."""
    return np.asarray(values / (np.sqrt((values**2).sum(1).mean()) or 1.0))


def table_digest(ids: Ids, vectors: npt.NDArray[np.float16]) -> str:
    """Return a sha256 (32 letters) of ids and vectors, by which a browser finds labels it saved.

    Examples
    --------
    >>> len(table_digest(np.array(["a"], dtype=object), np.zeros((1, 2), dtype=np.float16)))
    32
    """
    digest = hashlib.sha256("\n".join(ids.tolist()).encode())
    digest.update(np.ascontiguousarray(vectors).astype("<f2").tobytes())
    return digest.hexdigest()[:32]
