"""Write class sets, and p values of distances to training galaxies, as ONNX operators."""

from __future__ import annotations

import numpy as np

from gzfeatures.evaluation.conformal_sets import PENALTY, UNPENALISED, Conformal
from gzfeatures.portable.graph_builder import GraphBuilder, Value
from gzfeatures.unlabelled.familiarity import CLIP, Familiarity


def familiarity_p(builder: GraphBuilder, known: Familiarity, vectors: Value) -> Value:
    """Add operators for the p value of each galaxy's distance to the training galaxies.

    Their output has shape (n,).

    As in `Familiarity.p_values`, the p value is the fraction of calibration galaxies that are at
    least as far from the training galaxies as this galaxy.
    """
    # first divide each vector by its largest number, because the square of a very large number
    # would overflow
    largest = builder.node(
        "ReduceMax", builder.node("Abs", vectors), builder.constant([1], np.int64), keepdims=1
    )
    largest = builder.node("Max", largest, builder.constant([np.finfo(np.float32).tiny]))
    scaled = builder.node("Div", vectors, largest)
    squared = builder.total(builder.node("Mul", scaled, scaled))
    # prevent division by zero: a vector of zeros has length 0
    length = builder.node("Max", builder.node("Sqrt", squared), builder.constant([1e-30]))
    directions = builder.node("Div", scaled, length)
    along = builder.node(
        "MatMul",
        builder.node("Sub", directions, builder.constant(known.centre)),
        builder.constant(known.axes.T),
    )
    coordinates = builder.node("Div", along, builder.constant(known.spread))
    squares = builder.total(builder.node("Mul", coordinates, coordinates))
    distance = builder.node("Log", builder.node("Max", squares, builder.constant([1e-12])))
    if known.contrast is not None:
        near = builder.node("Clip", coordinates, builder.constant(-CLIP), builder.constant(CLIP))
        contrast = builder.constant(known.contrast[:, None])
        distance = builder.node("Add", distance, builder.node("MatMul", near, contrast))
    m = len(known.distances)
    farther = builder.node("LessOrEqual", distance, builder.constant(known.distances))
    count = builder.total(builder.node("Cast", farther, to=1), keep=False)
    # a conformal p value is (count + 1) / (m + 1): the new galaxy itself counts as one of m + 1
    more = builder.node("Add", count, builder.constant([1.0]))
    return builder.node("Div", more, builder.constant([m + 1.0]))


def class_set(
    builder: GraphBuilder, sets: Conformal, probabilities: Value, winner: Value, known: Value | None
) -> Value:
    """Add operators that mark the classes in each galaxy's conformal set, bool (n, k).

    Parameters
    ----------
    builder : GraphBuilder
        Graph to which the operators are added.
    sets : Conformal
        Thresholds from which the sets are computed.
    probabilities, winner : str
        Names of two tensors: probabilities of the classes (n, k), and number of the most probable
        class (n,).
    known : str, optional
        Name of a tensor, bool (n,): True if a galaxy is like the training galaxies; if it is False,
        the galaxy's set is empty.
    """
    conformity = probabilities
    if sets.method == "raps":
        conformity = _adaptive(builder, probabilities, len(sets.classes))
    members = builder.node("GreaterOrEqual", conformity, builder.constant(sets.thresholds))
    column = builder.constant([1], np.int64)
    first = builder.node("Unsqueeze", winner, column)
    codes = builder.constant(np.arange(len(sets.classes)), np.int64)
    members = builder.node("Or", members, builder.node("Equal", first, codes))
    if known is None:
        return members
    return builder.node("And", members, builder.node("Unsqueeze", known, column))


def _adaptive(builder: GraphBuilder, p: Value, k: int) -> Value:
    """Add operators that measure by RAPS how well each class fits a galaxy, shape (n, k).

    The measure is 1 − the summed probability of all likelier classes − a penalty from the third
    most probable class on.
    """
    other = builder.node("Unsqueeze", p, builder.constant([2], np.int64))
    itself = builder.node("Unsqueeze", p, builder.constant([1], np.int64))
    # of two equally probable classes the one with the smaller number ranks first, as in the stable
    # sort that the head itself uses
    earlier = builder.constant(np.triu(np.ones((k, k), dtype=bool), 1), np.bool_)
    tied = builder.node("And", builder.node("Equal", other, itself), earlier)
    ahead = builder.node(
        "Cast", builder.node("Or", builder.node("Greater", other, itself), tied), to=1
    )
    likelier = builder.total(builder.node("Mul", ahead, other), keep=False)
    rank = builder.total(ahead, keep=False)
    late = builder.node(
        "Max",
        builder.node("Sub", rank, builder.constant([UNPENALISED - 1.0])),
        builder.constant([0.0]),
    )
    score = builder.node("Add", likelier, builder.node("Mul", late, builder.constant([PENALTY])))
    score = builder.node("Clip", score, builder.constant(0.0), builder.constant(1.0))
    return builder.node("Sub", builder.constant([1.0]), score)
