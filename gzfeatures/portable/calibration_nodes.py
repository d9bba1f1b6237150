"""Write calibrated class probabilities of a head as operators of an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.heads.estimators.build import Ensemble
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.portable.graph_builder import GraphBuilder, Value
from gzfeatures.portable.machine_nodes import linear_scores, pipeline_output

TINY = 1e-7
"""Least probability before a logarithm or a division, as in `heads.estimators.calibrated`."""
NEVER = -1e30
"""Score of a class that was not trained on: its probability is 0."""


def calibrated_probabilities(builder: GraphBuilder, head: Calibrated, rows: Value) -> Value:
    """Add operators for a calibrated classifier; return its probabilities (n, k).

    The calibrations are those of `Calibrated`: softmax(a·score + b) with its own offsets (platt) or
    without (temperature), and the same followed by a monotone function of each class (isotonic).
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
    """Add columns of a constant value for classes that the classifier was not trained on."""
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
    """Add operators for the isotonic calibration of the classes that have one."""
    # heads of earlier versions have a step function for every class, and no list of these classes
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
    """Add operators that interpolate between points (2, m), constant outside, for values (n, 1)."""
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
    # points that differ in double precision may be equal in single precision, so prevent division
    # by zero
    run = builder.node("Max", builder.node("Sub", x1, x0), builder.constant([1e-30]))
    share = builder.node("Div", builder.node("Sub", x, x0), run)
    share = builder.node("Clip", share, builder.constant(0.0), builder.constant(1.0))
    rise = builder.node("Mul", share, builder.node("Sub", y1, y0))
    return builder.node("Add", y0, rise)


def _together(builder: GraphBuilder, head: Ensemble, rows: Value) -> Value:
    """Add operators to the graph that compute and combine the probabilities of all members."""
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
    # the combining regression cannot predict a class without held-back rows; that class keeps the
    # members' mean probability
    k, columns = len(head.classes_), np.searchsorted(head.classes_, head.judge_.classes_)
    whole = builder.total(builder.columns(p, columns))
    judged = builder.node("Softmax", linear_scores(builder, head.judge_, logs), axis=1)
    both = builder.node("Concat", p, builder.node("Mul", judged, whole), axis=1)
    place = np.arange(k)
    place[columns] = k + np.arange(len(columns))
    return builder.shared(builder.columns(both, place))
