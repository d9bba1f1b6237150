"""Fit boosted trees with XGBoost, store them as plain arrays, and predict from the arrays.

XGBoost reads its own files without checks: a damaged file can overwrite memory. So a head stores no
XGBoost object, and predicts from arrays that `array_checks` verifies.
"""

from __future__ import annotations

import json
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator

from gzfeatures.errors import InputError, require_packages
from gzfeatures.features.matrices import Matrix

ROWS = 256
"""Number of rows that go through all trees at once."""
DEEPEST = 64
"""Largest allowed depth of a tree in a file."""


class BoostedTrees(BaseEstimator):  # type: ignore[misc]
    """Fit boosted trees with XGBoost (doi:10.1145/2939672.2939785), and store them as plain arrays.

    Parameters
    ----------
    kind : {"XGBClassifier", "XGBRegressor"}
        Probabilities of classes, or several numbers.
    rounds, depth, bins : int
        Rounds of boosting, levels of a tree, bins of a column.
    rate, columns : float
        Learning rate, and share of the columns that each tree uses.
    device : str
        Where trees are grown: "cpu" or "cuda".
    seed : int
        Seed of the choice of columns.

    Attributes
    ----------
    left_, right_ : ndarray of int32
        Children of each node of all trees, shape (nodes,); −1 for a leaf.
    feature_ : ndarray of int32
        Column that a node compares with its threshold, shape (nodes,).
    value_ : ndarray of float32
        Threshold of a node (rows below it go left); for a leaf the number it adds, shape (nodes,).
    missing_left_ : ndarray of bool
        Whether NaN goes left, shape (nodes,).
    roots_, outputs_ : ndarray of int32
        First node of each tree, and the class or number to which the tree adds, shape (trees,).
    base_ : ndarray of float32
        Start value of each sum, shape (outputs,); two classes have a single sum.
    n_features_in_ : int
        Length of a row.
    classes_ : ndarray of int
        Codes 0…k−1 of a classifier.
    """

    def __init__(
        self,
        kind: Literal["XGBClassifier", "XGBRegressor"] = "XGBClassifier",
        rounds: int = 300,
        depth: int = 3,
        rate: float = 0.1,
        columns: float = 1.0,
        bins: int = 64,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.kind = kind
        self.rounds = rounds
        self.depth = depth
        self.rate = rate
        self.columns = columns
        self.bins = bins
        self.device = device
        self.seed = seed

    def fit(
        self,
        X: Matrix,
        y: npt.NDArray[Any],
        sample_weight: npt.NDArray[np.floating] | None = None,
    ) -> Self:
        """Fit trees that predict targets y, class codes or numbers, from the rows of X (n, d).

        A classifier needs class codes of shape (n,) in which each integer from 0 to the largest
        code occurs, as XGBoost requires; a regressor needs numbers of shape (n,) or (n, m).
        `sample_weight`, shape (n,), weighs the rows.
        """
        require_packages("the head xgboost", "xgboost")
        import xgboost

        machine = getattr(xgboost, self.kind)(
            n_estimators=self.rounds,
            max_depth=self.depth,
            learning_rate=self.rate,
            colsample_bytree=self.columns,
            max_bin=self.bins,
            tree_method="hist",
            device=self.device,
            random_state=self.seed,
        ).fit(X, y, sample_weight=sample_weight)
        # take the trees from XGBoost's JSON: its format is documented, its Python objects are not
        learner = json.loads(machine.get_booster().save_raw("json"))["learner"]
        model = learner["gradient_booster"]["model"]
        trees = model["trees"]
        # one array contains the nodes of all trees: a tree's node numbers start at its first node
        sizes = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)
        first = np.cumsum(sizes) - sizes

        def joined(name: str, dtype: Any) -> npt.NDArray[Any]:
            return np.concatenate([np.asarray(tree[name], dtype=dtype) for tree in trees])

        def children(name: str) -> npt.NDArray[np.int32]:
            local = joined(name, np.int64)
            return np.where(local < 0, -1, local + np.repeat(first, sizes)).astype(np.int32)

        self.left_, self.right_ = children("left_children"), children("right_children")
        self.feature_ = joined("split_indices", np.int32)
        self.value_, self.missing_left_ = (
            joined("split_conditions", np.float32),
            joined("default_left", np.bool_),
        )
        self.roots_ = first.astype(np.int32)
        self.outputs_ = np.asarray(model["tree_info"], dtype=np.int32)
        base = np.asarray(
            json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64
        ).ravel()
        if self.kind == "XGBClassifier":
            self.classes_ = np.arange(len(np.unique(y)))
            if len(self.classes_) == 2:
                # XGBoost stores a start probability, but adds its logit to the sum over trees
                base = np.log(base) - np.log1p(-base)
        # trees for two classes add up to a single number per row, the logit of the second class
        outputs = max(1, int(self.outputs_.max()) + 1)
        self.base_ = np.asarray(np.broadcast_to(base, (outputs,)), dtype=np.float32).copy()
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: Matrix) -> Matrix:
        """Return the probability of each class, float32, shape (n, k)."""
        sums = self._tree_totals(X)
        if sums.shape[1] > 1:
            return np.asarray(softmax(sums, axis=1), dtype=np.float32)
        second = expit(sums[:, 0])
        return np.stack([1 - second, second], axis=1)

    def predict(self, X: Matrix) -> npt.NDArray[Any]:
        """Return numbers, float32, shape (n, m), or the most probable class, shape (n,)."""
        return (
            self._tree_totals(X)
            if self.kind == "XGBRegressor"
            else self.classes_[self.predict_proba(X).argmax(1)]
        )

    def _tree_totals(self, X: Matrix) -> Matrix:
        """Return the sum, over trees, of the leaf values that each row reaches, (n, outputs)."""
        X = np.asarray(X, dtype=np.float32)
        adds = np.zeros((len(self.roots_), len(self.base_)), dtype=np.float32)
        adds[np.arange(len(self.roots_)), self.outputs_] = 1
        # let each leaf be its own child: all rows can then take as many steps as the deepest tree
        # has levels. Store both children of a node side by side
        leaf, itself = self.left_ < 0, np.arange(len(self.left_))
        below = np.stack(
            [np.where(leaf, itself, self.right_), np.where(leaf, itself, self.left_)], axis=1
        ).ravel()
        depth, sums = self.levels, np.empty((len(X), len(self.base_)), dtype=np.float32)
        for start in range(0, len(X), ROWS):
            rows = np.ascontiguousarray(X[start : start + ROWS])
            gaps = bool(np.isnan(rows).any())
            at = np.tile(self.roots_.astype(np.int64), (len(rows), 1))
            begin = np.arange(len(rows))[:, None] * rows.shape[1]
            # all rows go down all trees together, level by level, because a Python
            # loop over rows is slow
            for _ in range(depth):
                values = rows.take(begin + self.feature_.take(at))
                lower = values < self.value_.take(at)
                if gaps:
                    lower |= np.isnan(values) & self.missing_left_.take(at)
                at = below.take(2 * at + lower)
            sums[start : start + len(rows)] = self.value_.take(at) @ adds + self.base_
        return sums

    @property
    def levels(self) -> int:
        """Return the depth of the deepest tree: its number of levels below the root.

        Raises
        ------
        InputError
            A tree has more levels than gzfeatures allows.
        """
        level = self.roots_[self.left_[self.roots_] >= 0]
        for depth in range(DEEPEST + 1):
            if not len(level):
                return depth
            below = np.concatenate([self.left_[level], self.right_[level]])
            level = below[self.left_[below] >= 0]
        raise InputError("trees are too deep", rule=f"have {DEEPEST} levels at most")
