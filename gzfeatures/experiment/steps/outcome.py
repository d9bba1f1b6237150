"""Define what steps of a run return: scored networks and heads, embedding tables, and costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.experiment.figures import Classifier
from gzfeatures.experiment.steps.plan import PlannedTable
from gzfeatures.report.figures import Curve
from gzfeatures.report.report import Report

if TYPE_CHECKING:
    from gzfeatures.networks.training.checkpoint import Watch


Ranked: TypeAlias = Sequence[tuple[Candidate, Classifier]]
"""Type of a list of networks and heads that can be explained, best first, each with its files."""


def explainable(report: Report, outcomes: Sequence[Outcome]) -> Ranked:
    """Return networks and heads whose decisive image parts can be drawn, best first, with files.

    Heads on several joined tables are left out.
    """
    classifiers = {}
    for outcome in outcomes:
        if outcome.classifier is not None:
            classifiers[outcome.candidate] = outcome.classifier
    ranked = (scored for _, scored in report.ranked if scored in classifiers)
    return [(candidate, classifiers[candidate]) for candidate in ranked]


def best_table(ranked: Ranked) -> Path | None:
    """Return the path of the embedding table that the best head on a single table reads."""
    tables = (classifier.table for _, classifier in ranked if classifier.table is not None)
    return next(tables, None)


def summed(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the seconds of each step, such as extraction, summed over several embedding tables."""
    steps = dict.fromkeys(step for cost in costs for step in cost)
    return {step: sum(cost.get(step, 0.0) for cost in costs) for step in steps}


@dataclasses.dataclass(frozen=True)
class TimedTable:
    """Store the path of a backbone's embedding table, and the seconds that each step took."""

    path: Path
    column: PlannedTable
    seconds: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Store a scored network or head, with what later steps need to explain and record it.

    `artifacts` are its files, `live` is the function that recorded its training in MLflow. A
    network also has the plan of its embedding table (as a backbone) and a learning curve.
    """

    candidate: Candidate
    artifacts: list[Path]
    classifier: Classifier | None = None
    live: Watch | None = None
    column: PlannedTable | None = None
    curve: Curve | None = None
