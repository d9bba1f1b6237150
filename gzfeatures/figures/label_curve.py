"""Draw accuracy or another metric against the number of labels, for several methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gzfeatures.figures.style import INK, MARKS, axes_of, folded, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = ("-", "--", ":", "-.")
SPREAD = 0.012
"""Shift between methods along the axis, as a power of ten, to separate their intervals."""


@dataclass(frozen=True)
class LabelCurve:
    """Store the learning curve of one method: name, approach and points with intervals.

    Parameters
    ----------
    name : str
        Method, for the legend.
    approach : str
        Decides colour and marker.
    points : sequence of (labels, value, low, high)
        By number of labels; an end may be NaN where there is no interval.
    """

    name: str
    approach: str
    points: Sequence[tuple[int, float, float, float]]


@styled
def label_curves(curves: Sequence[LabelCurve], metric: str, answer: str = "") -> Figure:
    """Draw learning curves with intervals against the number of labels, on a logarithmic axis.

    Parameters
    ----------
    curves : sequence of LabelCurve
        At least one.
    metric : str
        Title of the axis.
    answer : str
        A sentence above the plot.
    """
    import numpy as np

    figure, axes = axes_of(6.4, 4.4)
    seen: dict[str, int] = {}
    for number, curve in enumerate(curves):
        marker, colour, _ = MARKS[curve.approach]
        # methods of one approach (frozen, fine-tuned or end-to-end) have the same colour and
        # marker, so give them different line styles
        line = LINES[seen.setdefault(curve.approach, 0) % len(LINES)]
        seen[curve.approach] += 1
        labels, value, low, high = np.asarray(curve.points, dtype=float).T
        shifted = labels * 10 ** (SPREAD * (number - (len(curves) - 1) / 2))
        # NaN means an unknown end of an interval: draw an error bar of length 0
        reach = np.nan_to_num([np.maximum(value - low, 0), np.maximum(high - value, 0)])
        axes.errorbar(
            shifted,
            value,
            reach,
            marker=marker,
            color=colour,
            ls=line,
            ms=5,
            lw=1.3,
            elinewidth=0.9,
            capsize=2,
            mfc="white" if seen[curve.approach] > 1 else colour,
            label=folded(curve.name, 44),
        )
    ticks = sorted({point[0] for curve in curves for point in curve.points})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.margins(x=0.08)
    axes.grid()
    axes.set(xlabel="labelled galaxies (training and validation), logarithmic", ylabel=metric)
    # put the legend below the plot, because inside it would hide curves
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    if answer:
        axes.set_title(answer, fontsize=8, loc="left", wrap=True, color=INK)
    return figure
