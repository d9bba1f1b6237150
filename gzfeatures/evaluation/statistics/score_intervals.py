"""Compute a confidence interval for every metric of predictions."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics import calibration_error, intervals
from gzfeatures.evaluation.statistics.intervals import (
    FEWEST,
    Curves,
    Interval,
    correlation_of,
    moments,
    mover,
    of_auc,
    of_confusion,
    of_mean,
)
from gzfeatures.evaluation.statistics.metric_sums import BINS, bin_of, placements
from gzfeatures.evaluation.statistics.proportions import Array, clopper_pearson, score_interval
from gzfeatures.galaxies.labels.labels import Labels


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """Store the sums and moments from which the confidence intervals of all metrics are computed.

    Arrays may have leading axes, for example one for many simulated surveys.

    Parameters
    ----------
    n : ndarray of float64
        Number of galaxies, shape (…,).
    confusion : ndarray of float64
        Number of galaxies by true class (row) and predicted class (column), shape (…, k, k).
    losses : ndarray of float64
        Mean, variance and skewness of log loss and Brier score, shape (…, 2, 3).
    curves : Curves
        Statistics of the ROC curves of each class against the rest.
    bins : ndarray of float64
        For each of 15 confidence bins: sum of (confidence − correct), sum of its squares, and sum
        of confidence × (1 − confidence); shape (…, 3, 15).
    """

    n: Array
    confusion: Array
    losses: Array
    curves: Curves
    bins: Array

    @classmethod
    def of(cls, p: Array, codes: npt.NDArray[np.int64]) -> Statistics:
        """Return statistics for intervals, from probabilities (n, k) and true class codes (n,)."""
        n, k = p.shape
        rows, chosen = np.arange(n), p.argmax(1)
        truth = np.eye(k)[codes]
        confusion = (
            np.bincount(codes * k + chosen, minlength=k * k).reshape(k, k).astype(np.float64)
        )
        each = np.stack(
            [-np.log(np.maximum(p, 1e-7)), (p**2).sum(1, keepdims=True) - 2 * p + 1]
        )  # shape (loss, galaxy, class)
        confidence = p[rows, chosen]
        return cls(
            np.asarray(float(n)),
            confusion,
            _losses(each, p, codes),
            _curves(p, truth),
            _bins(confidence, confidence - (chosen == codes), confidence * (1 - confidence)),
        )

    def intervals(self, level: float) -> dict[str, Interval]:
        """Return the interval of every metric, shapes (…,) or, per class, (…, k).

        Limits are NaN if a class has too few galaxies.
        """
        limits = of_confusion(self.confusion, level)
        for row, name in enumerate(("log_loss", "brier")):
            mean, variance, skewness = np.moveaxis(self.losses[..., row, :], -1, 0)
            limits[name] = of_mean(mean, variance, skewness, self.n, level)
        members = self.confusion.sum(-1)
        limits["auc"] = of_auc(self.curves, members, self.n, level)
        limits["ece"] = calibration_error.interval(self.bins, self.n, level)
        return limits


def score_intervals(predictions: Predictions, truth: Labels, level: float) -> dict[str, Interval]:
    """Return a confidence interval for each metric: two numbers, or two arrays by class.

    Limits are NaN if a class has too few galaxies.

    Parameters
    ----------
    predictions, truth
        Predictions and labels of the same galaxies in the same order.
    level : float
        Coverage of the intervals, in (0, 1).
    """
    if predictions.kind == "classes":
        return Statistics.of(predictions.probabilities, truth.codes).intervals(level)
    if predictions.kind == "multi-label":
        return _of_labels(predictions.probabilities, truth.values.astype(bool), level)
    return _of_fractions(predictions.probabilities, truth.values, level)


def debiased_ece(predictions: Predictions, truth: Labels) -> float:
    """Return the expected calibration error minus the part that noise alone would give.

    See `calibration_error.debiased`.
    """
    p, k = predictions.probabilities, predictions.probabilities.shape[1]
    if predictions.kind == "classes":
        bins = Statistics.of(p, truth.codes).bins
    else:
        bins = _label_bins(p, truth.values.astype(bool), k)
    return float(calibration_error.debiased(bins, float(len(p))))


def _curves(p: Array, truth: Array) -> Curves:
    """Return statistics of the ROC curves, for the interval of their mean area."""
    n, k = p.shape
    areas, placed = placements(p, truth)
    placed = np.nan_to_num(placed)
    deviations, disordered = np.zeros(k), 0
    for c in range(k):
        sides = (truth[:, c] > 0, truth[:, c] == 0)
        for side in sides:
            count = int(side.sum())
            if count > 1:
                # the variance of the area under the curve is a sum of two variances: that of the
                # mean over the galaxies of the class, and that of the mean over all others
                deviations[c] += float((placed[side, c] * count / n).var(ddof=1)) / count
        disordered += int((p[sides[0], c] < p[sides[1], c].max(initial=0)).sum())
    deviations = np.sqrt(deviations)
    correlation = correlation_of(placed.T @ placed)
    variance = deviations @ correlation @ deviations / k**2
    return Curves(
        areas,
        correlation,
        np.asarray(variance),
        -moments(placed.mean(1))[2],
        np.asarray(float(disordered)),
    )


def _losses(each: Array, p: Array, codes: npt.NDArray[np.int64]) -> Array:
    """Return mean, variance and skewness of each of m losses (such as log loss), shape (m, 3).

    `each` holds the loss that every galaxy would have if its class were c, shape (m, n, k).

    If large losses are rare, a small sample may contain none and seem to have almost no scatter.
    Therefore, if hardly any misclassification is expected, variance and third moment are at least
    those expected from the predicted probabilities.
    """
    n = len(p)
    rows = []
    errors = float((1 - p.max(1)).sum())
    certainty = errors**2 / (errors**2 + 1)
    for values in each:
        mean, variance, skewness = (float(x) for x in moments(values[np.arange(n), codes]))
        centred = values - (p * values).sum() / n
        stated = [float((p * centred**power).sum()) / n for power in (2, 3)]
        third = skewness * variance**1.5
        variance = certainty * variance + (1 - certainty) * max(variance, stated[0])
        third = certainty * third + (1 - certainty) * max(third, stated[1])
        rows.append([mean, variance, third / variance**1.5 if variance > 0 else 0.0])
    return np.array(rows)


def _bins(confidence: Array, excess: Array, expected: Array) -> Array:
    """Return three sums over the galaxies of each confidence bin, shape (3, BINS).

    They are the sums of `excess` (confidence − correct), of its square, and of `expected`
    (confidence × (1 − confidence), the mean of such a square if the confidence is right).
    """
    which = bin_of(confidence)
    return np.stack(
        [np.bincount(which, weights, BINS) for weights in (excess, excess**2, expected)]
    )


def _label_bins(p: Array, truth: npt.NDArray[np.bool_], k: int) -> Array:
    """Return the sums of `_bins` for multi-label predictions; each of k labels counts 1 / k."""
    columns = np.zeros((len(p), BINS))
    expected = np.zeros(BINS)
    rows = np.arange(len(p))
    for c in range(k):
        which = bin_of(p[:, c])
        columns[rows, which] += (p[:, c] - truth[:, c]) / k
        expected += np.bincount(which, p[:, c] * (1 - p[:, c]) / k**2, BINS)
    return np.stack([columns.sum(0), (columns**2).sum(0), expected])


def _of_labels(p: Array, truth: npt.NDArray[np.bool_], level: float) -> dict[str, Interval]:
    """Return the confidence intervals of the metrics of multi-label predictions."""
    n, k = p.shape
    chosen = p >= 0.5
    hit, true, predicted = (
        np.asarray(x.sum(0), dtype=np.float64) for x in (chosen & truth, truth, chosen)
    )
    either, miss = true + predicted - hit, n - true
    few = true < FEWEST
    result: dict[str, Interval] = {
        name: intervals.unless(few, bounds)
        for name, bounds in {
            "recall": clopper_pearson(hit, true, level),
            "precision": clopper_pearson(hit, predicted, level),
            "f1": intervals.f1_of(clopper_pearson(hit, either, level)),
        }.items()
    }
    result["accuracy"] = clopper_pearson(
        np.float64((chosen == truth).all(1).sum()), np.float64(n), level
    )
    # a galaxy can have several labels, so the F1 scores of labels are correlated: use their
    # correlations in the interval of the mean
    safe, wide = np.maximum(true, 1), np.maximum(either, 1)
    f1 = 2 * hit / np.maximum(true + predicted, 1)
    slope = (2 * (chosen & truth) - f1 * (chosen.astype(float) + truth)) / np.maximum(
        true + predicted, 1
    )
    result["macro_f1"] = mover(
        f1,
        *intervals.f1_of(score_interval(hit / wide, wide, level)),
        correlation_of(slope.T @ slope),
    )
    # balanced accuracy is here the mean of all labels' recalls and specificities, which are
    # correlated, because they count the same galaxies: use the correlations in the interval
    off = np.maximum(miss, 1)
    rates = np.concatenate([hit / safe, (miss - (predicted - hit)) / off])
    adds = np.hstack([truth * (chosen - rates[:k]) / safe, ~truth * (~chosen - rates[k:]) / off])
    limits = score_interval(rates, np.concatenate([safe, off]), level)
    result["balanced_accuracy"] = mover(rates, *limits, correlation_of(adds.T @ adds))
    rare = few.any() | (miss < FEWEST).any()
    for name in ("macro_f1", "balanced_accuracy"):
        result[name] = intervals.unless(
            np.asarray(few.any() if name == "macro_f1" else rare), result[name]
        )
    # losses are skewed, so Student's t interval would miss the true mean mostly on one side: use
    # Hall's transformation of t
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    losses = {"log_loss": -np.log(np.where(truth, clipped, 1 - clipped)), "brier": (p - truth) ** 2}
    result |= {name: of_mean(*moments(values.mean(1)), n, level) for name, values in losses.items()}
    result["auc"] = of_auc(_curves(p, truth.astype(np.float64)), true, np.asarray(float(n)), level)
    result["ece"] = calibration_error.interval(_label_bins(p, truth, k), float(n), level)
    return result


def _of_fractions(p: Array, truth: Array, level: float) -> dict[str, Interval]:
    """Return the confidence intervals of the RMS errors of predicted vote fractions.

    The mean square error is a ratio of two sums over galaxies: squared errors and numbers of
    answers. The limits of the RMS error are the square roots of its limits.
    """
    voted = np.isfinite(truth)
    square = np.where(voted, p - np.where(voted, truth, 0), 0) ** 2

    def root(error: Array, count: Array) -> Interval:
        share = np.maximum(count.mean(0), 1e-300)
        ratio = error.mean(0) / share
        _, variance, skewness = moments((error - ratio * count) / share)
        low, high = of_mean(ratio, variance, skewness, len(error), level)
        return intervals.unless(count.sum(0) < FEWEST, (np.sqrt(low), np.sqrt(high)))

    return {
        "rmse": root(square.sum(1), voted.sum(1).astype(float)),
        "answer_rmse": root(square, voted.astype(float)),
    }
