"""Measure whether predictions are correct as often as their probabilities promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.prediction_checks import scorable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.rows import ReliabilityBin
from gzfeatures.evaluation.statistics.metric_sums import bin_of
from gzfeatures.evaluation.statistics.proportions import Array, wilson
from gzfeatures.galaxies.labels.labels import Labels


def reliability(predictions: Predictions, labels: Labels) -> list[ReliabilityBin]:
    """Return a reliability diagram: accuracy by probability of the most probable class.

    Parameters
    ----------
    predictions : Predictions
        Class probabilities.
    labels : Labels
        True classes.

    Returns
    -------
    list of ReliabilityBin
        One for each bin of probability with galaxies, in rising order. The expected calibration
        error is Σ n |stated − reached| / Σ n.

    Raises
    ------
    LeakError, InputError
        As `evaluate`; or the labels are not one class per galaxy.
    """
    confidence, right = _confidence(predictions, labels)
    bins = bin_of(confidence)
    count = np.bincount(bins)
    filled = np.flatnonzero(count)
    stated, reached = (np.bincount(bins, of)[filled] / count[filled] for of in (confidence, right))
    return [
        ReliabilityBin(float(s), float(r), wilson(float(r), int(n)), int(n))
        for s, r, n in zip(stated, reached, count[filled], strict=True)
    ]


def measured(predictions: Predictions, labels: Labels) -> dict[str, Any]:
    """Return calibration error, Brier score, log loss and reliability diagram of predictions."""
    metrics = evaluate(predictions, labels, intervals=0).metrics
    bins = [each.asdict() for each in reliability(predictions, labels)]
    return {name: metrics[name] for name in ("ece", "brier", "log_loss")} | {"bins": bins}


def coverage_accuracy(predictions: Predictions, labels: Labels) -> dict[str, Array]:
    """Return the accuracy if only the most certain galaxies are kept, from few galaxies to all.

    A galaxy's confidence is the probability of its most probable class. Galaxies of equal
    confidence are kept or left out together.

    Returns
    -------
    dict of ndarray
        `threshold` (smallest confidence to keep, falling), `coverage` (share of galaxies kept,
        rising to 1) and `accuracy` of these galaxies, each of shape (number of different
        confidences,).

    Raises
    ------
    LeakError, InputError
        As `reliability`.
    """
    confidence, right = _confidence(predictions, labels)
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    counts = last + 1.0
    return {
        "threshold": falling[last],
        "coverage": counts / len(order),
        "accuracy": np.cumsum(right[order])[last] / counts,
    }


def _confidence(predictions: Predictions, labels: Labels) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return each galaxy's highest class probability, and whether that class is correct."""
    right = scorable(predictions, labels).codes == predictions.codes
    return predictions.probabilities.max(1), right
