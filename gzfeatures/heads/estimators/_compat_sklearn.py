"""Use private parts of scikit-learn: a network's optimiser, and the data of neighbours.

Predicting needs no optimiser, so heads are written without one; the path of its class remains for
heads of earlier versions.
"""

from __future__ import annotations

from typing import Any

from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

OPTIMIZERS = ("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",)
"""Types in heads of earlier versions, which can be read as long as scikit-learn has these types."""


def without_optimizer(network: MLPClassifier) -> None:
    """Remove the optimiser from a fitted network; its private type would enter the head file."""
    vars(network).pop("_optimizer", None)


def fitted_neighbours(machine: KNeighborsClassifier) -> tuple[Any, Any, Any]:
    """Return the vectors (n, d), codes (n,) and algorithm of a fitted neighbour classifier."""
    return machine._fit_X, machine._y, machine._fit_method
