"""Compute the rows of the report's ranking table, and the axis of the score intervals in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gzfeatures.evaluation.rows import RankedRow
from gzfeatures.report.texts import amount
from gzfeatures.report.titles import signs_of

if TYPE_CHECKING:
    from gzfeatures.report.report import Report

FEWEST_ON_AXIS = 4
"""Smallest number of ranking rows that decide the limits of the axis of intervals."""


def ranking_rows(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the ranking table, with the place of each interval on the axis (%)."""
    metric = report.comparison.metric
    low, high = axis_of(report)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    spread = {seeds.method: seeds for seeds in report.comparison.seeds}
    rows = []
    for row, candidate in report.ranked:
        # if a class has few galaxies, the score has no interval: its ends are NaN, and no bar is
        # drawn
        left, right = interval_of(row, metric)
        rows.append(
            {
                "rank": row.rank,
                "title": report.title(candidate),
                "road": row.approach,
                "marks": signs_of(row),
                "tied": row.tied,
                "untrained": row.untrained is not None,
                "one_seed": row.compares == "trainings",
                "behind": None if row.rank == 1 else (row.behind, *row.behind_interval),
                "spread": spread.get(row.method),
                "values": [row.metrics[key] for key in report.metrics],
                "interval": None if np.isnan(left) else (left, right),
                "outside": "‹ lower" if right < low else "higher ›" if left > high else "",
                # ‹ and › mark intervals that begin or end outside the axis, and are cut
                "beyond": ("‹" * (left < low <= right), "›" * (right > high >= left)),
                "place": _on_axis(place(left), place(right), place(row.metrics[metric])),
                "costs": [amount(row.costs[key]) for key in report.costs],
            }
        )
    return rows


def _on_axis(left: float, right: float, value: float) -> tuple[float, float, float | None]:
    """Cut an interval at the axis limits; return start, width and score in percent of the axis."""
    inside = value if 0 <= value <= 100 else None
    if np.isnan(left):
        return left, right, inside
    start, end = max(0.0, min(left, 100.0)), max(0.0, min(right, 100.0))
    return start, round(end - start, 2), inside


def interval_of(row: RankedRow, metric: str) -> tuple[float, float]:
    """Return the ends of a metric's interval in a row of the ranking; NaN if the row has none."""
    low, high = row.interval(metric) or (np.nan, np.nan)
    return low, high


def axis_of(report: Report) -> tuple[float, float]:
    """Return the limits of the axis on which the ranking's intervals are drawn, rounded outwards.

    The better half of the ranking, and at least four rows, decide the limits: the interval of a
    network that learned nothing would stretch the axis, and all other intervals would become tiny.
    An interval outside the limits is shown as out of range.
    """
    metric = report.comparison.metric
    better = report.ranked[: max(FEWEST_ON_AXIS, math.ceil(len(report.ranked) / 2))]
    bounds = np.array(
        [end for row, _ in better for end in (row.metrics[metric], *interval_of(row, metric))],
    )
    bounds = bounds[np.isfinite(bounds)]
    # round limits to one decimal less than the scores, because the labels of the axis must be short
    unit = 10 ** (report.digits - 1)
    low = np.floor(bounds.min() * unit - 0.5) / unit
    high = np.ceil(bounds.max() * unit + 0.5) / unit
    return float(max(low, 0.0)), float(high)


def baselines_of(report: Report) -> dict[str, float]:
    """Return the RMSE of a constant prediction (training median or mean); empty for classes."""
    baselines = report.ranked[0][1].scores.baselines
    return {name: metrics["rmse"] for name, metrics in baselines.items()}
