"""Calibrate a fitted head on galaxies that it was not fitted on, such as validation galaxies.

Three things are measured: which sets of classes contain the true class with a chosen probability
(conformal sets), the mean probability of each class, and how far galaxies lie from the training
galaxies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gzfeatures.evaluation.conformal_sets import Conformal, Method, calibrate_sets
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.reliability import measured
from gzfeatures.evaluation.statistics.conformal_intervals import too_few
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import among
from gzfeatures.unlabelled.familiarity import LEVEL, ROWS, Familiarity
from gzfeatures.unlabelled.shift import Shares

if TYPE_CHECKING:
    from gzfeatures.heads.head import Head


def familiarity_of(
    tables: Sequence[EmbeddingTable], kept_out: Sequence[EmbeddingTable], split: Split
) -> Familiarity | None:
    """Learn, from embeddings, to recognise galaxies that are unlike the training galaxies.

    Parameters
    ----------
    tables : sequence of EmbeddingTable
        Embedding tables that heads read, joined by galaxy id.
    kept_out : sequence of EmbeddingTable
        The same tables, but of galaxies that no head is fitted on. Those that a backbone was
        trained on are left out, because a network gives them other embeddings than new galaxies.
    split : Split
        Split whose training galaxies others are compared with.

    Returns
    -------
    Familiarity or None
        None if no galaxy was kept out, or if fewer than two galaxies can be compared with.
    """
    from gzfeatures.heads.inputs import Inputs

    skipped = {name for table in tables for name, _ in table.skipped}
    train = np.sort(split.train)
    train = train[~among(train, skipped)] if skipped else train
    # every k-th training galaxy, in the order of ids, is enough to compare with, and saves memory
    train = train[:: max(1, len(train) // ROWS)]
    # leave out galaxies that a backbone was trained on (same file, picture or id): their embeddings
    # are more similar to those of the training galaxies than embeddings of new galaxies are
    trained_on = np.concatenate([table.seen_ids for table in kept_out])
    fresh = kept_out[0].ids[~among(kept_out[0].ids, trained_on)]
    # the distance from a training galaxy to its nearest neighbour needs two training galaxies; the
    # calibration of distances needs a galaxy that neither head nor backbone was trained on
    if len(train) < 2 or not len(fresh):
        return None
    training = Inputs.of([table.select(train) for table in tables]).matrix
    return Familiarity.of(training, Inputs.of([table.select(fresh) for table in kept_out]).matrix)


def class_sets(
    head: Head,
    kept_out: Sequence[EmbeddingTable],
    predictions: Predictions,
    labels: Labels,
    coverage: float,
    method: Method,
) -> Conformal | None:
    """Calibrate conformal class sets on galaxies that the head was not fitted on.

    Galaxies that are unlike the training galaxies get empty sets, which never contain the true
    class.
    """
    from gzfeatures.heads.inputs import Inputs

    if head.familiarity is not None:
        # compare each galaxy with the other galaxies only, because it is most similar to itself
        p = head.familiarity.p_values_of_calibration(Inputs.of(kept_out).matrix)
        predictions = dataclasses.replace(predictions, familiarity=p, unfamiliar=p < LEVEL)
    return calibrate_sets(predictions, labels, coverage, method)


def class_shares(kept_out: Predictions) -> Shares | None:
    """Return each class's mean probability over galaxies not used to train head or backbone."""
    fresh = (
        kept_out.probabilities if kept_out.seen is None else kept_out.probabilities[~kept_out.seen]
    )
    return Shares.of(fresh) if kept_out.kind == "classes" and len(fresh) else None


def calibration_report(
    head: Head,
    predictions: Predictions,
    uncalibrated: Predictions | None,
    labels: Labels,
    kept_out: int,
    *,
    crossed: bool = False,
) -> dict[str, Any]:
    """Return scores before calibration, coverage of conformal sets or intervals, and warnings."""
    calibration: dict[str, Any] = (
        {} if uncalibrated is None else {"before": measured(uncalibrated.without_seen(), labels)}
    )
    notes = [
        f"{name} cannot be calibrated: all its training galaxies share one group, so that "
        "none was held back in a fold;"
        " its probabilities are the classifier's own"
        for name in head.uncalibrated_classes
    ]
    if head.familiarity is not None and head.familiarity.why_none_flagged:
        notes.append(head.familiarity.why_none_flagged)
    if head.intervals is not None:
        calibration["intervals"] = head.intervals.coverage_report(predictions, labels)
    elif predictions.is_value:
        notes.append(too_few(kept_out))
    if head.sets is not None:
        report = head.sets.crossed_report if crossed else head.sets.coverage_report
        calibration["sets"] = report(predictions, labels)
        notes += calibration["sets"]["notes"]
    return calibration | ({"notes": notes} if notes else {})
