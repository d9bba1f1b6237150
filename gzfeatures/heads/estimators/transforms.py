"""What stands before the classifier in a pipeline: unit variance, and fewer dimensions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from gzfeatures.features.matrices import BLOCK, Matrix

SMALL = 4_000_000
"""Numbers in a table below which threads cost more than they bring (a few thousand rows)."""


def threads_for(size: int) -> AbstractContextManager[object]:
    """One thread for a table of fewer than `SMALL` numbers, as many as there are for a larger one."""
    return threadpool_limits(1) if size < SMALL else nullcontext()


class Fill(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The training median in place of what is NaN, column by column; 0 where a column is all NaN. Works in place."""

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Learn the medians, shape (d,)."""
        known = (column[~np.isnan(column)] for column in X.T)
        self.medians_: Matrix = np.array(
            [np.median(column) if len(column) else 0 for column in known], dtype=np.float32
        )
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Fill the rows of X in place and return X."""
        for column, median in zip(X.T, self.medians_, strict=True):
            column[np.isnan(column)] = median
        return X


class Standardise(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Zero mean and unit variance per column, computed by blocks of rows; constant columns keep their scale.

    `transform` works in place: the estimator around the pipeline hands it rows of its own.
    """

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Learn mean and scale of the columns, each of shape (d,)."""
        blocks = [X[start : start + BLOCK] for start in range(0, len(X), BLOCK)]
        mean = sum(block.sum(0, dtype=np.float64) for block in blocks) / len(X)
        self.mean_: Matrix = np.asarray(mean, dtype=np.float32)
        variance = sum(
            ((block - self.mean_) ** 2).sum(0, dtype=np.float64) for block in blocks
        ) / len(X)
        scale = np.sqrt(np.asarray(variance))
        self.scale_: Matrix = np.where(
            scale > 1e-7 * (np.abs(self.mean_) + 1e-30), scale, 1
        ).astype(np.float32)
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Scale the rows of X in place and return X."""
        X -= self.mean_
        X /= self.scale_
        return X


class Compress(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Leading principal components, as many as asked for or as there are.

    Parameters
    ----------
    width : int
        Components kept at most.
    whiten : bool
        Scale each component to unit variance.
    """

    def __init__(self, width: int = 128, whiten: bool = False) -> None:
        self.width = width
        self.whiten = whiten

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Learn the components from the covariance of the columns."""
        kept = min(self.width, X.shape[1], max(1, len(X) - 1))
        self.pca_ = PCA(kept, whiten=self.whiten, svd_solver="covariance_eigh").fit(X)
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Rows in the components, shape (n, at most `width`), float32."""
        return np.asarray(self.pca_.transform(X), dtype=np.float32)
