"""Score predictions against labels, with a confidence interval for each metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, LeakError
from gzfeatures.evaluation import accuracy_by
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


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Hold metrics of predictions with their confidence intervals; unused metrics are None.

    Parameters
    ----------
    kind : {"classes", "multi-label", "fractions", "value", "redshift"}
        What was predicted.
    n : int
        Galaxies scored.
    classes : tuple of str
        k names.
    accuracy : float, optional
        Share of galaxies whose most probable class is right; multi-label: all k right at threshold
        0.5.
    balanced_accuracy : float, optional
        Mean recall of the classes present.
    macro_f1 : float, optional
        Mean F1 of the classes that occur in truth or prediction.
    log_loss : float, optional
        Mean of −ln p(true class), p clipped at 1e-7; multi-label: mean over labels.
    brier : float, optional
        Mean of Σ (p − y)² over classes, in [0, 2]; multi-label: mean over labels of (p − y)².
    auc : float, optional
        One-vs-rest area under the ROC curve, mean of the classes that have members and non-members.
    mcc : float, optional
        Matthews correlation for k classes (Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006,
        eq. 8).
    ece : float, optional
        Expected calibration error of the most probable class (multi-label: of every label), 15
        bins; noise alone makes it positive, the more the fewer galaxies there are.
    ece_debiased : float, optional
        The same without what noise alone would give (see `calibration_error.debiased`).
    rmse : float, optional
        Root mean square over all galaxies and answers (the Kaggle measure); NaN votes are left out.
        Of numbers the root mean square residual (see `residuals.residuals`).
    bias, sigma_nmad, outlier_share : float, optional
        Of numbers: mean residual, 1.4826 × median |r − median r|, and share of outliers (see
        `residuals.value_metrics`).
    intervals : mapping of str to (low, high)
        Interval of each metric at `level`, by the method that holds it (see `intervals`); that of
        `ece` is of the true error, as that of `ece_debiased`. A figure over classes has none where
        a class is in `too_few`.
    level : float
        Coverage of the intervals.
    too_few : tuple of str
        Classes with fewer than ten galaxies: they have no interval.
    confusion : ndarray of int64, optional
        Shape (k, k); row: true class, column: predicted class.
    per_class : list of dict
        `class, support, precision, recall, f1` (fractions: `class, support, answer_rmse`) and
        `intervals`.
    agreement : list of AccuracyBin
        Accuracy by volunteer agreement (see `accuracy_by.by_agreement`); empty without vote
        fractions.
    ceiling : Ceiling, optional
        `reached` and `ceiling` against one volunteer drawn at random, `accuracy` and
        `repeatability` against the majority of a panel (see `accuracy_by.against_ceiling`).
    slices : mapping of str to list of AccuracyBin
        Accuracy along redshift, magnitude and size (see `accuracy_by.accuracy_along`), where a
        catalog was given.
    baselines : mapping of str to mapping
        Of numbers, where training numbers were given: the metrics that the `median` and the `mean`
        of the training galaxies (a linear fit on nothing) have on the same galaxies.
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
        # show the usual order of redshift tables: the total error first, then its parts
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
        Every id must have a label; ids that were trained on are refused.
    labels : Labels
        Truth, with the same classes in the same order; its vote fractions, if any, give agreement
        and ceiling.
    intervals : bool
        Whether to give intervals; 0 and other numbers as False and True.
    level : float
        Coverage of the intervals, in (0, 1).
    votes : ndarray of int, optional
        Number of volunteers of each galaxy of `labels`, shape (len(labels),), for the repeatability
        of their majority; else those of the catalog's counts, else 40 each.
    catalog : Catalog, optional
        Its vote counts, where it has them, are the volunteers' numbers. Its redshift, magnitude and
        size, as far as it has them, give the slices; one class per galaxy only.
    groups : mapping of str to str, optional
        Id → group: of numbers, the intervals count galaxies of a group as belonging together.
    train : Ids, optional
        Training galaxies among the labels: of numbers, their median and mean are the baselines.

    Raises
    ------
    LeakError
        A galaxy was trained on, or shares its group with one that was.
    InputError
        There is nothing to score, an id has no label, or the classes differ.

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
    """Return scores of predicted numbers; the intervals count related galaxies as one."""
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
    # without vote fractions volunteers have no majority, so their number is not needed
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
    """Return the metric that ranks by default: RMSE for fractions and numbers, else accuracy.

    Examples
    --------
    >>> headline("classes"), headline("fractions")
    ('accuracy', 'rmse')
    """
    return "rmse" if target in ("fractions", *VALUE_TARGETS) else "accuracy"


def scorable(predictions: Predictions, labels: Labels) -> Labels:
    """Return the labels of the predicted galaxies, in their order; refuse training galaxies.

    Raises as `evaluate` does.
    """
    if not len(predictions):
        raise InputError("no galaxy to score", rule="have at least one prediction")
    if predictions.seen is not None and predictions.seen.any():
        raise LeakError(
            f"{predictions.seen.sum()} of {len(predictions)} galaxies were trained on, "
            "or one of their group was",
            rule="be scored on galaxies kept out of training",
            found=str(predictions.ids[np.argmax(predictions.seen)]),
            remedy="select the test ids of the split before scoring",
        )
    if predictions.classes != labels.classes or predictions.kind != labels.target:
        raise InputError(
            "predictions and labels are of different schemes",
            rule=f"predict {labels.target} {', '.join(labels.classes)}",
            found=f"{predictions.kind} {', '.join(predictions.classes)}",
        )
    return labels.select(predictions.ids)


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
