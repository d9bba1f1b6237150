"""scikit-learn's parts without a promise of stability: a fitted network's optimiser, what fitted neighbours keep.

Predicting needs none, so heads are written without; the path of its class remains for heads of
earlier versions.
"""

from __future__ import annotations

from typing import Any

from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

OPTIMIZERS = ("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",)
"""Types that heads written before may hold; they are read as long as scikit-learn has them."""


def without_optimizer(network: MLPClassifier) -> None:
    """Forget the optimiser of a fitted network: its module is private, and a head file would name it."""
    vars(network).pop("_optimizer", None)


def fitted_neighbours(machine: KNeighborsClassifier) -> tuple[Any, Any, Any]:
    """Vectors (n, d), codes (n,) and algorithm that fitted neighbours keep: they have no public name."""
    return machine._fit_X, machine._y, machine._fit_method
