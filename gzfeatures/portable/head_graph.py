"""Write a head as an ONNX graph, which computes predictions and class sets from embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.heads.estimators.build import Answers, Flags
from gzfeatures.heads.estimators.numbers import NumberRegression
from gzfeatures.heads.head import Head
from gzfeatures.portable.calibration_nodes import calibrated_probabilities, widened
from gzfeatures.portable.graph_builder import GraphBuilder, Value
from gzfeatures.portable.machine_nodes import pipeline_output
from gzfeatures.portable.set_nodes import class_set, familiarity_p
from gzfeatures.unlabelled.familiarity import LEVEL

VECTORS = "vectors"
CLASS, SET, FAMILIARITY = "class", "class_set", "familiarity_p"
VALUES = {"classes": "probabilities", "multi-label": "probabilities", "fractions": "fractions"}
"""Kind of prediction → name of the ONNX file's main output; for a number the name is `value`."""


def main_output(head: Head) -> str:
    """Return the name of the ONNX output with probabilities, vote fractions or numbers."""
    return VALUES.get(head.target, "value")


def head_graph(head: Head) -> Any:
    """Return a head as an ONNX model; its input `vectors` are embeddings (n, dim), float32.

    Returns
    -------
    ModelProto
        Outputs: `probabilities` (n, k), or `fractions` (n, k), or `value` (n, 1). A head that
        predicts classes also has `class` (n,), the number of the most probable class, and, with
        conformal sets, `class_set` (n, k), bool. A head that measures familiarity has
        `familiarity_p` (n,); galaxies with a p value below .01 then have an empty class set.

    Raises
    ------
    MissingExtraError, InputError
        onnx is not installed; the head reads several tables or catalog columns; or its classifier
        or regressor cannot be written in ONNX.
    """
    if len(head.extractors) != 1 or head.columns:
        raise InputError(
            "head reads more than the vectors of one backbone",
            where=f"head {head.name}",
            rule="read one table and no catalog columns to be exported",
        )
    builder, k = GraphBuilder("gzfeatures"), len(head.classes)
    values = _values(builder, head)
    if head.target == "classes":
        values = widened(builder, values, head.estimator.classes_, k, 0.0)
    builder.output(main_output(head), values, np.float32, k)
    known = None
    if head.familiarity is not None:
        p = familiarity_p(builder, head.familiarity, VECTORS)
        known = builder.node("GreaterOrEqual", p, builder.constant([LEVEL]))
        builder.output(FAMILIARITY, p, np.float32, None)
    if head.target == "classes":
        winner = builder.node("ArgMax", values, axis=1, keepdims=0)
        builder.output(CLASS, winner, np.int64, None)
        if head.sets is not None:
            members = class_set(builder, head.sets, values, winner, known)
            builder.output(SET, members, np.bool_, k)
    return builder.model({VECTORS: head.dim})


def _values(builder: GraphBuilder, head: Head) -> Value:
    """Add operators for the head's probabilities, vote fractions or numbers, shape (n, k)."""
    estimator = head.estimator
    if head.target in VALUE_TARGETS:
        return _number(builder, estimator)
    if head.target == "fractions":
        return _fractions(builder, estimator)
    if head.target == "multi-label":
        return _flags(builder, estimator)
    return calibrated_probabilities(builder, estimator, VECTORS)


def _number(builder: GraphBuilder, head: NumberRegression) -> Value:
    standard = pipeline_output(builder, head.estimator_, VECTORS)
    scaled = builder.node("Mul", standard, builder.constant([float(head.scale_)]))
    return builder.node("Add", scaled, builder.constant([float(head.mean_)]))


def _fractions(builder: GraphBuilder, head: Answers) -> Value:
    parts = [pipeline_output(builder, each, VECTORS) for each in head.estimators_]
    together = builder.node("Concat", *parts, axis=1)
    # each regression predicts the vote fractions of some answers: bring all columns into the
    # original order of the answers
    order = np.argsort(np.concatenate(head.answers_))
    return builder.node(
        "Clip", builder.columns(together, order), builder.constant(0.0), builder.constant(1.0)
    )


def _flags(builder: GraphBuilder, head: Flags) -> Value:
    zeros = builder.node("Mul", builder.columns(VECTORS, [0]), builder.constant([0.0]))
    learned = iter(head.estimators_)
    columns = [
        builder.columns(calibrated_probabilities(builder, next(learned), VECTORS), [1])
        if np.isnan(constant)
        else builder.node("Add", zeros, builder.constant([constant]))
        for constant in head.constant_
    ]
    return builder.node("Concat", *columns, axis=1)
