"""Use private attributes of scikit-learn: a network's optimiser, a neighbour classifier's vectors.

Predicting needs no optimiser, so a head is written without it. Heads of earlier versions contain
one, and can be read because its class path is listed here.
"""

from __future__ import annotations

from typing import Any

from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

OPTIMIZERS = ("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",)
"""Types in heads of earlier versions; these heads can be read while scikit-learn has the types."""


def without_optimizer(network: MLPClassifier) -> None:
    """Remove the optimiser from a fitted network, to keep its private type out of head files."""
    vars(network).pop("_optimizer", None)


def fitted_neighbours(machine: KNeighborsClassifier) -> tuple[Any, Any, Any]:
    """Return the vectors (n, d), codes (n,) and algorithm of a fitted neighbour classifier."""
    return machine._fit_X, machine._y, machine._fit_method
