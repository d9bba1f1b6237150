"""Offer every head as a scikit-learn estimator, for pipelines and parameter searches.

Each entry of `HEADS` becomes a class with the same parameter names and defaults. Unlike the
estimators inside a `Head`, these classes check their arguments, accept labels of any type, and
remember the names of their columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from gzfeatures.errors import InputError
from gzfeatures.heads.estimators.numbers import NumberRegression
from gzfeatures.heads.estimators.registry import HEADS, recipe
from gzfeatures.heads.folds import group_numbers

UNWEIGHTED = ("knn", "lda", "mlp", "ensemble")
"""Heads whose method cannot weigh rows: their `fit` has no `sample_weight`."""
INSIDE = {"enable_metadata_routing": False, "transform_output": "default"}
"""Settings of scikit-learn for the steps inside a head, in place of the user's settings."""


class _HeadEstimator(BaseEstimator):  # type: ignore[misc]
    """Check rows and targets as scikit-learn requires, and build the head to fit."""

    head: ClassVar[str]

    def _built(self, classes: npt.NDArray[Any] | None = None) -> Any:
        """Build the unfitted head with the parameters of this estimator."""
        parameters = self.get_params(deep=False)
        seed = parameters.pop("seed")
        weights = parameters.get("class_weight")
        if isinstance(weights, Mapping) and classes is not None:
            parameters["class_weight"] = _by_code(weights, classes)
        return recipe(self.head)(seed, **parameters)

    def _rows(self, X: Any, **how: Any) -> npt.NDArray[np.float32]:
        """Return checked rows, float32, shape (n, d); NaN is allowed if the head replaces it.

        A masked entry counts as NaN: without its mask it would be a number that nobody measured.
        """
        if np.ma.is_masked(X):
            X = np.ma.filled(X.astype(np.float32), np.nan)
        finite = "allow-nan" if self.get_params(deep=False)["impute"] else True
        rows: npt.NDArray[np.float32] = validate_data(
            self, X, dtype=np.float32, ensure_all_finite=finite, **how
        )
        return rows

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags, which say what input this estimator accepts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(self.get_params(deep=False)["impute"])
        return tags


class HeadClassifier(ClassifierMixin, _HeadEstimator):  # type: ignore[misc]
    """Classify vectors with a head, by calibrated probabilities; labels may be of any type.

    Attributes
    ----------
    classes_ : ndarray
        Labels in rising order, shape (k,).
    estimator_ : Calibrated
        The fitted head, which knows the labels as codes 0…k−1.
    n_features_in_ : int
        Length of a row.
    feature_names_in_ : ndarray of str
        Names of the columns, if they were given in a DataFrame.
    """

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit the head to rows X and their labels y.

        Parameters
        ----------
        X : array-like of numbers
            Shape (n, d), finite; NaN for a gap with `impute=True`.
        y : array-like
            Label of each row, shape (n,): text, whole numbers or booleans.
        groups : array-like, optional
            Group of each row, shape (n,): no group is on both sides when the head is calibrated. A
            row whose group is missing (None, NaN, masked or blank) is a group of its own.

        Raises
        ------
        ValueError
            Rows or labels are not as described, or there is one class only.
        """
        return self._fit(X, y, groups, None)

    def _fit(self, X: Any, y: Any, groups: Any, sample_weight: Any) -> Self:
        """Check rows, labels, groups and weights, and fit the head to them."""
        _require_targets(y)
        rows = self._rows(X, ensure_min_samples=2)
        check_consistent_length(rows, y)
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        kept, weights, members = _counting_rows(rows, sample_weight, groups)
        self.classes_, codes = np.unique(labels[kept], return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                "labels have one class", rule="have at least two", found=str(self.classes_[0])
            )
        weighted = {} if weights is None else {"sample_weight": weights}
        with config_context(**INSIDE):
            built = self._built(self.classes_)
            self.estimator_ = built.fit(rows[kept], codes, members, **weighted)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the calibrated probability of each class, float64, shape (n, k).

        Parameters
        ----------
        X : array-like of numbers
            Shape (n, d).
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        with config_context(**INSIDE):
            probabilities: npt.NDArray[np.float64] = self.estimator_.predict_proba(rows)
        return probabilities

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable label of each row, shape (n,).

        Parameters
        ----------
        X : array-like of numbers
            Shape (n, d).
        """
        probabilities = self.predict_proba(X)
        labels: npt.NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return labels


class WeightedHeadClassifier(HeadClassifier):
    """Classify vectors with a head whose training rows can have weights."""

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Fit the head to rows X and labels y, with optional weights of rows.

        Parameters
        ----------
        X : array-like of numbers
            Shape (n, d), finite; NaN for a gap with `impute=True`.
        y : array-like
            Label of each row, shape (n,): text, whole numbers or booleans.
        groups : array-like, optional
            Group of each row, shape (n,): no group is on both sides when the head is calibrated. A
            row whose group is missing (None, NaN, masked or blank) is a group of its own.
        sample_weight : array-like of numbers, optional
            Weight of each row, shape (n,), not negative; a row of weight 0 is left out.

        Raises
        ------
        ValueError
            Rows, labels or weights are not as described, or there is one class only.
        """
        return self._fit(X, y, groups, sample_weight)


class HeadRegressor(RegressorMixin, _HeadEstimator):  # type: ignore[misc]
    """Predict one number per row with a head.

    The head is fitted to numbers scaled to mean 0 and standard deviation 1, and predicts in the
    original unit.

    Attributes
    ----------
    estimator_ : NumberRegression
        The fitted head.
    n_features_in_ : int
        Length of a row.
    feature_names_in_ : ndarray of str
        Names of the columns, if they were given in a DataFrame.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the head to rows X and their numbers y, with optional weights of rows.

        Parameters
        ----------
        X : array-like of numbers
            Shape (n, d), finite; NaN for a gap with `impute=True`.
        y : array-like of numbers
            Number of each row, shape (n,), finite, in any unit.
        sample_weight : array-like of numbers, optional
            Weight of each row, shape (n,), not negative; a row of weight 0 is left out.

        Raises
        ------
        ValueError
            Rows, numbers or weights are not as described, or all numbers are equal.
        """
        _require_targets(y)
        rows = self._rows(X, ensure_min_samples=2)
        check_consistent_length(rows, y)
        numbers = np.asarray(column_or_1d(y, warn=True), dtype=np.float64)
        assert_all_finite(numbers, input_name="y")
        kept, weights, _ = _counting_rows(rows, sample_weight, None)
        with config_context(**INSIDE):
            regression = NumberRegression(self._built().estimator)
            self.estimator_ = regression.fit(
                rows[kept], numbers[kept][:, None], sample_weight=weights
            )
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the predicted number of each row, float64, shape (n,).

        Parameters
        ----------
        X : array-like of numbers
            Shape (n, d).
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        with config_context(**INSIDE):
            numbers: npt.NDArray[np.float64] = self.estimator_.predict(rows)[:, 0]
        return numbers


def _require_targets(y: Any) -> None:
    """Refuse a missing or masked y, with the text that scikit-learn's own tests expect for None."""
    if y is None:
        raise ValueError("this head requires y to be passed, but the target y is None")
    _require_unmasked(y, "y")


def _require_unmasked(values: Any, name: str) -> None:
    """Refuse masked entries: scikit-learn drops a mask, and would fit the numbers below it."""
    if np.ma.is_masked(values):
        raise InputError(
            name,
            rule="have no masked entries",
            found=int(np.ma.getmaskarray(values).sum()),
            remedy="leave these rows out",
        )


def _counting_rows(
    rows: npt.NDArray[np.float32], sample_weight: Any, groups: Any
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64] | None, npt.NDArray[Any] | None]:
    """Return the indices, weights and groups of the rows with a weight above 0."""
    members = None
    if groups is not None:
        # check the shape on a copy: as an array of text, a missing group would become the group
        # "nan", and as an array of numbers a masked one would become known
        check_consistent_length(rows, column_or_1d(groups))
        members = group_numbers(groups if np.ndim(groups) == 1 else np.ma.ravel(groups))
    if sample_weight is None:
        return np.arange(len(rows)), None, members
    _require_unmasked(sample_weight, "sample_weight")
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(len(rows), float(weights))
    if weights.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    check_consistent_length(rows, weights)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError("sample_weight", rule="be finite, not negative, and not zero in every row")
    # remove rows of weight 0: they must not influence even a fold or a mean
    kept = np.flatnonzero(weights)
    return kept, weights[kept], None if members is None else members[kept]


def _by_code(weights: Mapping[Any, float], classes: npt.NDArray[Any]) -> dict[int, float]:
    """Replace labels by class codes in class weights; refuse a label that no row has."""
    labels = classes.tolist()
    for label in weights:
        if label not in labels:
            raise InputError(
                "class_weight", rule=f"name labels of {', '.join(map(str, labels))}", found=label
            )
    return {labels.index(label): float(weight) for label, weight in weights.items()}


def _class_of(name: str) -> type[_HeadEstimator]:
    """Make the scikit-learn class of a head, with the head's parameters as arguments."""
    kind = HEADS[name]
    base: type[_HeadEstimator] = HeadRegressor
    if kind.task == "classes":
        base = HeadClassifier if name in UNWEIGHTED else WeightedHeadClassifier
    defaults = {**kind.defaults, **kind.of_numbers, "seed": 0}
    fields = [(key, Any, dataclasses.field(default=value)) for key, value in defaults.items()]
    title = "".join(word.capitalize() for word in name.split("-")) + "Head"
    listed = "\n".join(f"    {key} : default {value!r}" for key, value in defaults.items())
    made = dataclasses.make_dataclass(
        title, fields, bases=(base,), eq=False, repr=False, namespace={"head": name}
    )
    # this class is made at run time: set its module and name, by which pickle finds it
    made.__module__, made.__qualname__ = __name__, title
    about = "Predict one number by" if base is HeadRegressor else "Classify vectors by"
    parameters = f"    Parameters\n    ----------\n{listed}"
    made.__doc__ = f"{about} the head {name}: {kind.about}.\n\n{parameters}"
    return made


ESTIMATORS: dict[str, type[_HeadEstimator]] = {name: _class_of(name) for name in HEADS}
"""Scikit-learn class of each head, by the head's name."""
globals().update({kind.__name__: kind for kind in ESTIMATORS.values()})


def estimator(head: str, **parameters: Any) -> Any:
    """Return the head with this name as an unfitted scikit-learn estimator.

    Parameters
    ----------
    head : str
        Name in `HEADS`.
    **parameters
        Parameters of the head (`HEADS[head].defaults`), and `seed`.

    Returns
    -------
    estimator
        Classifier or regressor for pipelines, searches and cross-validation; `fit` accepts labels
        of any type, `groups` and, if the method can weigh rows, `sample_weight`.

    Raises
    ------
    UnknownNameError
        There is no such head.
    InputError
        The head has no such parameter.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = make_blobs(90, random_state=0, cluster_std=0.5)
    >>> bool(cross_val_score(estimator("logistic", C=1.0), X, y, cv=3).mean() > 0.9)
    True
    """
    kind = recipe(head)
    kind.complete({key: value for key, value in parameters.items() if key != "seed"})
    return ESTIMATORS[head](**parameters)
