"""Score predictions against labels, with a confidence interval for each metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation import accuracy_by
from gzfeatures.evaluation.prediction_checks import scorable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.rows import AccuracyBin, Ceiling
from gzfeatures.evaluation.statistics.intervals import FEWEST
from gzfeatures.evaluation.statistics.metric_sums import metrics_of, sufficient_statistics
from gzfeatures.evaluation.statistics.proportions import Array
from gzfeatures.evaluation.statistics.residuals import (
    VALUE_METRICS,
    residuals,
    value_intervals_of_metrics,
    value_metrics,
)
from gzfeatures.evaluation.statistics.score_intervals import debiased_ece, score_intervals
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.galaxies.splits.split import group_codes
from gzfeatures.ids import Ids, positions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

HIGHER_IS_BETTER = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "mcc")
LOWER_IS_BETTER = (
    *("log_loss", "brier", "ece", "ece_debiased"),
    *("rmse", "sigma_nmad", "outlier_share"),
)
NEITHER_IS_BETTER = ("bias",)
"""Metrics whose best value is 0, from either side."""
CALIBRATED = "calibrated_"
"""Start of the name of a training's metric that is computed from calibrated probabilities."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Hold metrics of predictions with confidence intervals; metrics that do not apply are None.

    Parameters
    ----------
    kind : {"classes", "multi-label", "fractions", "value", "redshift"}
        What was predicted: one class per galaxy, several labels, vote fractions, or a number.
    n : int
        Number of scored galaxies.
    classes : tuple of str
        Names of the k classes.
    accuracy : float, optional
        Share of galaxies whose most probable class is the true one. For several labels: share of
        galaxies for which all k labels are right at threshold 0.5.
    balanced_accuracy : float, optional
        Mean recall of the classes that have galaxies. For several labels: mean of the recalls and
        specificities.
    macro_f1 : float, optional
        Mean F1 of the classes that occur among the true or predicted ones.
    log_loss : float, optional
        Mean of −ln p(true class), with p ≥ 1e-7. For several labels: mean over labels too.
    brier : float, optional
        Mean over galaxies of Σ (p − y)², summed over classes, in [0, 2]; y is 1 for the true class
        and otherwise 0. For several labels: mean of (p − y)² over galaxies and labels.
    auc : float, optional
        Area under the ROC curve of one class against the rest; mean over the classes to which some,
        but not all galaxies belong.
    mcc : float, optional
        Matthews correlation for k classes (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006,
        eq. 8).
    ece : float, optional
        Expected calibration error of the most probable class (for several labels: of every label),
        with 15 bins. Noise alone makes it positive, and larger for fewer galaxies.
    ece_debiased : float, optional
        Expected calibration error minus the part that noise alone would give (see
        `calibration_error.debiased`).
    rmse : float, optional
        For vote fractions, root mean square error over all galaxies and answers (the score of the
        Kaggle challenge), without NaN votes. For numbers, root mean square of the residuals (see
        `residuals.residuals`).
    bias, sigma_nmad, outlier_share : float, optional
        For numbers: mean of the residuals r, 1.4826 × median |r − median r|, and share of outliers
        (see `residuals.value_metrics`).
    intervals : mapping of str to (low, high)
        Confidence interval of each metric at `level` (see the module `intervals`). `ece` and
        `ece_debiased` have the same interval, of the true calibration error. A mean over classes
        has no interval if one of the classes is in `too_few`.
    level : float
        Coverage of the confidence intervals.
    too_few : tuple of str
        Classes with fewer than ten galaxies, which get no confidence interval.
    confusion : ndarray of int64, optional
        Number of galaxies by true class (row) and predicted class (column), shape (k, k).
    per_class : list of dict
        For each class `class, support, precision, recall, f1` and `intervals`; for vote fractions
        `class, support, answer_rmse` and `intervals`. Support is the number of galaxies.
    agreement : list of AccuracyBin
        Accuracy in bins of volunteers' agreement (see `accuracy_by.by_agreement`); empty if the
        labels have no vote fractions.
    ceiling : Ceiling, optional
        How often predictions agree with one volunteer drawn at random (`reached`, at best
        `ceiling`) and with the majority (`accuracy`, compared with `repeatability`); see
        `accuracy_by.against_ceiling`.
    slices : mapping of str to list of AccuracyBin
        Accuracy in bins of redshift, magnitude and size (see `accuracy_by.accuracy_along`); empty
        if no catalog was given.
    baselines : mapping of str to mapping
        For numbers, if training galaxies were given: the metrics of predicting for every galaxy the
        training galaxies' `median`, or their `mean`.
    """

    kind: str
    n: int
    classes: tuple[str, ...]
    level: float
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    auc: float | None = None
    mcc: float | None = None
    ece: float | None = None
    ece_debiased: float | None = None
    rmse: float | None = None
    bias: float | None = None
    sigma_nmad: float | None = None
    outlier_share: float | None = None
    intervals: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    too_few: tuple[str, ...] = ()
    confusion: npt.NDArray[np.int64] | None = None
    per_class: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    agreement: list[AccuracyBin] = dataclasses.field(default_factory=list)
    ceiling: Ceiling | None = None
    slices: dict[str, list[AccuracyBin]] = dataclasses.field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """Return the metrics that are defined for these predictions, by name."""
        names: tuple[str, ...] = HIGHER_IS_BETTER + LOWER_IS_BETTER + NEITHER_IS_BETTER
        # for predicted numbers, use the usual order of redshift papers: total error (RMSE) first,
        # then bias, scatter and outliers
        if self.kind in VALUE_TARGETS:
            names = VALUE_METRICS
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def asdict(self) -> dict[str, Any]:
        """Return the scores as JSON values; an undefined metric is None."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["confusion"] = None if self.confusion is None else self.confusion.tolist()
        return {name: jsonable(value) for name, value in fields.items()}


def evaluate(
    predictions: Predictions,
    labels: Labels,
    *,
    intervals: bool | int = True,
    level: float = 0.9,
    votes: npt.NDArray[np.int64] | None = None,
    catalog: Catalog | None = None,
    groups: Mapping[str, str] | None = None,
    train: Ids | None = None,
) -> Scores:
    """Score predictions against labels of the same galaxies.

    Parameters
    ----------
    predictions : Predictions
        Predictions of galaxies with a label; galaxies that were trained on are refused.
    labels : Labels
        True labels, with the same classes in the same order as the predictions. If they have vote
        fractions, predictions are also compared with single volunteers and majorities.
    intervals : bool
        Whether to compute confidence intervals; 0 means False, any other number True.
    level : float
        Coverage of the confidence intervals, in (0, 1).
    votes : ndarray of int, optional
        Number of volunteers of each galaxy of `labels`, shape (len(labels),), from which follows
        how often their majorities repeat. By default the catalog's numbers, otherwise 40 each.
    catalog : Catalog, optional
        Catalog with numbers of volunteers, if it has vote counts, and with redshift, magnitude and
        size, as far as it has them: accuracy is also computed in bins of these quantities. Used
        only for one class per galaxy.
    groups : mapping of str to str, optional
        Group of each id. For predicted numbers, confidence intervals take into account that
        galaxies of a group resemble each other.
    train : Ids, optional
        Ids of labelled training galaxies. For predicted numbers, the median and mean of their
        labels are also scored, as baselines.

    Raises
    ------
    LeakError
        A galaxy was trained on, or is in one group with a training galaxy.
    InputError
        No prediction, a galaxy without label, or different classes.

    Examples
    --------
    >>> from gzfeatures.ids import as_ids
    >>> labels = Labels(as_ids(["1", "2", "3"]), ("disk", "smooth"), np.array([0, 1, 1]))
    >>> chances = np.array([[0.8, 0.2], [0.1, 0.9], [0.6, 0.4]])
    >>> predictions = Predictions(labels.ids, chances, labels.classes)
    >>> round(evaluate(predictions, labels, intervals=False).accuracy, 3)
    0.667
    """
    truth = scorable(predictions, labels)
    if predictions.is_value:
        of_groups = groups if intervals else None
        scores = _value_scores(predictions, truth, level, bool(intervals), of_groups)
        numbers = labels.select(train).values[:, 0] if train is not None else None
        return dataclasses.replace(scores, baselines=_baselines(truth, predictions.kind, numbers))
    # compute each metric from sums over galaxies, because resampled galaxies need only other
    # weights in these sums
    columns = sufficient_statistics(predictions, truth)
    point = metrics_of(columns.sum(0), len(truth), predictions.kind, len(predictions.classes))
    if predictions.kind != "fractions":
        point["ece_debiased"] = np.float64(debiased_ece(predictions, truth)) * np.ones(())
    limits = _limits(predictions, truth, level) if intervals else {}
    overall: dict[str, Any] = {
        m: float(values) for m, values in point.items() if not values.ndim and np.isfinite(values)
    }
    if predictions.kind == "classes":
        overall["confusion"] = _confusion(predictions, truth)
        panels = _panels(predictions, labels, truth, votes, catalog)
        overall["agreement"] = accuracy_by.by_agreement(
            predictions, truth, level=level, panels=panels
        )
        overall["ceiling"] = accuracy_by.against_ceiling(predictions, truth, panels)
        if catalog is not None:
            overall["slices"] = accuracy_by.by_catalog(predictions, truth, catalog, level=level)
    return Scores(
        kind=predictions.kind,
        n=len(predictions),
        classes=predictions.classes,
        level=level,
        intervals={
            m: (float(low), float(high))
            for m, (low, high) in limits.items()
            if m in overall and _is_finite(low)
        },
        too_few=tuple(name for name, number in truth.counts.items() if number < FEWEST),
        per_class=_class_rows(truth, point, limits),
        **overall,
    )


def _value_scores(
    predictions: Predictions,
    truth: Labels,
    level: float,
    with_intervals: bool,
    groups: Mapping[str, str] | None,
) -> Scores:
    """Return scores of predicted numbers; intervals allow for similar galaxies within a group."""
    residual = residuals(predictions.values, truth.values[:, 0], predictions.kind)
    limits: dict[str, tuple[float, float]] = {}
    if with_intervals:
        codes = group_codes(predictions.ids, groups or {})
        limits = value_intervals_of_metrics(residual, predictions.kind, codes, level)
    metrics = value_metrics(residual, predictions.kind)
    return Scores(
        kind=predictions.kind,
        n=len(predictions),
        classes=predictions.classes,
        level=level,
        rmse=metrics["rmse"],
        bias=metrics["bias"],
        sigma_nmad=metrics["sigma_nmad"],
        outlier_share=metrics["outlier_share"],
        intervals=limits,
    )


def _baselines(truth: Labels, kind: str, training: Array | None) -> dict[str, dict[str, float]]:
    """Return the scores of predicting one constant: the training galaxies' median or mean."""
    if training is None or not len(training):
        return {}
    true = truth.values[:, 0]
    constants = {"median": np.median(training), "mean": np.mean(training)}
    return {
        name: value_metrics(residuals(np.full(len(true), constant), true, kind), kind)
        for name, constant in constants.items()
    }


def _limits(
    predictions: Predictions, truth: Labels, level: float
) -> dict[str, tuple[Array, Array]]:
    """Return each metric's lower and upper confidence limit, overall or one per class."""
    limits = score_intervals(predictions, truth, level)
    # the interval of `ece` contains the true calibration error, which `ece_debiased` estimates too
    if "ece" in limits:
        limits["ece_debiased"] = limits["ece"]
    return limits


def _confusion(predictions: Predictions, truth: Labels) -> npt.NDArray[np.int64]:
    """Return the number of galaxies by true class (row) and predicted class (column)."""
    k = len(predictions.classes)
    confusion = np.zeros((k, k), dtype=np.int64)
    np.add.at(confusion, (truth.codes, predictions.codes), 1)
    return confusion


def _panels(
    predictions: Predictions,
    labels: Labels,
    truth: Labels,
    votes: npt.NDArray[np.int64] | None,
    catalog: Catalog | None,
) -> npt.NDArray[np.int64] | None:
    """Return how many volunteers classified each predicted galaxy; None if unknown."""
    if votes is not None:
        return votes[positions(labels.ids, predictions.ids, where="labels")]
    # without vote fractions nothing is compared with volunteers, so their number is not needed
    if catalog is not None and truth.soft is not None:
        return catalog.volunteers(predictions.ids)
    return None


def _class_rows(
    truth: Labels, point: dict[str, Array], limits: dict[str, tuple[Array, Array]]
) -> list[dict[str, Any]]:
    """Return name, number of galaxies, metrics and confidence intervals of each class."""
    rows: list[dict[str, Any]] = []
    for code, (name, support) in enumerate(truth.counts.items()):
        row: dict[str, Any] = {"class": name, "support": support}
        row |= {metric: float(values[code]) for metric, values in point.items() if values.ndim}
        row["intervals"] = {
            metric: (float(low[code]), float(high[code]))
            for metric, (low, high) in limits.items()
            if _is_finite(low, code)
        }
        rows.append(row)
    return rows


def _is_finite(limits: Array, code: int | None = None) -> bool:
    """Return whether a metric's confidence interval exists, overall or for one class."""
    if code is None:
        return limits.ndim == 0 and bool(np.isfinite(limits))
    return limits.ndim == 1 and bool(np.isfinite(limits[code]))


def headline(target: str) -> str:
    """Return the metric to rank models by: RMSE for vote fractions and numbers, else accuracy.

    Examples
    --------
    >>> headline("classes"), headline("fractions")
    ('accuracy', 'rmse')
    """
    return "rmse" if target in ("fractions", *VALUE_TARGETS) else "accuracy"


def jsonable(value: Any) -> Any:
    """Return a value with NaN and infinity as None and tuples as lists, at any depth.

    Examples
    --------
    >>> jsonable({"auc": float("nan"), "limits": (0.5, 0.75)})
    {'auc': None, 'limits': [0.5, 0.75]}
    """
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
