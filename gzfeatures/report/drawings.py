"""Draw a report's figures: some show all networks and heads, others one of the 12 best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gzfeatures.evaluation import reliability
from gzfeatures.evaluation.rows import AccuracyBin
from gzfeatures.figures.predicted_numbers import drawn_numbers
from gzfeatures.report import figures
from gzfeatures.report.figures import Point
from gzfeatures.report.ranking_table import interval_of
from gzfeatures.report.titles import SLICES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.report.report import Report

PANELS = 12
"""Number of networks and heads, best first, of which each gets figures of the `KINDS` below."""
KINDS = ("confusion", "per-class", "reliability", "numbers")
"""Kinds of figures; each of the best networks and heads gets those that fit its predictions."""


def draw(report: Report) -> dict[str, Figure]:
    """Draw all figures of a report; return name → figure: `ranking`, `cost`, `confusion-01`, …"""
    metric = report.comparison.metric
    points = [
        Point(
            row.rank,
            row.approach,
            row.costs["end_to_end_seconds"] or 0.0,
            row.metrics[metric],
            *interval_of(row, metric),
        )
        for row, _ in report.ranked
    ]
    title = report.metrics[metric]
    drawn = {"ranking": figures.ranking(points, title)}
    if any(p.seconds > 0 for p in points):
        drawn["cost"] = figures.cost(points, title)
    if report.curves:
        approaches = {p.name: p.approach for p in report.candidates}
        drawn["learning"] = figures.learning(report.curves, approaches, title)
    for row, candidate in report.ranked[:PANELS]:
        scores = candidate.scores
        if scores.confusion is not None:
            name = f"confusion-{row.rank:02d}"
            drawn[name] = figures.confusion(scores.confusion, scores.classes, truth_of(report))
        if scores.per_class and "recall" in scores.per_class[0]:
            precision, recall = (
                np.array([c[key] for c in scores.per_class]) for key in ("precision", "recall")
            )
            drawn[f"per-class-{row.rank:02d}"] = figures.per_class(
                precision,
                recall,
                scores.classes,
            )
        if candidate.predictions.is_value:
            true = report.labels.select(candidate.predictions.ids).values[:, 0]
            drawn[f"numbers-{row.rank:02d}"] = drawn_numbers(candidate.predictions, true, scores)
        if scores.kind == "classes":
            bins = reliability.reliability(candidate.predictions, report.labels)
            before = candidate.calibration.get("before", {}).get("bins", ())
            drawn[f"reliability-{row.rank:02d}"] = figures.reliability(bins, before)
    if report.labels.target == "classes":
        best = _best(report).items()
        drawn["abstention"] = figures.abstention(
            {
                approach: reliability.coverage_accuracy(scored.predictions, report.labels)
                for approach, scored in best
            }
        )
    for name, rows_of in _accuracy_bins(report).items():
        drawn[f"slice-{name}"] = figures.accuracy_by_panels(rows_of, SLICES[name])
    return drawn


def truth_of(report: Report) -> str:
    """Return the name of the axis of true classes: "volunteers", or "label" without votes."""
    return "label" if report.labels.soft is None else "volunteers"


def _best(report: Report) -> dict[str, Candidate]:
    """Return approach ("frozen", "end-to-end", …) → its best network or head."""
    best: dict[str, Candidate] = {}
    for _, candidate in report.ranked:
        best.setdefault(candidate.approach, candidate)
    return best


def _accuracy_bins(report: Report) -> dict[str, dict[str, list[AccuracyBin]]]:
    """Return quantity (such as redshift) → approach → accuracy of its best model in each bin."""
    bins: dict[str, dict[str, list[AccuracyBin]]] = {}
    for approach, candidate in _best(report).items():
        for name, rows in {
            "agreement": candidate.scores.agreement,
            **candidate.scores.slices,
        }.items():
            if rows:
                bins.setdefault(name, {})[approach] = rows
    return bins
