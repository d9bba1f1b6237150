"""Regress one number of each galaxy, such as its redshift, in units of its standard deviation."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin, clone

from gzfeatures.errors import InputError
from gzfeatures.features.matrices import BLOCK, take_rows
from gzfeatures.heads.estimators.transforms import threads_for
from gzfeatures.heads.folds import Rows


class NumberRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Regression of one number, whatever its unit: it is standardised while it is learned.

    Parameters
    ----------
    estimator : estimator
        Regressor of targets (n, 1); may change its rows in place.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64
        Mean and standard deviation of the training galaxies, shape ().
    estimator_ : estimator
        Fitted on the standardised number.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, groups: Any = None, rows: Rows | None = None) -> Self:
        """Fit on X (n, d), or its `rows` (n,), with finite numbers y (n, 1).

        Groups are taken and not used: a regression has no rows to hold back.

        Raises
        ------
        InputError
            All training galaxies have the same number.
        """
        X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        self.mean_, self.scale_ = np.asarray(y.mean()), np.asarray(y.std())
        # the deviation of equal numbers is not exactly 0
        if y.min() == y.max():
            raise InputError(
                "training galaxies have one number",
                rule="have at least two different ones",
                found=float(y.min()),
            )
        rows = np.arange(len(y)) if rows is None else rows
        # single precision is enough for a standardised number, not for one such as 1e9 + 1
        standard = ((y - self.mean_) / self.scale_).astype(np.float32)
        with threads_for(len(y) * X.shape[1]):
            self.estimator_ = clone(self.estimator).fit(take_rows(X, rows), standard)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the numbers in their own unit, float64, shape (n, 1)."""
        X = np.asarray(X)
        numbers = np.empty((len(X), 1))
        for start in range(0, len(X), BLOCK):
            # a copy: the steps of the regressor work in place
            block = np.array(X[start : start + BLOCK], dtype=np.float32, order="C")
            part = np.asarray(self.estimator_.predict(block), dtype=np.float64)
            numbers[start : start + BLOCK] = part.reshape(len(block), 1)
        return np.asarray(self.mean_ + self.scale_ * numbers)
