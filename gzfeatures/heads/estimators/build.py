"""Build an unfitted scikit-learn estimator from a head's name and parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from gzfeatures.errors import InputError
from gzfeatures.features.matrices import BLOCK, Matrix, take_rows
from gzfeatures.heads.estimators._compat_sklearn import without_optimizer
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.heads.estimators.machines import (
    LinearMachine,
    Prototype,
    RbfMachine,
    RbfRegression,
    RidgeRegression,
)
from gzfeatures.heads.estimators.transforms import Compress, Fill, Standardise, threads_for
from gzfeatures.heads.folds import Groups, Rows, folds_of
from gzfeatures.heads.trees import BoostedTrees


def build(name: str, task: str, seed: int, parameters: Mapping[str, Any]) -> BaseEstimator:
    """Build the unfitted estimator of a head from the head's name and all its parameters."""
    machine = _MACHINES[name](parameters, seed)
    if name == "ensemble":
        steps: Any = machine
    else:
        fill = [("fill", Fill())] if parameters["impute"] else []
        compress = (
            [("compress", Compress(parameters["pca"], parameters["whiten"]))]
            if parameters["pca"]
            else []
        )
        steps = Pipeline([*fill, ("standardise", Standardise()), *compress, ("machine", machine)])
    if task == "fractions":
        return Answers(steps)
    return Calibrated(
        steps,
        "decision_function"
        if isinstance(machine, (RbfMachine, LinearMachine, Prototype))
        else "predict_proba",
        parameters["calibration"],
        class_weight=parameters["class_weight"],
        seed=seed,
    )


class Answers(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predict several vote fractions; fit each fraction to the galaxies for which it is known.

    Parameters
    ----------
    estimator : estimator
        Regressor of several numbers at once; it may overwrite the rows it is given.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, groups: Any = None, rows: Rows | None = None) -> Self:
        """Fit regressions of vote fractions y (n, m), NaN if unknown, on X (n, d) or its `rows`.

        Groups are accepted but not used: a regression is not calibrated on held-back rows.

        Raises
        ------
        InputError
            The vote fraction of an answer is known for fewer than two galaxies.
        """
        X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.float64)
        known = np.isfinite(y)
        if (known.sum(0) < 2).any():
            raise InputError(
                "answer is known on too few galaxies",
                where=f"answer {int(known.sum(0).argmin())}",
                rule="be known on two",
            )
        rows = np.arange(len(y)) if rows is None else rows
        # fit one regression for all vote fractions that are known for the same galaxies
        patterns, owner = np.unique(known, axis=1, return_inverse=True)
        self.n_features_in_, self.n_answers_ = X.shape[1], y.shape[1]
        self.answers_ = [np.flatnonzero(owner == p) for p in range(patterns.shape[1])]
        with threads_for(len(y) * X.shape[1]):
            self.estimators_ = []
            for pattern, answers in zip(patterns.T, self.answers_, strict=True):
                asked = np.flatnonzero(pattern)
                fractions = y[np.ix_(asked, answers)].astype(np.float32)
                regressor = clone(self.estimator).fit(take_rows(X, rows[asked]), fractions)
                self.estimators_.append(regressor)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return predicted vote fractions, clipped to [0, 1], float64, shape (n, m)."""
        X = np.asarray(X)
        fractions = np.empty((len(X), self.n_answers_))
        for start in range(0, len(X), BLOCK):
            for answers, estimator in zip(self.answers_, self.estimators_, strict=True):
                rows = np.array(X[start : start + BLOCK], dtype=np.float32, order="C")
                part = np.asarray(estimator.predict(rows)).reshape(len(rows), len(answers))
                fractions[start : start + BLOCK, answers] = part
        return np.clip(fractions, 0, 1)


class Flags(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Predict several yes-or-no labels per galaxy, each by a calibrated classifier of its own.

    Parameters
    ----------
    estimator : Calibrated
        Unfitted classifier, of which each label gets a copy.
    """

    def __init__(self, estimator: Calibrated) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, groups: Groups | None = None, rows: Rows | None = None) -> Self:
        """Fit one classifier per label to X (n, d) or its `rows` (n,), with y (n, k) of 0 or 1."""
        y = np.asarray(y, dtype=np.int64)
        self.n_features_in_ = X.shape[1]
        self.constant_ = np.where(y.min(0) == y.max(0), y[0].astype(float), np.nan)
        self.estimators_ = [
            clone(self.estimator).fit(X, y[:, c], groups, rows)
            for c in np.flatnonzero(np.isnan(self.constant_))
        ]
        return self

    @property
    def unchecked(self) -> tuple[int, ...]:
        """Return the labels of which no galaxy with, or none without, was left to calibrate on."""
        learned = np.flatnonzero(np.isnan(self.constant_)).tolist()
        pairs = zip(learned, self.estimators_, strict=True)
        return tuple(c for c, each in pairs if len(getattr(each, "unchecked_", ())))

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each label, float64, shape (n, k)."""
        p = np.tile(self.constant_, (len(X), 1))
        for c, estimator in zip(
            np.flatnonzero(np.isnan(self.constant_)), self.estimators_, strict=True
        ):
            p[:, c] = estimator.predict_proba(X)[:, 1]
        return p


class Ensemble(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Combine several calibrated classifiers: mean of their probabilities, or a regression on them.

    Parameters
    ----------
    members : sequence of (name, estimator)
        Unfitted classifiers.
    combine : {"soft", "stack"}
        Mean of the classifiers' probabilities; or a logistic regression on the logarithms of these,
        fitted to rows that the classifiers were not fitted to.
    seed : int
        Seed of the held-back rows.
    """

    def __init__(
        self,
        members: Sequence[tuple[str, Any]],
        combine: Literal["soft", "stack"] = "soft",
        seed: int = 0,
    ) -> None:
        self.members = members
        self.combine = combine
        self.seed = seed

    def fit(self, X: Matrix, y: npt.NDArray[np.int64]) -> Self:
        """Fit all classifiers of the ensemble to rows X (n, d) with class codes y (n,)."""
        self.classes_ = np.unique(y)
        everything = np.arange(len(y))
        folds = (
            folds_of(y, None, 5, self.seed)
            if self.combine == "stack"
            else [(everything, everything[:0])]
        )
        # the combining regression is fitted to held-back rows and learns only classes in these
        # rows: hold back the fold with most classes
        rest, part = max(folds, key=lambda fold: len(np.unique(y[fold[1]])))
        self.members_ = [clone(member).fit(X[rest], y[rest]) for _, member in self.members]
        self.judge_ = (
            LinearMachine(C=1.0).fit(self._member_logs(X[part]), y[part]) if len(part) else None
        )
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Return the ensemble's probability of each class, shape (n, k)."""
        logs = self._member_logs(X)
        p = np.exp(logs).reshape(len(X), len(self.members_), len(self.classes_)).mean(1)
        if self.judge_ is not None:
            # the combining regression does not know a class without held-back rows: the class gets
            # the mean probability of all classifiers instead
            columns = np.searchsorted(self.classes_, self.judge_.classes_)
            whole = p[:, columns].sum(1, keepdims=True)
            p[:, columns] = (
                softmax(self.judge_.decision_function(logs).astype(np.float64), axis=1) * whole
            )
        return np.asarray(p / p.sum(1, keepdims=True), dtype=np.float64)

    def _member_logs(self, X: Matrix) -> Matrix:
        """Return the log probabilities of all classifiers as one matrix, shape (n, members·k)."""
        return np.hstack(
            [np.log(np.maximum(member.predict_proba(X), 1e-7)) for member in self.members_]
        ).astype(np.float32)


class Neighbours(KNeighborsClassifier):  # type: ignore[misc]
    """Classify by nearest neighbours, plus one vote shared equally by all classes."""

    def fit(self, X: Matrix, y: npt.NDArray[np.int64]) -> Self:
        """Fit to rows X (n, d) with class codes y (n,); refuse fewer rows than neighbours.

        If the head is calibrated, only a part of the galaxies is fitted; this part must be enough.
        """
        # scikit-learn would raise an unclear error, and only at the first prediction
        if len(X) < self.n_neighbors:
            raise InputError(
                f"head knn needs {self.n_neighbors} neighbours, but has fewer galaxies",
                rule="have as many galaxies in each part of the training galaxies that is fitted",
                found=len(X),
                remedy="use fewer with --set neighbours=N, or label more galaxies",
            )
        super().fit(X, y)
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Return the probability of each class, above 0, shape (n, k).

        It is the class's share of the votes of the nearest neighbours and of one further vote,
        which all classes share equally.
        """
        share = super().predict_proba(X)
        return np.asarray(
            (share * self.n_neighbors + 1 / share.shape[1]) / (self.n_neighbors + 1),
            dtype=np.float64,
        )


class Perceptron(MLPClassifier):  # type: ignore[misc]
    """Train scikit-learn's network for a fixed number of epochs; hide its convergence warning."""

    def fit(self, X: Matrix, y: npt.NDArray[np.int64]) -> Self:
        """Fit the network to rows X (n, d) with class codes y (n,)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        without_optimizer(self)
        return self


def _ensemble(parameters: Mapping[str, Any], seed: int) -> Ensemble:
    # calibrate each member on held-back rows (`crossed_below=0`): cross-validation inside the
    # ensemble's cross-validation would need 30 fits
    built = [
        (name, build(name, task, seed, complete).set_params(crossed_below=0))
        for name, task, complete in parameters["members"]
    ]
    return Ensemble(built, parameters["combine"], seed)


def _trees(
    kind: Literal["XGBClassifier", "XGBRegressor"],
) -> Callable[[Mapping[str, Any], int], Any]:
    names = ("rounds", "depth", "rate", "columns", "bins", "device")
    return lambda p, seed: BoostedTrees(kind, **{name: p[name] for name in names}, seed=seed)


_MACHINES: dict[str, Callable[[Mapping[str, Any], int], Any]] = {
    "logistic": lambda p, seed: LinearMachine("softmax", p["C"], p["tolerance"], p["iterations"]),
    "svm": lambda p, seed: RbfMachine(p["C"], p["gamma"], p["accelerated"]),
    "linear-svm": lambda p, seed: LinearMachine(
        "squared-hinge", p["C"], p["tolerance"], p["iterations"]
    ),
    "xgboost": _trees("XGBClassifier"),
    "knn": lambda p, seed: Neighbours(
        p["neighbours"], weights="distance", metric="cosine", algorithm="brute"
    ),
    "lda": lambda p, seed: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=p["shrinkage"]),
    "mlp": lambda p, seed: Perceptron(
        (p["hidden"],), alpha=p["alpha"], max_iter=p["epochs"], random_state=seed
    ),
    "prototype": lambda p, seed: Prototype(),
    "ensemble": _ensemble,
    "ridge": lambda p, seed: RidgeRegression(p["alpha"]),
    "svr": lambda p, seed: RbfRegression(p["C"], p["gamma"], p["epsilon"], p["accelerated"]),
    "xgboost-regression": _trees("XGBRegressor"),
}
