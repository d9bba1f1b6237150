"""Predict columns of numbers (targets) by ridge regressions that are fitted to other galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]
Fold: TypeAlias = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Rows outside and inside a fold."""
PENALTIES = tuple(10.0**power for power in range(-1, 7))
"""Penalties to choose from, for features whose columns have the variance 1."""


def out_of_fold(features: Matrix, targets: Matrix, folds: Sequence[Fold]) -> Matrix:
    """Predict each galaxy's targets by a ridge regression fitted to the other folds.

    Parameters
    ----------
    features : ndarray of float64
        Shape (n, p).
    targets : ndarray of float64
        Shape (n, t). All targets share one decomposition of the features, so that hundreds of them
        cost little more than one.
    folds : sequence of (rest, part)
        Rows to fit and rows to predict; every row is in one part.

    Returns
    -------
    ndarray of float64
        Shape (n, t).

    Notes
    -----
    The penalty of each target is the one with the smallest leave-one-out error among the rows that
    are fitted, which needs no refitting (Golub+1979, doi:10.1080/00401706.1979.10489751, eq. 1.6).

    Examples
    --------
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> halves = [(np.arange(0, 20, 2), np.arange(1, 20, 2)),
    ...           (np.arange(1, 20, 2), np.arange(0, 20, 2))]
    >>> bool(np.abs(out_of_fold(x, 3 * x, halves) - 3 * x).max() < 0.1)
    True
    """
    predicted = np.zeros_like(targets, dtype=np.float64)
    for rest, part in folds:
        centre, mean = features[rest].mean(0), targets[rest].mean(0)
        rows, wanted = features[rest] - centre, targets[rest] - mean
        weights = _fitted(rows, wanted)
        predicted[part] = (features[part] - centre) @ weights + mean
    return predicted


def _fitted(rows: Matrix, wanted: Matrix) -> Matrix:
    """Fit ridge coefficients, (p, t), with the penalty of the smallest leave-one-out error."""
    strengths, turn = np.linalg.eigh(rows.T @ rows)
    # set negative eigenvalues, which rounding causes, to 0: added to a small penalty they could
    # give 0 and a division by zero
    strengths = np.maximum(strengths, 0.0)
    turned = rows @ turn
    products = turned.T @ wanted
    best = np.full(wanted.shape[1], np.inf)
    chosen = np.zeros_like(products)
    squares = turned**2
    for penalty in PENALTIES:
        shrunk = products / (strengths + penalty)[:, None]
        # leave-one-out error of a row: its residual in the fit of all rows, divided by 1 − its
        # leverage
        leverage = squares @ (1 / (strengths + penalty)) + 1 / len(rows)
        left = (wanted - turned @ shrunk) / np.maximum(1 - leverage, 1e-9)[:, None]
        error = (left**2).mean(0)
        better = error < best
        best[better] = error[better]
        chosen[:, better] = shrunk[:, better]
    return np.asarray(turn @ chosen)


def explained(targets: Matrix, predicted: Matrix) -> Matrix:
    """Return R², the share of each target's variance that predictions explain, shape (t,).

    It is below 0 where the mean would have been the better prediction, and NaN for a constant.
    """
    left = ((targets - predicted) ** 2).sum(0)
    whole = ((targets - targets.mean(0)) ** 2).sum(0)
    return np.asarray(1 - np.divide(left, whole, out=np.full_like(left, np.nan), where=whole > 0))


def standardised(values: Matrix) -> Matrix:
    """Return columns with mean 0 and variance 1; columns without variance are left out."""
    spread = values.std(0)
    kept = spread > 1e-9 * np.maximum(1.0, np.abs(values).max(0, initial=0.0))
    return np.asarray((values[:, kept] - values[:, kept].mean(0)) / spread[kept])


def components(vectors: npt.NDArray[np.float32], most: int) -> Matrix:
    """Return principal components of standardised vectors, at most `most`, shape (n, c).

    The variances of all components sum to the length of a vector, so that a penalty means the same
    for vectors of any length.
    """
    columns = standardised(vectors.astype(np.float64))
    count = min(most, columns.shape[1])
    if not count:
        return np.zeros((len(vectors), 0))
    # use the covariance matrix: the time for its eigenvectors does not grow with the number of
    # galaxies
    _, turn = np.linalg.eigh(columns.T @ columns / len(columns))
    return np.asarray(columns @ turn[:, ::-1][:, :count])
