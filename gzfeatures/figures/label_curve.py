"""Draw accuracy or another metric against the number of labels, for several networks and heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gzfeatures.figures.style import INK, MARKS, axes_of, folded, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = ("-", "--", ":", "-.")
SPREAD = 0.012
"""Shift in log10(labels) between two curves, so that their error bars do not cover each other."""


@dataclass(frozen=True)
class LabelCurve:
    """Store the learning curve of one network or head: name, kind of training, and scores.

    Parameters
    ----------
    name : str
        Name of the network or head, for the legend.
    approach : str
        Kind of training ("frozen", "fine-tuned" or "end-to-end"), which decides colour and marker.
    points : sequence of (labels, value, low, high)
        Score and ends of its interval for each number of labels; an end may be NaN.
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
        Learning curves, at least one.
    metric : str
        Title of the axis of scores.
    answer : str
        Sentence to write above the plot.
    """
    import numpy as np

    figure, axes = axes_of(6.4, 4.4)
    seen: dict[str, int] = {}
    for number, curve in enumerate(curves):
        marker, colour, _ = MARKS[curve.approach]
        # give curves of one approach (frozen, fine-tuned or end-to-end) different line styles,
        # because they have the same colour and marker
        line = LINES[seen.setdefault(curve.approach, 0) % len(LINES)]
        seen[curve.approach] += 1
        labels, value, low, high = np.asarray(curve.points, dtype=float).T
        shifted = labels * 10 ** (SPREAD * (number - (len(curves) - 1) / 2))
        # where an end of an interval is NaN (unknown), matplotlib draws the point without this part
        # of its error bar; a bar of length 0 would claim that the value is exact
        reach = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
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
    # put the legend below the plot: inside the plot it would hide curves
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    if answer:
        axes.set_title(answer, fontsize=8, loc="left", wrap=True, color=INK)
    return figure
