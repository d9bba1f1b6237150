"""Write boosted trees as simple ONNX operators, which OpenVINO can compute, too.

OpenVINO does not support ONNX's own operator for trees. Here all galaxies go down all trees at the
same time, one level in each step, as in `BoostedTrees`.
"""

from __future__ import annotations

import numpy as np

from gzfeatures.heads.trees import BoostedTrees
from gzfeatures.portable.graph_builder import GraphBuilder, Value

ROUNDING = 1e-5
"""Relative amount by which thresholds on principal components are lowered.

XGBoost's thresholds are exactly equal to values of training galaxies. Another library rounds a
principal component differently: without this margin, a galaxy could reach another leaf.
"""


def tree_totals(builder: GraphBuilder, trees: BoostedTrees, rows: Value, *, rounded: bool) -> Value:
    """Add operators that sum, over all trees, the leaf values that each galaxy reaches.

    Parameters
    ----------
    builder : GraphBuilder
        Graph to which the operators are added.
    trees : BoostedTrees
        Fitted trees.
    rows : str
        Name of a tensor with finite values (n, d), float32.
    rounded : bool
        True if the values are principal components, which each library rounds differently.
    """
    roots = len(trees.roots_)
    leaf, itself = trees.left_ < 0, np.arange(len(trees.left_))
    # every galaxy takes as many steps as the deepest tree has levels: make each leaf its own child,
    # so that a galaxy that has reached a leaf stays there
    below = np.stack(
        [np.where(leaf, itself, trees.right_), np.where(leaf, itself, trees.left_)], axis=1
    )
    features = builder.constant(trees.feature_, np.int64)
    values = np.asarray(trees.value_, dtype=np.float64)
    nearer = np.maximum(np.abs(values), 1) * ROUNDING if rounded else 0.0
    thresholds = builder.constant(values - nearer)
    children = builder.constant(below.ravel(), np.int64)
    # every galaxy starts at the root of each tree: add the roots (1, trees) to zeros (n, 1), which
    # gives (n, trees) for any number n of galaxies
    zeros = builder.node("Mul", builder.columns(rows, [0]), builder.constant([0.0]))
    at = builder.node(
        "Add",
        builder.node("Cast", zeros, to=7),
        builder.constant(trees.roots_.reshape(1, roots), np.int64),
    )
    two = builder.constant([2], np.int64)
    for _ in range(trees.levels):
        asked = builder.node("Gather", features, at)
        numbers = builder.node("GatherElements", rows, asked, axis=1)
        lower = builder.node("Less", numbers, builder.node("Gather", thresholds, at))
        step = builder.node("Add", builder.node("Mul", at, two), builder.node("Cast", lower, to=7))
        at = builder.node("Gather", children, step)
    adds = np.zeros((roots, len(trees.base_)), dtype=np.float32)
    adds[np.arange(roots), trees.outputs_] = 1
    leaves = builder.node("Gather", builder.constant(values), at)
    sums = builder.node("MatMul", leaves, builder.constant(adds))
    return builder.node("Add", sums, builder.constant(trees.base_))
