"""Calibrate a classifier's probabilities on training galaxies that it was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.isotonic import IsotonicRegression

from gzfeatures.errors import InputError
from gzfeatures.features.matrices import BLOCK, Matrix, take_rows
from gzfeatures.heads.estimators.transforms import threads_for
from gzfeatures.heads.folds import Groups, Rows, folds_of

Method = Literal["platt", "isotonic", "temperature", "none"]
Weighting = Literal["balanced", "macro-f1"] | Mapping[int, float] | None
Scores = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
RowWeights = npt.NDArray[np.float64]
_TINY = 1e-7
_FACTORS = tuple(
    sorted((2 ** (step / 4) for step in range(-16, 17)), key=lambda factor: abs(np.log2(factor)))
)
"""Factors that `weights_for_macro_f1` tries as class weights, smallest changes first."""


class Calibrated(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fit a classifier and calibrate its probabilities; the input rows stay unchanged.

    For a large table, a share of the rows is held back from the fit, and calibrates the classifier.
    A small table (`crossed_below`) has no rows to spare: each row is scored by cross-validation,
    and the final classifier is fitted to all rows. In both cases rows of one group stay together,
    and classes keep their shares.

    Parameters
    ----------
    estimator : estimator
        Unfitted classifier; it may overwrite the rows it is given.
    output : {"decision_function", "predict_proba"}
        Method of the classifier to calibrate: scores of the classes, or their probabilities (of
        which the logarithms are calibrated).
    method : {"platt", "isotonic", "temperature", "none"}
        platt: softmax(a·score + b_class), the sigmoid of Platt (1999) for k classes. isotonic: the
        same, then a monotone function for each class (Zadrozny & Elkan 2002,
        doi:10.1145/775047.775151). temperature: softmax(score / T) (Guo+2017, arXiv:1706.04599).
        none: no calibration.
    share : float
        Share of rows held back, in (0, 0.5].
    crossed_below : int
        Tables with fewer rows are calibrated by cross-validation.
    class_weight : None, "balanced", "macro-f1" or mapping of code to weight
        Weight w of each class: the probabilities become those of a sample in which the class is w
        times more common, by Bayes' rule (Saerens+2002, doi:10.1162/089976602753284446, eq. 4).
        "macro-f1" chooses the weights on the rows to which the calibration is fitted (see
        `weights_for_macro_f1`).
    seed : int
        Seed of the held-back share.
    """

    def __init__(
        self,
        estimator: Any,
        output: Literal["decision_function", "predict_proba"] = "decision_function",
        method: Method = "platt",
        share: float = 0.15,
        crossed_below: int = 2000,
        class_weight: Weighting = None,
        seed: int = 0,
    ) -> None:
        self.estimator = estimator
        self.output = output
        self.method = method
        self.share = share
        self.crossed_below = crossed_below
        self.class_weight = class_weight
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any,
        groups: Groups | None = None,
        rows: Rows | None = None,
        sample_weight: RowWeights | None = None,
    ) -> Self:
        """Fit classifier and calibration to X and class codes y (n,); a group stays in one fold.

        X has shape (n, d), or has more rows of which `rows` (n,) are used: so a large table need
        not be copied. `sample_weight` (n,) weighs rows in the classifier, in its calibration and in
        the balance of classes.

        Raises
        ------
        InputError
            There is only one class; the method is unknown; or "macro-f1" weights are asked for
            without a calibration.
        """
        with threads_for(len(y) * np.shape(X)[1]):
            rows_of_table = np.asarray(X, dtype=np.float32)
            return self._fit(rows_of_table, np.asarray(y), groups, rows, sample_weight)

    def _fit(
        self,
        X: Matrix,
        y: npt.NDArray[Any],
        groups: Groups | None,
        rows: Rows | None,
        weights: RowWeights | None,
    ) -> Self:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._require_fit_options()
        self.n_features_in_ = X.shape[1]
        n, k = len(codes), len(self.classes_)
        rows = np.arange(n) if rows is None else rows
        self.scale_, self.bias_ = 1.0, np.zeros(k)
        self.steps_: list[Scores] = []
        # calibrate on rows to which the classifier was not fitted: on its own training rows it
        # seems more certain than it is on new galaxies
        if self.method == "none":
            self._learn(take_rows(X, rows), codes, weights)
            scores, truth, judged = np.empty((0, k)), codes[:0], np.arange(0)
        elif n >= self.crossed_below and (fold := self._held_back(codes, groups)) is not None:
            rest, judged = fold
            self._learn(take_rows(X, rows[rest]), codes[rest], _of_rows(weights, rest))
            scores, truth = self._scores_of(X, rows[judged]), codes[judged]
        else:
            # too few rows to hold some back: score each row by cross-validation,
            # then fit the classifier to all
            order, parts = [], []
            for rest, part in folds_of(codes, groups, 5, self.seed):
                self._learn(X[rows[rest]], codes[rest], _of_rows(weights, rest))
                # this fold's classifier cannot score a class that has no rows in its training part
                scored = part[np.isin(codes[part], self.known_)]
                parts.append(self._scores(X[rows[scored]], k) if len(scored) else np.empty((0, k)))
                order.append(scored)
            self._learn(X[rows], codes, weights)
            scores, judged = np.concatenate(parts), np.concatenate(order)
            truth = codes[judged]
        self.unchecked_ = (
            np.setdiff1d(np.arange(k), truth) if self.method != "none" else np.arange(0)
        )
        if len(truth):
            self._calibrate(scores, truth, _of_rows(weights, judged))
        # class weights multiply calibrated probabilities, so choose them after the calibration
        if self.class_weight == "macro-f1":
            self.weights_ = weights_for_macro_f1(self._probabilities(scores), truth)
        else:
            self.weights_ = self._class_weights(np.bincount(codes, weights, minlength=k))
        return self

    def _require_fit_options(self) -> None:
        """Refuse labels of a single class, and unknown or incompatible options."""
        if len(self.classes_) < 2:
            raise InputError(
                "labels have one class", rule="have at least two", found=str(self.classes_[0])
            )
        if self.method not in ("platt", "isotonic", "temperature", "none"):
            raise InputError(
                "calibration",
                rule="be one of platt, isotonic, temperature, none",
                found=self.method,
            )
        if self.method == "none" and self.class_weight == "macro-f1":
            raise InputError(
                "class weights for macro F1", rule="go with a calibration: both need rows held back"
            )

    def _held_back(self, codes: Codes, groups: Groups | None) -> tuple[Rows, Rows] | None:
        """Return rows to fit, with all classes, and rows to calibrate on; None if impossible."""
        k = len(self.classes_)
        folds = folds_of(codes, groups, max(2, round(1 / self.share)), self.seed)
        whole = [fold for fold in folds if len(np.unique(codes[fold[0]])) == k and len(fold[1])]
        return max(whole, key=lambda fold: len(np.unique(codes[fold[1]]))) if whole else None

    def recalibrate(self, X: Any, y: Any) -> Self:
        """Fit the calibration again, on galaxies that neither head nor backbone was trained on.

        For galaxies that the backbone was trained on, a head is too certain; after a calibration on
        them, probabilities of new galaxies are too high. `method` and class weights stay the same;
        a classifier with `method` none stays uncalibrated.

        Parameters
        ----------
        X : ndarray of float32
            Rows, shape (n, d).
        y : ndarray of int
            Class of each row, one of `classes_`, shape (n,).

        Raises
        ------
        InputError
            A class is not one of `classes_`.
        """
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            raise InputError(
                "class to calibrate on",
                rule=f"be one of {', '.join(map(str, self.classes_))}",
                found=str(strange[0]),
            )
        rows = np.asarray(X, dtype=np.float32)
        if self.method == "none":
            return self
        codes, k = np.searchsorted(self.classes_, y), len(self.classes_)
        self.scale_, self.bias_, self.steps_ = 1.0, np.zeros(k), []
        self._calibrate(self._scores_of(rows), codes)
        self.unchecked_ = np.setdiff1d(np.arange(k), codes)
        return self

    def _learn(self, X: Matrix, codes: Codes, weights: RowWeights | None) -> None:
        """Fit the classifier to class codes renumbered without gaps: a fold may lack a class."""
        self.known_, compact = np.unique(codes, return_inverse=True)
        weighted = {} if weights is None else {"machine__sample_weight": weights}
        self.estimator_ = clone(self.estimator).fit(X, compact, **weighted)

    def predict_proba(self, X: Any) -> Scores:
        """Return the calibrated probability of each class, float64, shape (n, k)."""
        p = self._probabilities(self._scores_of(X)) * self.weights_
        p /= p.sum(1, keepdims=True)
        return p

    def uncalibrated(self, X: Any) -> Scores:
        """Return class probabilities before the calibration, shape (n, k)."""
        return np.asarray(softmax(self._scores_of(X), axis=1), dtype=np.float64)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each row, shape (n,)."""
        winners: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return winners

    def _scores_of(self, X: Any, rows: Rows | None = None) -> Scores:
        """Return the classifier's class scores of rows, computed block by block, shape (n, k)."""
        X, k = np.asarray(X), len(self.classes_)
        rows = np.arange(len(X)) if rows is None else rows
        if not len(rows):
            return np.empty((0, k))
        blocks = (X[rows[start : start + BLOCK]] for start in range(0, len(rows), BLOCK))
        with threads_for(len(rows) * X.shape[1]):
            return np.concatenate(
                [self._scores(np.asarray(b, dtype=np.float32, order="C"), k) for b in blocks]
            )

    def _scores(self, X: Matrix, k: int) -> Scores:
        """Return the scores of all k classes; −inf for a class without training rows."""
        outputs = np.asarray(getattr(self.estimator_, self.output)(X), dtype=np.float64)
        if self.output == "predict_proba":
            outputs = np.log(np.maximum(outputs, _TINY))
        if len(self.known_) == k:
            return outputs
        scores = np.full((len(outputs), k), -np.inf)
        scores[:, self.known_] = outputs
        return scores

    def _calibrate(self, scores: Scores, codes: Codes, weights: RowWeights | None = None) -> None:
        """Fit the calibration to scores of held-back rows: scale, offsets and step functions.

        A class without held-back rows (because all its galaxies are in one group, for example) is
        left out of the softmax here: its absence from these rows says nothing about its frequency.
        It gets the mean offset of the other classes, and no step function.
        """
        present = np.unique(codes)
        scores, codes = scores[:, present], np.searchsorted(present, codes)
        n, k = scores.shape
        # replace −inf (a class unknown to a fold's classifier) by 0, because −inf would make the
        # gradient NaN
        truth = np.eye(k)[codes]
        weights = np.ones(n) if weights is None else weights * (n / weights.sum())
        finite = np.where(np.isfinite(scores), scores, 0.0)
        spread = max(float(scores[np.isfinite(scores)].std()), _TINY)
        biased = self.method != "temperature"

        def loss(free: Scores) -> tuple[float, Scores]:
            # the free parameter is ln(scale × standard deviation of the scores): so the scale is
            # always positive
            a, b = np.exp(free[0]) / spread, free[1:] if biased else np.zeros(k)
            p = softmax(a * scores + b, axis=1)
            # mean log loss plus a weak penalty: without it, offsets diverge if classes are
            # separated without error
            slope = (p - truth) * (weights[:, None] / n)
            losses = -np.log(np.maximum((p * truth).sum(1), 1e-30))
            value = float(np.mean(losses * weights)) + 0.5 * float(b @ b) / n
            gradient = [np.sum(slope * finite) * a, *((slope.sum(0) + b / n) if biased else ())]
            return value, np.asarray(gradient)

        optimum = minimize(
            loss,
            np.zeros(1 + k * biased),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-6, 6)] + [(-20, 20)] * (k * biased),
        )
        self.scale_ = float(np.exp(optimum.x[0]) / spread)
        if biased:
            self.bias_ = np.full(len(self.classes_), optimum.x[1:].mean())
            self.bias_[present] = optimum.x[1:]
        # fit step functions to probabilities: scores of different classes have different scales
        if self.method == "isotonic":
            p = softmax(self.scale_ * scores + self.bias_[present], axis=1)
            self.stepped_ = present
            for c in range(k):
                scored = np.isfinite(scores[:, c])
                step = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
                    p[scored, c], truth[scored, c], weights[scored]
                )
                self.steps_.append(np.stack([step.X_thresholds_, step.y_thresholds_]))

    def _probabilities(self, scores: Scores) -> Scores:
        p = softmax(self.scale_ * scores + self.bias_, axis=1)
        if self.steps_:
            # heads of earlier versions lack the list `stepped_`, and have a step function (isotonic
            # calibration) for every class
            stepped = getattr(self, "stepped_", np.arange(p.shape[1]))
            whole = p[:, stepped].sum(1, keepdims=True)
            part = p[:, stepped] / np.maximum(whole, _TINY)
            part = np.column_stack(
                [np.interp(part[:, c], *step) for c, step in enumerate(self.steps_)]
            )
            part = np.maximum(part, _TINY)
            p[:, stepped] = part / part.sum(1, keepdims=True) * np.maximum(whole, _TINY)
            p /= p.sum(1, keepdims=True)
        return np.asarray(p, dtype=np.float64)

    def _class_weights(self, counts: Codes) -> Scores:
        if self.class_weight is None:
            return np.ones(len(counts))
        if isinstance(self.class_weight, str):
            balanced: Scores = counts.sum() / (len(counts) * np.maximum(counts, 1.0))
            return balanced
        return np.array([self.class_weight.get(int(code), 1.0) for code in self.classes_])


def _of_rows(weights: RowWeights | None, rows: Rows) -> RowWeights | None:
    """Return the weights of selected rows; None if all rows have the same weight."""
    return None if weights is None else weights[rows]


def weights_for_macro_f1(probabilities: Scores, codes: Codes) -> Scores:
    """Return class weights that give the predicted classes the highest macro F1.

    For a rare class the best threshold of F1 is below that of accuracy (Lipton+2014,
    doi:10.1007/978-3-662-44851-9_15), so its weight usually increases. Three times, each class, the
    rarest first, gets the best of 33 factors from 1/16 to 16.

    Parameters
    ----------
    probabilities : ndarray of float64
        Class probabilities of rows that the classifier was not fitted to, shape (n, k).
    codes : ndarray of int
        True classes of these rows, shape (n,).

    Returns
    -------
    ndarray of float64
        Shape (k,); 1 for a class whose weight changes nothing.
    """
    k = probabilities.shape[1]
    counts = np.bincount(codes, minlength=k)

    def macro_f1(weights: Scores) -> float:
        winners = (probabilities * weights).argmax(1)
        hits = np.bincount(codes[winners == codes], minlength=k)
        return float((2 * hits / np.maximum(counts + np.bincount(winners, minlength=k), 1)).mean())

    weights = np.ones(k)
    best = macro_f1(weights)
    for c in [*np.argsort(counts, kind="stable")] * 3:
        for factor in _FACTORS:
            tried = weights.copy()
            tried[c] = factor
            if (value := macro_f1(tried)) > best + 1e-12:
                best, weights = value, tried
    return weights
