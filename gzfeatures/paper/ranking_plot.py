"""Draw the ranking of a run: name, score and confidence interval of each network or head."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gzfeatures.figures.style import MARKS, axes_of, short, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class RankingLine:
    """Store one line of a ranking: name, approach, score and interval of a network or head.

    Parameters
    ----------
    name, approach : str
        Name and approach of the network or head.
    value, low, high : float
        Score and ends of its interval; NaN if the score has no interval.
    tied : bool
        True if the score is not significantly worse than the best.
    """

    name: str
    approach: str
    value: float
    low: float
    high: float
    tied: bool


@styled
def draw_ranking(lines: Sequence[RankingLine], metric: str, inches: float) -> Figure:
    """Draw a line per network or head; those significantly worse than the best have open marks.

    Parameters
    ----------
    lines : sequence of RankingLine
        Lines of the ranking, at least one.
    metric : str
        Title of the axis.
    inches : float
        Width of the figure.
    """
    from matplotlib.lines import Line2D

    figure, axes = axes_of(inches, 0.62 + 0.19 * len(lines))
    for row, line in enumerate(lines):
        marker, colour, _ = MARKS[line.approach]
        # where an interval is NaN (unknown), matplotlib draws no error bar; a bar of length 0 would
        # claim that the value is exact
        reach = [[line.value - line.low], [line.high - line.value]]
        axes.errorbar(
            line.value,
            row,
            xerr=np.maximum(reach, 0),
            fmt=marker,
            color=colour,
            mfc=colour if line.tied or not row else "white",
            ms=4.5,
            capsize=1.8,
            lw=1.0,
        )
    # shorten names that would fill more than three fifths of the figure's width
    limit = int(inches * 10)
    axes.set_yticks(range(len(lines)), [short(line.name, limit) for line in lines])
    axes.set(xlabel=metric, ylim=(-0.6, len(lines) - 0.4))
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    approaches = [name for name in MARKS if name in {line.approach for line in lines}]
    figure.legend(
        handles=[
            Line2D([], [], marker=MARKS[name][0], color=MARKS[name][1], ls="", ms=4.5, label=name)
            for name in approaches
        ],
        loc="outside upper right",
        ncols=3,
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.0,
    )
    return figure
