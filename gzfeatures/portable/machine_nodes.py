"""Write the steps of a head (scaling, PCA, classifier) as operators of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from gzfeatures.errors import InputError
from gzfeatures.heads.estimators.build import Perceptron
from gzfeatures.heads.estimators.machines import (
    LinearMachine,
    Prototype,
    RbfMachine,
    RbfRegression,
    RidgeRegression,
)
from gzfeatures.heads.estimators.transforms import Compress, Fill, Standardise
from gzfeatures.heads.trees import BoostedTrees
from gzfeatures.portable.graph_builder import GraphBuilder, Value
from gzfeatures.portable.tree_nodes import tree_totals


def pipeline_output(builder: GraphBuilder, steps: Pipeline, rows: Value) -> Value:
    """Add operators for all steps of a head to an ONNX graph; return the last step's output.

    The output has a score or probability for each class, or a predicted number, float32.

    Raises
    ------
    InputError
        The classifier or regressor cannot be written in ONNX.
    """
    rounded = any(isinstance(step, Compress) for _, step in steps.steps)
    for name, step in steps.steps:
        if name == "machine" and isinstance(step, BoostedTrees):
            return _trees(builder, step, rows, rounded)
        if name == "machine":
            write = _MACHINES.get(type(step))
            if write is None:
                raise InputError(
                    "head cannot be exported",
                    where=type(step).__name__,
                    rule="be one of svm, logistic, linear-svm, xgboost, lda, mlp, prototype, "
                    "ensemble of these, ridge, svr and xgboost-regression",
                )
            return write(builder, step, rows)
        rows = _transformed(builder, step, rows)
    raise InputError("steps of the head", rule="end with a machine")


def _transformed(builder: GraphBuilder, step: Any, rows: Value) -> Value:
    if isinstance(step, Fill):
        gaps = builder.node("IsNaN", rows)
        return builder.node("Where", gaps, builder.constant(step.medians_), rows)
    if isinstance(step, Standardise):
        centred = builder.node("Sub", rows, builder.constant(step.mean_))
        return builder.node("Div", centred, builder.constant(step.scale_))
    if isinstance(step, Compress):
        pca = step.pca_
        centred = builder.node("Sub", rows, builder.constant(pca.mean_))
        axes = builder.constant(pca.components_.T)
        along = builder.node("MatMul", centred, axes)
        if not pca.whiten:
            return along
        # a principal component without variance would cause division by zero: use the same lower
        # limit as scikit-learn
        spread = np.maximum(np.sqrt(pca.explained_variance_), np.finfo(np.float32).eps)
        return builder.node("Div", along, builder.constant(spread))
    raise InputError("step of the head is unknown", found=type(step).__name__)


def linear_scores(builder: GraphBuilder, machine: LinearMachine, rows: Value) -> Value:
    """Add operators that compute the class scores of a linear classifier, shape (n, k)."""
    return _affine(builder, rows, machine.coefficients_, machine.intercept_)


def _affine(builder: GraphBuilder, rows: Value, weights: Any, intercept: Any) -> Value:
    products = builder.node("MatMul", rows, builder.constant(weights))
    return builder.node("Add", products, builder.constant(np.atleast_1d(intercept)))


def _kernel(builder: GraphBuilder, machine: RbfMachine | RbfRegression, rows: Value) -> Value:
    """Add operators for an RBF kernel machine: Σ exp(−γ‖x − vector‖²) × weights + intercept."""
    vectors = np.asarray(machine.vectors_, dtype=np.float32)
    twice = builder.node("MatMul", rows, builder.constant(2 * vectors.T))
    less = builder.node("Sub", twice, builder.constant((vectors**2).sum(1)))
    squares = builder.total(builder.node("Mul", rows, rows))
    # this is −‖x − vector‖², which is never positive; rounding could make it so: limit it to 0
    distance = builder.node(
        "Min", builder.node("Sub", less, squares), builder.constant(np.zeros(1))
    )
    scaled = builder.node("Mul", distance, builder.constant([float(machine.gamma_)]))
    return _affine(builder, builder.node("Exp", scaled), machine.weights_, machine.intercept_)


def _prototype(builder: GraphBuilder, machine: Prototype, rows: Value) -> Value:
    means, width = machine.means_, np.sqrt(machine.means_.shape[1])
    return _affine(builder, rows, means.T / width, -0.5 * (means**2).sum(1) / width)


def _trees(builder: GraphBuilder, machine: BoostedTrees, rows: Value, rounded: bool) -> Value:
    totals = tree_totals(builder, machine, rows, rounded=rounded)
    if machine.kind == "XGBRegressor":
        return totals
    return _chances(builder, totals, len(machine.base_))


def _discriminant(builder: GraphBuilder, machine: LinearDiscriminantAnalysis, rows: Value) -> Value:
    scores = _affine(builder, rows, machine.coef_.T, machine.intercept_)
    return _chances(builder, scores, len(machine.coef_))


def _network(builder: GraphBuilder, machine: Perceptron, rows: Value) -> Value:
    hidden = _affine(builder, rows, machine.coefs_[0], machine.intercepts_[0])
    scores = _affine(
        builder, builder.node("Relu", hidden), machine.coefs_[1], machine.intercepts_[1]
    )
    return _chances(builder, scores, machine.coefs_[1].shape[1])


def _chances(builder: GraphBuilder, scores: Value, width: int) -> Value:
    """Add operators that turn scores into class probabilities; a single score means two classes."""
    if width > 1:
        return builder.node("Softmax", scores, axis=1)
    second = builder.node("Sigmoid", scores)
    first = builder.node("Sub", builder.constant([1.0]), second)
    return builder.node("Concat", first, second, axis=1)


def _ridge(builder: GraphBuilder, machine: Ridge | RidgeRegression, rows: Value) -> Value:
    return _affine(builder, rows, np.atleast_2d(machine.coef_).T, machine.intercept_)


_MACHINES: dict[type, Callable[[GraphBuilder, Any, Value], Value]] = {
    LinearMachine: linear_scores,
    RbfMachine: _kernel,
    RbfRegression: _kernel,
    Prototype: _prototype,
    LinearDiscriminantAnalysis: _discriminant,
    Perceptron: _network,
    RidgeRegression: _ridge,
    # heads of earlier versions have the regression of scikit-learn itself
    Ridge: _ridge,
}
