"""Fit a regression of one number per galaxy, such as redshift, in standardised units."""

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
    """Standardise a number of any unit, fit a regression to it, and predict in the original unit.

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

    def fit(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        rows: Rows | None = None,
        sample_weight: npt.NDArray[np.float64] | None = None,
    ) -> Self:
        """Fit the regression of finite numbers y (n, 1) on X (n, d), or on its `rows` (n,).

        Groups are accepted but not used: a regression is not calibrated on held-back rows.
        `sample_weight` (n,) weighs the rows, in mean and deviation too.

        Raises
        ------
        InputError
            All training galaxies have the same number.
        """
        X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        mean = np.average(y[:, 0], weights=sample_weight)
        variance = np.average((y[:, 0] - mean) ** 2, weights=sample_weight)
        self.mean_, self.scale_ = np.asarray(mean), np.asarray(np.sqrt(variance))
        # compare smallest and largest, because rounding can give equal numbers a
        # small standard deviation
        if y.min() == y.max():
            raise InputError(
                "training galaxies have one number",
                rule="have at least two different ones",
                found=float(y.min()),
            )
        rows = np.arange(len(y)) if rows is None else rows
        # standardise in double precision: single precision cannot resolve numbers near 1e9
        standard = ((y - self.mean_) / self.scale_).astype(np.float32)
        with threads_for(len(y) * X.shape[1]):
            weighted = {} if sample_weight is None else {"machine__sample_weight": sample_weight}
            self.estimator_ = clone(self.estimator).fit(take_rows(X, rows), standard, **weighted)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the predicted numbers in their original unit, float64, shape (n, 1)."""
        X = np.asarray(X)
        numbers = np.empty((len(X), 1))
        for start in range(0, len(X), BLOCK):
            # copy the rows, because the steps of the regressor change them in place
            block = np.array(X[start : start + BLOCK], dtype=np.float32, order="C")
            part = np.asarray(self.estimator_.predict(block), dtype=np.float64)
            numbers[start : start + BLOCK] = part.reshape(len(block), 1)
        return np.asarray(self.mean_ + self.scale_ * numbers)
