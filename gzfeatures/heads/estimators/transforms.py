"""Transform vectors before a classifier: fill gaps, standardise, compress by PCA."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from gzfeatures.features.matrices import BLOCK, Matrix

LEAST_WHITENED, ROWS_A_COMPONENT = 8, 8
"""Number of whitened components that few rows have, and rows for each one more than that."""
SMALLEST = 1e-30
"""Variance below which squares may have lost their digits in single precision."""
SMALL = 4_000_000
"""Number of values in a table below which one thread is faster than several."""


def threads_for(size: int) -> AbstractContextManager[object]:
    """Limit a `with` block to one thread if the table is small."""
    return threadpool_limits(1) if size < SMALL else nullcontext()


class Fill(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace each NaN, in place, by the training median of its column (0 for a column of NaN)."""

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Compute the median of each column, shape (d,); ignore NaN; a column of NaN gets 0."""
        values = (column[~np.isnan(column)] for column in X.T)
        self.medians_: Matrix = np.array(
            [np.median(column) if len(column) else 0 for column in values], dtype=np.float32
        )
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Return X with each NaN replaced, in place, by the training median of its column."""
        for column, median in zip(X.T, self.medians_, strict=True):
            column[np.isnan(column)] = median
        return X


class Standardise(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Scale columns in place to zero mean and unit variance; constant columns keep their scale.

    Mean and variance are computed by blocks of rows. `transform` may work in place, because the
    estimator around the pipeline passes a copy of the rows.
    """

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Compute mean and scale of each column, shape (d,)."""
        blocks = [X[start : start + BLOCK] for start in range(0, len(X), BLOCK)]
        # sum block by block: a float64 copy of a large table needs too much memory
        mean = sum(block.sum(0, dtype=np.float64) for block in blocks) / len(X)
        self.mean_: Matrix = np.asarray(mean, dtype=np.float32)
        with np.errstate(over="ignore"):
            variance = sum(
                ((block - self.mean_) ** 2).sum(0, dtype=np.float64) for block in blocks
            ) / len(X)
        # squares of numbers such as 1e22 (W/Hz) or 1e-26 (W/m²/Hz) are infinite or 0 in single
        # precision: take those of such columns in double, or the head would ignore the column
        odd = np.flatnonzero(~np.isfinite(variance) | (variance < SMALLEST))
        if len(odd):
            variance[odd] = sum(
                ((block[:, odd].astype(np.float64) - mean[odd]) ** 2).sum(0) for block in blocks
            ) / len(X)
        # do not divide by the variance of a constant column, which is tiny
        # (rounding): it would amplify noise
        scale = np.sqrt(np.asarray(variance))
        self.scale_: Matrix = np.where(
            scale > 1e-7 * (np.abs(self.mean_) + 1e-30), scale, 1
        ).astype(np.float32)
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Return X with each column standardised in place."""
        X -= self.mean_
        X /= self.scale_
        return X


class Compress(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace vectors by their first principal components, up to a maximum number.

    Parameters
    ----------
    width : int
        Components kept at most.
    whiten : bool
        Scale each component to unit variance, and keep at most one for `ROWS_A_COMPONENT` rows.
    """

    def __init__(self, width: int = 128, whiten: bool = False) -> None:
        self.width = width
        self.whiten = whiten

    def fit(self, X: Matrix, y: Any = None) -> Self:
        """Compute the principal components from the covariance of the columns, or from the rows if
        these are few.
        """
        # n rows vary in at most n − 1 directions around their mean: further components are noise
        kept = min(self.width, X.shape[1], max(1, len(X) - 1))
        # whitening gives each component the same weight: if there are few rows, the later ones are
        # noise and would hide the first (see "Defaults of heads" in `experiments/README.md`)
        if self.whiten:
            kept = min(kept, max(LEAST_WHITENED, len(X) // ROWS_A_COMPONENT))
        # to decompose the covariance of 512 columns takes 41 ms, to decompose 40 rows 1 ms
        solver = "full" if 2 * len(X) <= X.shape[1] else "covariance_eigh"
        self.pca_ = PCA(kept, whiten=self.whiten, svd_solver=solver).fit(X)
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Return the rows as principal components, float32, shape (n, at most `width`)."""
        return np.asarray(self.pca_.transform(X), dtype=np.float32)
