"""Find labels that are likely wrong, with predictions of heads not trained on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError, LeakError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import among


def label_errors(labels: Labels, predictions: Predictions) -> pd.DataFrame:
    """Rank labels by how likely they are wrong, with predictions of heads not trained on them.

    Confident learning (Northcutt+2021, doi:10.1613/jair.1.12125, section 3.1): a class's threshold
    is the mean of its probability over the galaxies with that label. Each galaxy is assigned to the
    class of largest probability among those above their threshold. In each label class, the share
    of galaxies assigned to a different class estimates the share of wrong labels; the labels of
    lowest probability are called doubtful ("prune by class", section 3.2). A class that is hard to
    predict gets a lower threshold.

    Parameters
    ----------
    labels : Labels
        One class per galaxy.
    predictions : Predictions
        Probabilities of the same classes, for galaxies that the head was not trained on; galaxies
        without a label are ignored.

    Returns
    -------
    DataFrame
        A row per galaxy with a label and a prediction: `galaxy_id`, `label`, `suggested` (for a
        doubtful label the most probable other class, otherwise the label itself), `doubtful`,
        `p_label`, `p_suggested`, `margin` = p_label − largest other probability, in [−1, 1].
        Doubtful labels come first; doubtful and other labels are each sorted by rising margin.

    Raises
    ------
    LeakError
        A prediction is of a galaxy that the head was trained on.
    InputError
        The classes differ, the predictions are not of classes, or no galaxy has a label and a
        prediction.
    """
    if predictions.kind != "classes" or predictions.classes != labels.classes:
        raise InputError(
            "predictions do not fit the labels",
            rule=f"be of the classes {', '.join(labels.classes)}",
            found=", ".join(predictions.classes),
        )
    if predictions.seen is not None and predictions.seen.any():
        raise LeakError(
            f"{int(predictions.seen.sum())} of {len(predictions)} galaxies were trained on",
            rule="be judged by a head that did not see them",
            found=str(predictions.ids[np.argmax(predictions.seen)]),
            remedy="predict out of sample",
        )
    predictions = predictions.select(predictions.ids[among(predictions.ids, labels.ids)])
    if not len(predictions):
        raise InputError("no galaxy has a label and a prediction", rule="share ids")
    codes, p = labels.select(predictions.ids).codes, predictions.probabilities
    rows = np.arange(len(p))
    p_label = p[rows, codes]
    others = p.copy()
    others[rows, codes] = -np.inf
    doubtful = _doubtful(p, codes)
    members = np.bincount(codes, minlength=p.shape[1])
    suggested = np.where(doubtful, np.where(members > 0, others, -np.inf).argmax(1), codes)
    margin = p_label - (others.max(1) if p.shape[1] > 1 else 0.0)
    classes = np.asarray(labels.classes, dtype=object)
    frame = pd.DataFrame(
        {
            "galaxy_id": predictions.ids,
            "label": classes[codes],
            "suggested": classes[suggested],
            "doubtful": doubtful,
            "p_label": p_label,
            "p_suggested": p[rows, suggested],
            "margin": margin,
        }
    )
    return frame.sort_values(
        ["doubtful", "margin", "galaxy_id"], ascending=[False, True, True], ignore_index=True
    )


def _doubtful(p: npt.NDArray[np.float64], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return a mask of doubtful labels: in each class, those with the lowest probability.

    Confident learning estimates how many labels of each class are wrong.
    """
    k = p.shape[1]
    p_label, members = p[np.arange(len(p)), codes], np.bincount(codes, minlength=k)
    # threshold of a class (confident learning, Northcutt+2021, doi:10.1613/jair.1.12125): the mean
    # of its probability over the galaxies with that label
    thresholds = np.bincount(codes, weights=p_label, minlength=k) / np.maximum(members, 1)
    thresholds[members == 0] = np.inf  # no galaxy has this label, so no mean exists
    passing = np.where(p >= thresholds, p, -np.inf)
    sure = np.isfinite(passing.max(1))
    joint = np.zeros((k, k))
    # count a tie between the label and another class for the label: argmax would take the first
    likeliest = np.where(
        passing[np.arange(len(p)), codes] == passing.max(1), codes, passing.argmax(1)
    )
    np.add.at(joint, (codes[sure], likeliest[sure]), 1)
    doubtful = np.zeros(len(p), dtype=bool)
    for code in np.flatnonzero(joint.sum(1)):
        wrong = round(members[code] * (1 - joint[code, code] / joint[code].sum()))
        of_it = np.flatnonzero(codes == code)
        doubtful[of_it[np.argsort(p_label[of_it], kind="stable")[:wrong]]] = True
    return doubtful
