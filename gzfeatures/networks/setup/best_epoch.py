"""Choose the epoch whose weights a training keeps, from what validation galaxies say of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.metrics import CALIBRATED
from gzfeatures.evaluation.statistics.proportions import Array
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.networks.setup.recipe import MONITORS, TrainingRecipe

DEFAULT_MONITOR: dict[str, str] = {
    "classes": "log_loss",
    "multi-label": "log_loss",
    **dict.fromkeys(("fractions", *VALUE_TARGETS), "rmse"),
}
"""Metric that compares epochs, by the type of the labels."""
CLEARLY = 2.0
"""Standard errors by which an epoch must be better than the fitted output layer to be kept.

One is exceeded by chance by one of fifteen epochs more often than not."""
SMOOTHED = 3
"""Number of epochs over which the monitored metric is averaged."""


def monitor_of(recipe: TrainingRecipe, kind: str) -> str:
    """Return the metric that compares epochs: the recipe's, or the default for a type of labels.

    Examples
    --------
    >>> monitor_of(TrainingRecipe(), "fractions")
    'rmse'
    """
    return recipe.monitor or DEFAULT_MONITOR[kind]


def best_row(history: Sequence[Mapping[str, Any]], monitor: str) -> int:
    """Return the index of the best epoch, by the metric's mean over three epochs.

    The three are the epoch and the two before. Of a log loss, the calibrated one counts.

    Where the output layer was fitted first, only epochs count that are better than it (epoch 0) by
    more than `CLEARLY` standard errors of the differences galaxy by galaxy (one error:
    Breiman+1984, section 3.4.3), and in the mean of three; without such an epoch, epoch 0 is the
    best.

    Parameters
    ----------
    history : sequence of mappings
        Metrics of each epoch on validation galaxies; where the output layer was fitted first, with
        `gain` and `gain_error` of `gain_of`. A metric that is NaN or infinite is the worst.
    monitor : str
        Name of the metric that compares epochs.

    Examples
    --------
    >>> best_row([{"rmse": 0.20}, {"rmse": 0.14}, {"rmse": 0.18}], "rmse")
    1
    >>> best_row([{"rmse": 0.2}, {"rmse": 0.1, "gain": 0.1, "gain_error": 0.06}], "rmse")
    0
    """
    # average each epoch's metric with the two epochs before: one lucky epoch must not win
    sign = 1 if MONITORS[monitor] else -1
    name = f"{CALIBRATED}{monitor}"
    # a history that an earlier version began has no calibrated log loss at its start
    name = name if all(name in row for row in history) else monitor
    values = [sign * row[name] for row in history]
    values = [value if math.isfinite(value) else -1e30 for value in values]
    smooth = [np.mean(values[max(0, row - SMOOTHED + 1) : row + 1]) for row in range(len(values))]
    # judge each epoch by itself, so that one that was kept once is replaced by later ones only: the
    # weights of earlier epochs are gone
    gained = [
        n
        for n, row in enumerate(history)
        if "gain" not in row
        or (row["gain"] > CLEARLY * row["gain_error"] and smooth[n] > smooth[0])
    ]
    return max(gained, key=lambda row: float(smooth[row]), default=0)


def gain_of(shares: Array, solved: npt.ArrayLike, monitor: str) -> dict[str, float]:
    """Return the metric's mean gain per galaxy over the fitted output layer, and its error.

    Parameters
    ----------
    shares : ndarray of float64
        Shape (n,), what each validation galaxy adds to the metric in an epoch.
    solved : ndarray of float64
        Shape (n,), what it added in epoch 0, in which only the output layer is fitted.
    monitor : str
        Name of the metric.

    Returns
    -------
    dict
        `gain`, positive if the epoch is better, and its standard error `gain_error`; 0 for a single
        galaxy.

    Examples
    --------
    >>> gain_of(np.array([0.1, 0.3]), np.array([0.3, 0.5]), "log_loss")["gain"]
    0.2
    """
    sign = 1 if MONITORS[monitor] else -1
    difference = sign * (shares - np.asarray(solved))
    error = difference.std(ddof=1) / math.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return {"gain": float(difference.mean()), "gain_error": float(error)}
