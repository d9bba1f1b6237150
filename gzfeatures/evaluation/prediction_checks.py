"""Refuse predictions whose arrays disagree in shape, or whose numbers are out of range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.ids import require_unique

if TYPE_CHECKING:
    from gzfeatures.evaluation.predictions import Predictions


def require_valid(predictions: Predictions) -> None:
    """Refuse predictions with repeated ids, wrong shapes or values out of range.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, a probability is NaN or outside [0, 1], the probabilities of a
        galaxy do not sum to 1, or a predicted number is not finite.
    """
    # a galaxy that occurs twice would count twice in every score
    require_unique(predictions.ids, where="predictions")
    _require_rows(predictions)
    familiarity = predictions.familiarity
    if familiarity is not None and not ((familiarity > 0) & (familiarity <= 1)).all():
        raise InputError("familiarity_p", rule="lie in (0, 1]")
    if predictions.is_value:
        _require_numbers(predictions)
    else:
        _require_probabilities(predictions)


def _require_rows(predictions: Predictions) -> None:
    """Refuse predictions without one row per galaxy and one column per class."""
    n, shape = len(predictions.ids), predictions.probabilities.shape
    if shape != (n, len(predictions.classes)):
        raise InputError(
            "predictions do not fit their ids",
            rule=f"have shape {(n, len(predictions.classes))}",
            found=shape,
        )
    for column_name, values in (
        ("mask of seen galaxies", predictions.seen),
        ("mask of unfamiliar galaxies", predictions.unfamiliar),
        ("familiarity of galaxies", predictions.familiarity),
    ):
        if values is not None and values.shape != (n,):
            raise InputError(column_name, rule=f"have shape {(n,)}", found=values.shape)
    sets = predictions.sets
    if sets is not None and sets.shape != shape:
        raise InputError("sets of classes", rule=f"have shape {shape}", found=sets.shape)


def _require_probabilities(predictions: Predictions) -> None:
    """Refuse probabilities outside [0, 1], and class probabilities that do not sum to 1."""
    p = predictions.probabilities
    # rounding in single precision: allow probabilities 1e-6 outside [0, 1], sums 1e-4 away from 1
    if not np.all((p >= -1e-6) & (p <= 1 + 1e-6)):
        raise InputError("probability is NaN or outside its range", rule="lie in [0, 1]")
    if predictions.kind == "classes" and len(p) and np.abs(p.sum(1) - 1).max() > 1e-4:
        worst = int(np.abs(p.sum(1) - 1).argmax())
        raise InputError(
            "probabilities of a galaxy",
            where=predictions.ids[worst],
            rule="sum to 1",
            found=float(p[worst].sum()),
        )


def _require_numbers(predictions: Predictions) -> None:
    """Refuse predicted numbers or interval ends that are not finite or not one per galaxy."""
    n, bounds = len(predictions.ids), predictions.bounds
    if len(predictions.classes) != 1 or not np.isfinite(predictions.probabilities).all():
        raise InputError(
            "predicted number",
            where=", ".join(predictions.classes),
            rule="be one finite number of each galaxy",
        )
    if bounds is not None and (bounds.shape != (n, 2) or not (bounds[:, 0] <= bounds[:, 1]).all()):
        raise InputError(
            "bounds of predicted numbers", rule=f"be {n} times a lower and an upper end"
        )
