"""Write the calibrated class probabilities of a head as operators of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.heads.estimators.build import Ensemble
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.portable.graph_builder import GraphBuilder, Value
from gzfeatures.portable.machine_nodes import linear_scores, pipeline_output

TINY = 1e-7
"""Smaller probabilities are replaced by this before a logarithm, as in `estimators.calibrated`."""
NEVER = -1e30
"""Score given to a class without training galaxies: softmax turns it into probability 0."""


def calibrated_probabilities(builder: GraphBuilder, head: Calibrated, rows: Value) -> Value:
    """Add a calibrated classifier's operators to an ONNX graph; return its probabilities (n, k).

    The formula is that of `Calibrated`: softmax(a·score + b) with fitted offsets b (method platt)
    or b = 0 (method temperature). Isotonic calibration then applies a monotone function to the
    probabilities of each class.
    """
    inner = head.estimator_
    if isinstance(inner, Ensemble):
        outputs = _together(builder, inner, rows)
    else:
        outputs = pipeline_output(builder, inner, rows)
    if head.output == "predict_proba":
        outputs = _logarithm(builder, outputs)
    k = len(head.classes_)
    scores = widened(builder, outputs, head.known_, k, NEVER)
    scaled = builder.node("Mul", scores, builder.constant([float(head.scale_)]))
    shifted = builder.node("Add", scaled, builder.constant(head.bias_))
    p = builder.node("Softmax", shifted, axis=1)
    if head.steps_:
        p = _stepped(builder, head, p, k)
    return builder.shared(builder.node("Mul", p, builder.constant(head.weights_)))


def widened(
    builder: GraphBuilder, value: Value, columns: npt.NDArray[Any], width: int, absent: float
) -> Value:
    """Add operators that give each class without training galaxies a column full of `absent`."""
    if len(columns) == width:
        return value
    nothing = builder.node("Mul", builder.columns(value, [0]), builder.constant([0.0]))
    nothing = builder.node("Add", nothing, builder.constant([absent]))
    place = np.full(width, len(columns))
    place[columns] = np.arange(len(columns))
    return builder.columns(builder.node("Concat", value, nothing, axis=1), place)


def _logarithm(builder: GraphBuilder, p: Value) -> Value:
    return builder.node("Log", builder.node("Max", p, builder.constant([TINY])))


def _stepped(builder: GraphBuilder, head: Calibrated, p: Value, k: int) -> Value:
    """Add operators that calibrate class probabilities by step functions (isotonic calibration)."""
    # `stepped_` lists the classes with a step function; a head of an older version lacks this list,
    # because all its classes have one
    stepped = np.asarray(getattr(head, "stepped_", np.arange(k)))
    among = builder.columns(p, stepped)
    whole = builder.node("Max", builder.total(among), builder.constant([TINY]))
    part = builder.node("Div", among, whole)
    columns = [
        _interpolated(builder, builder.columns(part, [c]), step)
        for c, step in enumerate(head.steps_)
    ]
    part = builder.node("Max", builder.node("Concat", *columns, axis=1), builder.constant([TINY]))
    part = builder.node("Mul", builder.shared(part), whole)
    both = builder.node("Concat", p, part, axis=1)
    place = np.arange(k)
    place[stepped] = k + np.arange(len(stepped))
    return builder.shared(builder.columns(both, place))


def _interpolated(builder: GraphBuilder, x: Value, step: npt.NDArray[np.float64]) -> Value:
    """Add operators for linear interpolation between points (2, m), for values (n, 1)."""
    if step.shape[1] == 1:
        flat = builder.node("Mul", x, builder.constant([0.0]))
        return builder.node("Add", flat, builder.constant(step[1]))
    starts = builder.constant(step[0])
    reached = builder.node("GreaterOrEqual", x, starts)
    counted = builder.total(builder.node("Cast", reached, to=7))
    last = builder.constant([step.shape[1] - 2], np.int64)
    zero, one = builder.constant([0], np.int64), builder.constant([1], np.int64)
    left = builder.node("Max", builder.node("Sub", counted, one), zero)
    left = builder.node("Min", left, last)
    right = builder.node("Add", left, one)
    heights = builder.constant(step[1])
    x0, x1 = (builder.node("Gather", starts, at) for at in (left, right))
    y0, y1 = (builder.node("Gather", heights, at) for at in (left, right))
    # prevent division by zero: two points that differ in float64 may be equal in float32
    run = builder.node("Max", builder.node("Sub", x1, x0), builder.constant([1e-30]))
    share = builder.node("Div", builder.node("Sub", x, x0), run)
    share = builder.node("Clip", share, builder.constant(0.0), builder.constant(1.0))
    rise = builder.node("Mul", share, builder.node("Sub", y1, y0))
    return builder.node("Add", y0, rise)


def _together(builder: GraphBuilder, head: Ensemble, rows: Value) -> Value:
    """Add operators that combine the probabilities of all members of an ensemble."""
    members = [
        builder.node("Max", calibrated_probabilities(builder, each, rows), builder.constant([TINY]))
        for each in head.members_
    ]
    total = members[0]
    for member in members[1:]:
        total = builder.node("Add", total, member)
    p = builder.node("Mul", total, builder.constant([1 / len(members)]))
    if head.judge_ is None:
        return builder.shared(p)
    logs = builder.node("Log", builder.node("Concat", *members, axis=1))
    # `judge_` is a regression that combines the probabilities of the ensemble's members. It knows
    # only classes with galaxies in its training set: for other classes take the members' mean
    k, columns = len(head.classes_), np.searchsorted(head.classes_, head.judge_.classes_)
    whole = builder.total(builder.columns(p, columns))
    judged = builder.node("Softmax", linear_scores(builder, head.judge_, logs), axis=1)
    both = builder.node("Concat", p, builder.node("Mul", judged, whole), axis=1)
    place = np.arange(k)
    place[columns] = k + np.arange(len(columns))
    return builder.shared(builder.columns(both, place))
