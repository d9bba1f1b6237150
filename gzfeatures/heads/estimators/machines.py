"""Define classifiers in single precision: support vector machines, linear, and class means.

`decision_function` returns one score per class, shape (n, k). A fitted machine has plain arrays
only: if Intel's accelerated scikit-learn fitted it, it predicts the same, and as fast, without that
library.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from gzfeatures.features.matrices import BLOCK, Matrix
from gzfeatures.heads.estimators.low_rank import kernel, least_squares

Codes = npt.NDArray[np.int64]
Weights = npt.NDArray[np.floating]
EXACT_UP_TO = 20_000
"""Largest number of rows for which an exact support vector machine is fitted."""
WIDTH = 200
"""Length of a standardised vector up to which γ is 1; longer ones have a smaller γ."""
CACHED = 256
"""Number of rows that a linear machine processes at once, so that they stay in the cache."""


def library(module: str, accelerated: bool) -> Any:
    """Import a module of Intel's accelerated scikit-learn; if not installed, of scikit-learn."""
    if accelerated:
        try:
            return importlib.import_module(f"sklearnex.{module}")
        except ImportError:
            pass
    # Intel's library is not installed, or not made for this platform: scikit-learn gives the same
    # result more slowly
    return importlib.import_module(f"sklearn.{module}")


class _Scored(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify rows by the class with the highest score; subclasses compute the scores."""

    classes_: Codes

    def decision_function(self, X: Matrix) -> Matrix:
        raise NotImplementedError

    def predict(self, X: Matrix) -> Codes:
        """Return the class with the highest score for each row, shape (n,)."""
        winners: Codes = self.classes_[self.decision_function(X).argmax(1)]
        return winners


def _spread(X: Matrix, mean: Any) -> float:
    """Return the mean squared distance of rows X (n, d) from a mean, a number or shape (d,)."""
    # sum in double precision, block by block: a sum of millions of float32 numbers is inaccurate,
    # and a copy of a large table needs too much memory
    rows = BLOCK // 16
    blocks = (X[start : start + rows] - mean for start in range(0, len(X), rows))
    return sum(float(np.vdot(block, block)) for block in blocks) / len(X)


def _kernel_scale(gamma: float | None, X: Matrix) -> float:
    """Convert γ from units of 1 / (d × variance of X) to the units of X; None is the default.

    The default is `WIDTH` / (d × variance of X), at most 1.
    """
    # few galaxies with long vectors are all about equally far from each other: with γ = 1 hardly
    # one is near enough to another to say anything of its class (measured in
    # `experiments/README.md`, "Defaults of heads")
    spread = max(_spread(X, X.mean(dtype=np.float64)), 1e-12)
    # principal components of standardised columns have the columns' variance: what counts is the
    # length before
    gamma = min(1.0, WIDTH / spread) if gamma is None else gamma
    return float(gamma / spread)


def _kernel_sum(X: Matrix, vectors: Matrix, gamma: float, weights: Matrix) -> Matrix:
    """Return Σ weight × exp(−γ‖x − vector‖²) over vectors, shape (n, m), in blocks of rows."""
    sums = np.empty((len(X), weights.shape[1]), dtype=np.float32)
    for start in range(0, len(X), BLOCK // 4):
        rows = np.ascontiguousarray(X[start : start + BLOCK // 4], dtype=np.float32)
        sums[start : start + len(rows)] = kernel(rows, vectors, gamma) @ weights
    return sums


class RbfMachine(_Scored):
    """Fit a support vector machine with a Gaussian kernel to each pair of classes.

    The score of a class is the sum of margins of its machines: finer than a count of votes, and one
    matrix product. The time grows with the square of the rows; beyond `EXACT_UP_TO` rows an
    approximation of low rank takes over (see `low_rank`), with the same penalty.

    Parameters
    ----------
    C : float
        Penalty of a galaxy on the wrong side.
    gamma : float, optional
        γ in units of 1 / (d × variance of X); default `WIDTH` / (d × variance of X), at most 1.
    accelerated : bool
        Use Intel's accelerated scikit-learn where it is installed.
    """

    def __init__(
        self, C: float = 10.0, gamma: float | None = None, accelerated: bool = True
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.accelerated = accelerated

    def fit(self, X: Matrix, y: Codes, sample_weight: Weights | None = None) -> Self:
        """Fit to rows X (n, d) with class codes y (n,) and optional weights of rows, shape (n,)."""
        self.gamma_ = _kernel_scale(self.gamma, X)
        svm = library("svm", self.accelerated)
        self.classes_, codes = np.unique(y, return_inverse=True)
        k = len(self.classes_)
        # the approximation for large tables cannot weigh rows: fit weighted rows exactly
        if len(y) > EXACT_UP_TO and sample_weight is None:
            self.vectors_, self.weights_, self.intercept_ = least_squares(
                X, codes, k, self.C, self.gamma_
            )
            return self
        weights, self.intercept_ = (
            np.zeros((len(y), k), dtype=np.float32),
            np.zeros(k, dtype=np.float32),
        )
        # with two classes, the margin is the difference of their scores: give each
        # score half of the margin
        margin = np.array([[-1, 1]], dtype=np.float32) / (2 if k == 2 else 1)
        # fit each pair of classes in a machine of its own: scikit-learn's joint fit
        # stores vectors several times
        for i, j in combinations(range(k), 2):
            pair = np.flatnonzero((codes == i) | (codes == j))
            weighted = {} if sample_weight is None else {"sample_weight": sample_weight[pair]}
            machine = svm.SVC(C=self.C, gamma=self.gamma_)
            machine.fit(X[pair], codes[pair] == j, **weighted)
            weights[np.ix_(pair[machine.support_], [i, j])] += (
                np.ravel(machine.dual_coef_)[:, None] * margin
            )
            self.intercept_[[i, j]] += np.ravel(machine.intercept_) * margin[0]
        used = np.flatnonzero(weights.any(1))
        self.vectors_, self.weights_ = X[used], weights[used]
        return self

    def decision_function(self, X: Matrix) -> Matrix:
        """Return the score of each class for each row, shape (n, k)."""
        return _kernel_sum(X, self.vectors_, self.gamma_, self.weights_) + self.intercept_


class RbfRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Fit support vector regressions of several numbers, and store them as plain arrays.

    Parameters
    ----------
    C, gamma, accelerated
        As in `RbfMachine`.
    epsilon : float
        Errors up to this size cost nothing.
    """

    def __init__(
        self,
        C: float = 3.0,
        gamma: float | None = None,
        epsilon: float = 0.05,
        accelerated: bool = True,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.epsilon = epsilon
        self.accelerated = accelerated

    def fit(self, X: Matrix, y: Matrix, sample_weight: Weights | None = None) -> Self:
        """Fit to rows X (n, d) with numbers y (n, m) and optional weights of rows, shape (n,)."""
        weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.gamma_ = _kernel_scale(self.gamma, X)
        machine = library("svm", self.accelerated).SVR(
            C=self.C, gamma=self.gamma_, epsilon=self.epsilon, cache_size=1000
        )
        weights = np.zeros(y.shape, dtype=np.float32)
        self.intercept_ = np.zeros(y.shape[1], dtype=np.float32)
        for c, target in enumerate(y.T):
            machine.fit(X, np.ascontiguousarray(target), **weighted)
            weights[machine.support_, c] = np.ravel(machine.dual_coef_)
            # scikit-learn-intelex returns no intercept if all numbers lie within epsilon of one
            # value; the best constant is then the middle of their range
            offset = np.ravel(machine.intercept_)
            self.intercept_[c] = offset[0] if len(offset) else (target.min() + target.max()) / 2
        used = np.flatnonzero(weights.any(1))
        self.vectors_, self.weights_ = X[used], weights[used]
        return self

    def predict(self, X: Matrix) -> Matrix:
        """Return the m predicted numbers of each row, shape (n, m)."""
        return _kernel_sum(X, self.vectors_, self.gamma_, self.weights_) + self.intercept_


class RidgeRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Fit linear regressions of several numbers with an L2 penalty, and store them as plain arrays.

    Parameters
    ----------
    alpha : float, optional
        Penalty; default the sum of the variances of X's columns, which is the length of
        standardised vectors.
    """

    def __init__(self, alpha: float | None = None) -> None:
        self.alpha = alpha

    def fit(self, X: Matrix, y: Matrix, sample_weight: Weights | None = None) -> Self:
        """Fit to rows X (n, d) with numbers y (n, m) and optional weights of rows, shape (n,)."""
        # the penalty competes with the leading components, whose variance grows with the number of
        # columns; a fixed penalty would be too weak for long vectors, or too strong for short ones
        alpha = _spread(X, X.mean(0, dtype=np.float64)) if self.alpha is None else self.alpha
        machine = Ridge(alpha, copy_X=False).fit(X, y, sample_weight)
        self.coef_ = np.atleast_2d(machine.coef_).astype(np.float32)
        self.intercept_ = np.atleast_1d(machine.intercept_).astype(np.float32)
        return self

    def predict(self, X: Matrix) -> Matrix:
        """Return the m predicted numbers of each row, shape (n, m)."""
        # sum in double precision: in single, the last digits of a galaxy's number would depend on
        # its place in the table, for matrix products add in several orders
        wide = np.asarray(X, dtype=np.float64) @ self.coef_.T.astype(np.float64)
        return np.asarray(wide + self.intercept_, dtype=np.float32)


class LinearMachine(_Scored):
    """Classify by linear scores with an L2 penalty; the scores of all classes are fitted together.

    Parameters
    ----------
    loss : {"softmax", "squared-hinge"}
        Multinomial logistic regression, or a support vector machine per class against the rest.
    C : float
        Inverse of the penalty, as in scikit-learn: Σ loss + ‖W‖² / (2 C).
    tolerance : float
        Fit ends when no component of the mean loss's gradient exceeds it.
    iterations : int
        Largest number of steps.
    """

    def __init__(
        self,
        loss: Literal["softmax", "squared-hinge"] = "softmax",
        C: float = 0.01,
        tolerance: float = 1e-4,
        iterations: int = 300,
    ) -> None:
        self.loss = loss
        self.C = C
        self.tolerance = tolerance
        self.iterations = iterations

    def fit(self, X: Matrix, y: Codes, sample_weight: Weights | None = None) -> Self:
        """Fit to rows X (n, d) with class codes y (n,) and optional weights of rows, shape (n,)."""
        self.classes_ = np.unique(y)
        (n, d), k = X.shape, len(self.classes_)
        truth = np.asarray(y[:, None] == self.classes_, dtype=np.float32)
        weight = (
            np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        )
        # C multiplies the sum of losses, as in scikit-learn; divide all by Σ weight, so that the
        # gradient does not grow with n
        share = (weight / weight.sum()).astype(np.float32)[:, None]
        penalty = 1 / (self.C * weight.sum())
        slope = _softmax_slope if self.loss == "softmax" else _hinge_slope

        # loop over blocks of rows that fit in the processor's cache: each row is
        # read from memory only once
        def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            W = flat.reshape(k, d + 1).astype(np.float32)
            total, step = 0.0, np.zeros_like(W)
            for start in range(0, n, CACHED):
                part = X[start : start + CACHED]
                scores = (W[:, :d] @ part.T).T + W[:, d]
                loss, gradient = slope(
                    scores, truth[start : start + CACHED], share[start : start + CACHED]
                )
                total += loss
                step[:, :d] += gradient.T @ part
                step[:, d] += gradient.sum(0)
            step[:, :d] += penalty * W[:, :d]
            return total + 0.5 * penalty * float((W[:, :d] ** 2).sum()), step.astype(
                np.float64
            ).ravel()

        options = {"maxiter": self.iterations, "gtol": self.tolerance, "ftol": 1e-7, "maxcor": 10}
        # use one thread: the products are so small that a second thread takes
        # longer to start than to compute
        with threadpool_limits(1):
            optimum = minimize(
                objective, np.zeros((d + 1) * k), jac=True, method="L-BFGS-B", options=options
            )
        if optimum.nit >= self.iterations:
            warnings.warn(
                f"no convergence in {self.iterations} steps; raise 'iterations'", stacklevel=2
            )
        # store the weights as (d, k): the scores of many rows are then one matrix product
        solution = optimum.x.reshape(k, d + 1).T.astype(np.float32)
        self.coefficients_, self.intercept_ = np.ascontiguousarray(solution[:d]), solution[d]
        self.steps_ = int(optimum.nit)
        return self

    def decision_function(self, X: Matrix) -> Matrix:
        """Return the score of each class for each row, shape (n, k)."""
        return np.asarray(X @ self.coefficients_ + self.intercept_, dtype=np.float32)


Slope = Callable[[Matrix, Matrix, Matrix], tuple[float, Matrix]]


def _softmax_slope(scores: Matrix, truth: Matrix, share: Matrix) -> tuple[float, Matrix]:
    """Return the weighted mean of −ln p of the true class, and its derivative by the scores."""
    scores = scores - scores.max(1, keepdims=True)
    odds = np.exp(scores)
    total = odds.sum(1, keepdims=True)
    logs = (truth * scores).sum(1, keepdims=True) - np.log(total)
    return -float((share * logs).sum(dtype=np.float64)), share * (odds / total - truth)


def _hinge_slope(scores: Matrix, truth: Matrix, share: Matrix) -> tuple[float, Matrix]:
    """Return the squared hinge loss (class against rest, weighted), and its slope by score."""
    sign = 2 * truth - 1
    # max(0, 1 − y·score)², the L2 loss of LIBLINEAR (Fan+2008, JMLR 9, 1871)
    short = np.maximum(1 - sign * scores, 0)
    return float((share * short**2).sum(dtype=np.float64)), -2 * share * sign * short


class Prototype(_Scored):
    """Classify by the nearest class mean: scores are −½ distance² / √d plus a constant per row."""

    def fit(self, X: Matrix, y: Codes, sample_weight: Weights | None = None) -> Self:
        """Fit to rows X (n, d) with class codes y (n,) and optional weights of rows, shape (n,)."""
        self.classes_ = np.unique(y)
        if sample_weight is None:
            means = [X[y == code].mean(0) for code in self.classes_]
        else:
            shares = (np.where(y == code, sample_weight, 0.0) for code in self.classes_)
            means = [np.asarray(share / share.sum(), dtype=np.float32) @ X for share in shares]
        self.means_: Matrix = np.stack(means)
        return self

    def decision_function(self, X: Matrix) -> Matrix:
        """Return the score of each class for each row, shape (n, k)."""
        scores = X @ self.means_.T - 0.5 * (self.means_**2).sum(1)
        return np.asarray(scores / np.sqrt(X.shape[1]), dtype=np.float32)
