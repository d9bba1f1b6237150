"""Calibrate a network's probabilities by one number, the temperature that divides its logits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels

Array = npt.NDArray[np.float64]

NO_PROBABILITIES = ("fractions", *VALUE_TARGETS)
"""Kinds of predictions that a temperature cannot calibrate."""
_TINY = 1e-12
SPREAD = 1.0
"""Prior standard deviation of log T: with only a handful of galaxies, T stays near 1."""
SOLVED_SPREAD = 0.4
"""Prior standard deviation of log T if only the output layer was fitted, which brings T near 1.

With 25 galaxies the most likely T may be half or twice that of 1,500 other galaxies, and costs more
than it gains (`experiments/README.md`, fine-tuning against heads).
"""


def tempered(probabilities: Array, temperature: float, kind: str) -> Array:
    """Return class probabilities after dividing their logits by a temperature.

    The result is the softmax or sigmoid of the logits divided by T (Guo+2017, arXiv:1706.04599).

    Parameters
    ----------
    probabilities : ndarray of float64
        Shape (n, k), in [0, 1].
    temperature : float
        > 0; above 1, the probabilities become less certain.
    kind : {"classes", "multi-label", "fractions", "value", "redshift"}
        Fractions are returned unchanged: they are no probabilities.

    Examples
    --------
    >>> tempered(np.array([[0.9, 0.1]]), 2.0, "classes").round(2).tolist()
    [[0.75, 0.25]]
    """
    if kind in NO_PROBABILITIES or temperature == 1:
        return probabilities
    if kind == "classes":
        return np.asarray(
            softmax(np.log(np.maximum(probabilities, _TINY)) / temperature, axis=1),
            dtype=np.float64,
        )
    return np.asarray(
        expit(logit(np.clip(probabilities, _TINY, 1 - _TINY)) / temperature), dtype=np.float64
    )


def temperature_of(predictions: Predictions, labels: Labels, spread: float = SPREAD) -> float:
    """Return the temperature with the least log loss on galaxies kept out of training.

    Parameters
    ----------
    predictions : Predictions
        Uncalibrated predictions of galaxies kept out of training.
    labels : Labels
        True labels of these galaxies.
    spread : float
        Prior standard deviation of log T around 0, > 0.

    Returns
    -------
    float
        In (0.05, 20); 1 for fractions, or without galaxies.
    """
    if predictions.kind in NO_PROBABILITIES or not len(predictions):
        return 1.0
    truth = labels.select(predictions.ids)
    p = predictions.probabilities

    def loss(log_t: float) -> float:
        # search over the logarithm of T, so that halving T and doubling T are equal steps
        q = tempered(p, float(np.exp(log_t)), predictions.kind)
        if predictions.kind == "classes":
            chances = q[np.arange(len(q)), truth.codes]
        else:
            chances = np.where(np.asarray(truth.values, dtype=bool), q, 1 - q)
        return float(-np.log(np.maximum(chances, _TINY)).sum() + (log_t / spread) ** 2 / 2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
