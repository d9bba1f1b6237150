"""Refuse predictions of wrong shape or range, and predictions that labels cannot score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gzfeatures.errors import InputError, LeakError
from gzfeatures.ids import require_unique

if TYPE_CHECKING:
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.galaxies.labels.labels import Labels


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


def scorable(predictions: Predictions, labels: Labels) -> Labels:
    """Return the labels of the predicted galaxies, in the same order; refuse training galaxies.

    Raises
    ------
    LeakError
        A galaxy was trained on, or is in one group with a training galaxy.
    InputError
        No prediction, a galaxy without label, or labels of other classes or of another kind.
    """
    if not len(predictions):
        raise InputError("no galaxy to score", rule="have at least one prediction")
    if predictions.seen is not None and predictions.seen.any():
        raise LeakError(
            f"{predictions.seen.sum()} of {len(predictions)} galaxies were trained on, "
            "or one of their group was",
            rule="be scored on galaxies kept out of training",
            found=str(predictions.ids[np.argmax(predictions.seen)]),
            remedy="select the test ids of the split before scoring",
        )
    if predictions.classes != labels.classes or predictions.kind != labels.target:
        raise InputError(
            "predictions and labels are of different schemes",
            rule=f"predict {labels.target} {', '.join(labels.classes)}",
            found=f"{predictions.kind} {', '.join(predictions.classes)}",
        )
    return labels.select(predictions.ids)


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
