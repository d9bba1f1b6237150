"""Compute metrics from sums of numbers per galaxy, such as 1 for a correct prediction.

Weighted sums of the same numbers give the metrics of resampled galaxies.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.proportions import Array
from gzfeatures.evaluation.statistics.residuals import residuals
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels

BINS = 15
"""Number of confidence bins of the expected calibration error (Guo+2017, arXiv:1706.04599)."""
_TINY = 1e-7


def sufficient_statistics(predictions: Predictions, truth: Labels) -> Array:
    """Return numbers per galaxy, (n, m); `metrics_of` computes metrics from their sums."""
    p = predictions.probabilities
    if predictions.is_value:
        residual = residuals(predictions.values, truth.values[:, 0], predictions.kind)
        return np.column_stack([residual**2, residual, np.ones(len(residual))])
    if predictions.kind == "fractions":
        voted = np.isfinite(truth.values)
        return np.hstack([np.where(voted, p - np.where(voted, truth.values, 0), 0) ** 2, voted])
    if predictions.kind == "multi-label":
        return _label_columns(p, truth.values)
    return _class_columns(p, truth.codes)


def metrics_of(totals: Array, n: Array | float, kind: str, k: int) -> dict[str, Array]:
    """Return metrics, given the column sums of `sufficient_statistics` over n galaxies.

    The sums have shape (…, m). Each metric has shape (…) or, if it is per class, (…, k). For
    several samples of galaxies, `n` is their common size, or an array of their sizes, shape (…).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if kind in VALUE_TARGETS:
            square, residual, count = np.moveaxis(totals, -1, 0)
            return {"rmse": np.sqrt(square / count), "bias": residual / count}
        if kind == "fractions":
            error, counts = totals[..., :k], totals[..., k:]
            return {
                "rmse": np.sqrt(error.sum(-1) / counts.sum(-1)),
                "answer_rmse": np.sqrt(error / counts),
            }
        return (
            _label_metrics(totals, n, k) if kind == "multi-label" else _class_metrics(totals, n, k)
        )


def shares_of(columns: Array, metric: str, kind: str, k: int) -> Array:
    """Return each galaxy's contribution to a metric, shape (n,); their mean is the metric.

    A contribution is the metric plus the galaxy's influence on it. For accuracy, it is 1 for a
    correctly classified galaxy and 0 for others. For other metrics, the influence is computed to
    first order (von Mises' expansion). For RMSE and bias, which have a unit, it follows from a
    formula; for metrics of classes from numerical derivatives of the metric by the column sums.
    """
    n, m = columns.shape
    if kind in VALUE_TARGETS:
        square, residual, count = columns.T
        return residual.copy() if metric == "bias" else _rmse_shares(square, count)
    if kind == "fractions":
        return _rmse_shares(columns[:, :k].sum(1), columns[:, k:].sum(1))
    # the sums count galaxies or have values of order 1 per galaxy, so that one step suits them all
    totals, step = columns.sum(0), 1e-3
    moved = step * np.eye(m)
    up, down = (metrics_of(totals + sign * moved, n, kind, k)[metric] for sign in (1, -1))
    value = metrics_of(totals, n, kind, k)[metric]
    # influence of a galaxy to first order: the derivative of the metric by the sums, times the
    # galaxy's own numbers; numbers of other metrics may be NaN, such as those of the AUC of a class
    # that no galaxy has
    influence = np.nan_to_num(columns) @ np.nan_to_num((up - down) / (2 * step))
    return np.asarray(value + n * (influence - influence.mean()))


def _rmse_shares(square: Array, count: Array) -> Array:
    """Return each galaxy's contribution to the RMSE, shape (n,), in the unit of the residuals.

    `square` are the summed squared residuals of each galaxy's answers, `count` the numbers of
    answers. RMSE = √(Σ square / Σ count), and its derivatives by both sums give the influence. If
    every residual is 0, each contribution is 0.
    """
    total = count.sum()
    mean_square = square.sum() / total
    rmse = np.sqrt(mean_square)
    if rmse == 0:
        return np.zeros(len(square))
    influence = len(square) * (square - mean_square * count) / (2 * rmse * total)
    return np.asarray(rmse + influence)


def _class_columns(p: Array, codes: npt.NDArray[np.int64]) -> Array:
    """Return columns, with a row per galaxy, whose sums give the metrics of predicted classes."""
    n, k = p.shape
    rows = np.arange(n)
    chosen = p.argmax(1)
    cells = np.zeros((n, k * k))
    cells[rows, codes * k + chosen] = 1
    truth = np.zeros((n, k))
    truth[rows, codes] = 1
    confidence = p[rows, chosen]
    # every column can be summed over galaxies, so that resamples need only weighted sums
    return np.column_stack(
        [
            cells,
            -np.log(np.maximum(p[rows, codes], _TINY)),
            ((p - truth) ** 2).sum(1),
            _auc_column(p, truth),
            _bin_columns(confidence, confidence - (chosen == codes)),
        ]
    )


def _class_metrics(totals: Array, n: Array | float, k: int) -> dict[str, Array]:
    """Return the metrics of predicted classes, given the column sums of `_class_columns`."""
    confusion = totals[..., : k * k].reshape(*totals.shape[:-1], k, k)
    log_loss, brier, auc, *calibration = np.moveaxis(totals[..., k * k :], -1, 0) / n
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, chosen = confusion.sum(-1), confusion.sum(-2)
    chance = (true * chosen).sum(-1)
    # Matthews correlation for k classes from the confusion matrix (Gorodkin 2004, eq. 8)
    mcc = (hit.sum(-1) * n - chance) / np.sqrt(
        (n**2 - (chosen**2).sum(-1)) * (n**2 - (true**2).sum(-1))
    )
    recall, f1 = hit / true, 2 * hit / (true + chosen)
    return {
        "accuracy": hit.sum(-1) / n,
        "balanced_accuracy": _known_mean(recall),
        "macro_f1": _known_mean(f1),
        "log_loss": log_loss,
        "brier": brier,
        "auc": auc,
        "mcc": np.where(np.isfinite(mcc), mcc, 0.0),
        "ece": np.abs(calibration).sum(0),
        "precision": np.where(chosen > 0, hit / chosen, 0.0),
        "recall": recall,
        "f1": f1,
    }


def _label_columns(p: Array, truth: npt.NDArray[np.bool_]) -> Array:
    """Return columns, with a row per galaxy, whose sums give metrics of multi-label predictions."""
    k = p.shape[1]
    chosen = p >= 0.5
    p = np.clip(p, _TINY, 1 - _TINY)
    bins = sum(_bin_columns(p[:, c], (p[:, c] - truth[:, c]) / k) for c in range(k))
    return np.column_stack(
        [
            chosen & truth,
            truth,
            chosen,
            (chosen == truth).all(1),
            -np.log(np.where(truth, p, 1 - p)).mean(1),
            ((p - truth) ** 2).mean(1),
            _auc_column(p, truth.astype(np.float64)),
            bins,
        ]
    ).astype(np.float64)


def _label_metrics(totals: Array, n: Array | float, k: int) -> dict[str, Array]:
    """Return the metrics of multi-label predictions, given the column sums of `_label_columns`."""
    hit, true, chosen = totals[..., :k], totals[..., k : 2 * k], totals[..., 2 * k : 3 * k]
    accuracy, log_loss, brier, auc, *calibration = np.moveaxis(totals[..., 3 * k :], -1, 0) / n
    recall, f1 = hit / true, 2 * hit / (true + chosen)
    whole = np.asarray(n)[..., None]
    specificity = (whole - true - chosen + hit) / (whole - true)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": _known_mean((recall + specificity) / 2),
        "macro_f1": _known_mean(f1),
        "log_loss": log_loss,
        "brier": brier,
        "auc": auc,
        "ece": np.abs(calibration).sum(0),
        "precision": np.where(chosen > 0, hit / chosen, 0.0),
        "recall": recall,
        "f1": f1,
    }


def _bin_columns(confidence: Array, excess: Array) -> Array:
    """Return each galaxy's confidence − correctness in its confidence bin's column, 0 elsewhere.

    The shape is (n, BINS). The sum over columns of |column sum| / n is the expected calibration
    error.
    """
    columns = np.zeros((len(confidence), BINS))
    columns[np.arange(len(confidence)), bin_of(confidence)] = excess
    return columns


def bin_of(confidence: Array) -> npt.NDArray[np.int64]:
    """Return the bin, 0 … BINS − 1, of each confidence in [0, 1]; a bin includes its upper edge.

    Examples
    --------
    >>> bin_of(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 7, 14]
    """
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _auc_column(p: Array, truth: Array) -> Array:
    """Return each galaxy's contribution to the mean AUC (class against rest), shape (n,).

    The mean over galaxies is the mean AUC; for resampled galaxies, it is the AUC to first order
    (DeLong+1988, doi:10.2307/2531595, eq. 5–8). All values are NaN if no class has both galaxies
    that belong to it and galaxies that do not.
    """
    areas, placed = placements(p, truth)
    defined = np.isfinite(areas)
    return (
        np.asarray((areas + placed)[:, defined].mean(1))
        if defined.any()
        else np.full(len(p), np.nan)
    )


def placements(p: Array, truth: Array) -> tuple[Array, Array]:
    """Return the area under each class's ROC curve (k,), and each galaxy's influence on it (n, k).

    Curves are one class against the rest; for each class, the influences have mean 0.

    The influence is n / count × (placement − area), where count is the number of galaxies in the
    galaxy's own group (the class, or the rest), and the placement is the share of the other group
    that the score ranks correctly against this galaxy (DeLong+1988, doi:10.2307/2531595). NaN for a
    class to which no galaxy or every galaxy belongs.
    """
    from scipy.stats import rankdata

    n, k = p.shape
    areas, placed = np.full(k, np.nan), np.full((n, k), np.nan)
    for c in range(k):
        score, member = p[:, c], truth[:, c].astype(bool)
        members = int(member.sum())
        others = n - members
        if not members or not others:
            continue
        # rank among all galaxies minus rank in the galaxy's own group is the number of lower scores
        # in the other group, from which the area under the ROC curve is computed
        rank = rankdata(score)
        placement = np.empty(n)
        placement[member] = (rank[member] - rankdata(score[member])) / others
        placement[~member] = 1 - (rank[~member] - rankdata(score[~member])) / members
        areas[c] = placement[member].mean()
        placed[:, c] = (placement - areas[c]) * n / np.where(member, members, others)
    return areas, placed


def _known_mean(values: Array) -> Array:
    """Return the mean over the last axis, without NaN; NaN if every value is NaN."""
    defined = np.isfinite(values)
    mean: Array = np.where(defined, values, 0).sum(-1) / defined.sum(-1)
    return mean
