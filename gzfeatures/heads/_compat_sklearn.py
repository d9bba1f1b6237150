"""scikit-learn's part without a promise of stability: the optimiser that a fitted network keeps.

Predicting needs none, so heads are written without; the path of its class remains for heads of earlier versions.
"""

from __future__ import annotations

from sklearn.neural_network import MLPClassifier

OPTIMIZERS = ("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",)
"""Types that heads written before may hold; they are read as long as scikit-learn has them."""


def without_optimizer(network: MLPClassifier) -> None:
    """Forget the optimiser of a fitted network: its module is private, and a head file would name it."""
    vars(network).pop("_optimizer", None)
