"""Draw the figures of a report, such as ranking, confusion matrix and calibration.

They can be read in a grey print and by colour-blind people: approaches differ by marker and colour
(Okabe & Ito 2008), a matrix has shades of one hue, precision and recall differ by hatching, and
values are written beside the marks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.figures.style import INK, LINE, MARKS, axes_of, folded, styled, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats: TypeAlias = npt.NDArray[np.float64]
Curve: TypeAlias = Sequence[tuple[int, float, float, float]]

SECONDS = {
    0.1: "0.1 s", 0.3: "0.3 s", 1: "1 s", 3: "3 s", 10: "10 s", 30: "30 s", 60: "1 min",
    120: "2 min", 300: "5 min", 600: "10 min", 1200: "20 min", 1800: "30 min", 3600: "1 h",
    7200: "2 h", 18000: "5 h", 36000: "10 h", 86400: "1 d", 172800: "2 d", 432000: "5 d",
}  # fmt: skip
"""Ticks of a time axis: seconds → label."""
WHITE_FROM = 0.85
"""Share of galaxies above which a cell is so dark that its text is written in white."""


@dataclasses.dataclass(frozen=True)
class Point:
    """Store one network or head to plot: rank, approach, run time, score and interval."""

    rank: int
    approach: str
    seconds: float
    value: float
    low: float
    high: float


@styled
def confusion(
    matrix: npt.NDArray[np.int64], classes: Sequence[str], truth: str = "true class"
) -> Figure:
    """Draw a confusion matrix as a figure, in percent of the galaxies of each true class.

    Parameters
    ----------
    matrix : ndarray of int64
        Number of galaxies, shape (k, k); rows are true classes, columns predicted classes.
    classes : sequence of str
        Names of the k classes.
    truth : str
        Name of the axis of true classes: volunteers, or label.
    """
    side = 1.6 + 0.34 * max(len(classes), 4)
    figure, axes = axes_of(side + 0.3, side)
    draw_confusion(axes, matrix, classes, truth)
    return figure


def draw_confusion(
    axes: Axes, matrix: npt.NDArray[np.int64], classes: Sequence[str], truth: str = "true class"
) -> None:
    """Draw a confusion matrix on given axes, in percent of the galaxies of each true class."""
    from matplotlib.colors import LinearSegmentedColormap

    k = len(classes)
    # divide each row by its sum, because classes differ in size; a row without galaxies stays zero
    total = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    # draw zero as transparent, because the page behind the figure may be light or dark
    shades = LinearSegmentedColormap.from_list("shades", ["#0072b200", "#0072b2"])
    axes.pcolormesh(share, cmap=shades, vmin=0, vmax=1, edgecolors=LINE, linewidth=0.4)
    # write percentages into the cells, because a shade shows a number only roughly
    for row, column in zip(*np.nonzero(matrix), strict=True):
        percent = 100 * share[row, column]
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{percent:.0f}" if percent >= 0.5 else "·",
            ha="center",
            va="center",
            fontsize=7.5,
            color="#ffffff" if share[row, column] > WHITE_FROM else INK,
        )
    centres = np.arange(k) + 0.5
    axes.set_xticks(
        centres, [folded(name) for name in classes], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(
        centres, [f"{folded(name)} ({n})" for name, n in zip(classes, total[:, 0], strict=True)]
    )
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set(xlabel="predicted", ylabel=f"{truth} (galaxies)")
    axes.spines[:].set_visible(False)


@styled
def per_class(precision: Floats, recall: Floats, classes: Sequence[str]) -> Figure:
    """Draw precision (plain) and recall (hatched) of each class as bars.

    A class that is never predicted has no precision (NaN).

    Parameters
    ----------
    precision, recall : ndarray
        Precision and recall of each class, shape (k,), in [0, 1] or NaN.
    classes : sequence of str
        Names of the k classes.
    """
    figure, axes = axes_of(4.2, 0.9 + 0.36 * len(classes))
    rows = np.arange(len(classes))
    for values, offset, colour, hatch, name in (
        (precision, -0.2, "#56b4e9", None, "precision"),
        (recall, 0.2, "#e69f00", "////", "recall"),
    ):
        axes.barh(
            rows + offset,
            np.nan_to_num(values),
            0.38,
            color=colour,
            hatch=hatch,
            edgecolor=INK,
            lw=0.5,
            label=name,
        )
        for row, value in zip(rows, values, strict=True):
            # write a dash for the undefined precision (NaN) of a class that was never predicted
            text = "–" if np.isnan(value) else f"{value:.2f}"
            axes.text(np.nan_to_num(value) + 0.015, row + offset, text, va="center", fontsize=6.5)
    axes.set_yticks(rows, [folded(name) for name in classes])
    axes.set(xlim=(0, 1.12), ylim=(-0.6, len(classes) - 0.4))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure


@styled
def reliability(
    rows: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] = ()
) -> Figure:
    """Draw the share of correct predictions against the predicted probability (confidence).

    With perfect calibration all bins lie on the diagonal.

    Parameters
    ----------
    rows : sequence of mapping
        Bins of predicted probability, from `calibration.reliability`: `stated` (mean probability),
        `reached` (share of correct predictions), `interval`, and number of galaxies `n`, by which
        the area of the dot grows.
    before : sequence of mapping
        The same bins before calibration, drawn as crosses.
    """
    figure, axes = axes_of(2.9, 3.1)
    draw_reliability(axes, rows)
    # add the bins before calibration as crosses, to show what calibration changed
    if before:
        points = [[row[key] for row in before] for key in ("stated", "reached")]
        axes.plot(
            *points,
            ls="",
            marker="x",
            ms=5,
            mew=1.2,
            color="#d55e00",
            zorder=4,
            clip_on=False,
            label="before",
        )
        figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=7)
    return figure


def draw_reliability(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the bins of a reliability diagram on given axes."""
    stated, reached, count = (
        np.array([row[key] for row in rows]) for key in ("stated", "reached", "n")
    )
    reach = np.abs([np.subtract(row["interval"], row["reached"]) for row in rows]).T
    axes.plot([0, 1], [0, 1], color=LINE, lw=1.2, ls="--")
    axes.errorbar(stated, reached, reach, fmt="none", ecolor="#0072b2", elinewidth=0.8, alpha=0.6)
    # draw larger dots for bins with more galaxies, whose share of correct predictions is more
    # certain
    area = 12 + 130 * count / count.max()
    axes.scatter(
        stated,
        reached,
        area,
        "#0072b2",
        edgecolor="white",
        lw=0.6,
        zorder=3,
        clip_on=False,
        label="calibrated",
    )
    axes.set(
        xlim=(0, 1.03), ylim=(0, 1.03), xlabel="stated confidence", ylabel="share that is right"
    )
    axes.set_aspect("equal")
    axes.grid()


@styled
def abstention(curve_of: Mapping[str, Mapping[str, Floats]]) -> Figure:
    """Draw accuracy against the share of galaxies that are classified automatically.

    These are the galaxies with the most certain predictions; people classify the others. Each
    approach has one line.

    Parameters
    ----------
    curve_of : mapping of str to mapping
        Approach → `coverage` (share of galaxies classified) and `accuracy` (of these galaxies),
        from `calibration.coverage_accuracy`.
    """
    figure, axes = axes_of(6.4, 3.4)
    for approach, curve in curve_of.items():
        marker, colour, line = MARKS[approach]
        kept = curve["coverage"] >= 0.02  # below 2 % of galaxies, accuracy is mostly noise
        coverage, accuracy = curve["coverage"][kept], curve["accuracy"][kept]
        # put ten markers on each line, by whose shape lines can be told apart in a grey print
        marks = np.searchsorted(coverage, np.linspace(0.1, 1, 10)).clip(max=len(coverage) - 1)
        axes.plot(
            coverage,
            accuracy,
            color=colour,
            ls=line,
            marker=marker,
            markevery=np.unique(marks),
            ms=5,
            label=approach,
        )
    axes.grid()
    axes.set(
        xlim=(0, 1.02),
        xlabel="share of galaxies that are kept, the most certain first",
        ylabel="accuracy on them",
    )
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


@styled
def ranking(points: Sequence[Point], metric: str) -> Figure:
    """Draw a figure with the score and interval of each network or head, best on top."""
    figure, axes = axes_of(6.4, 0.8 + 0.24 * len(points))
    draw_ranking(axes, points, metric)
    _legend(figure, points)
    return figure


def draw_ranking(axes: Axes, points: Sequence[Point], metric: str) -> None:
    """Draw scores with intervals on given axes, one row per rank, without a legend."""
    _intervals(axes, points, [float(p.rank) for p in points], axis="x")
    axes.set_yticks([p.rank for p in points])
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set(xlabel=f"{metric} on the test galaxies", ylabel="rank")


@styled
def cost(points: Sequence[Point], metric: str) -> Figure:
    """Draw the score of each network or head against its computing time (logarithmic axis)."""
    figure, axes = axes_of(6.4, 3.8)
    # leave out times of zero, which a logarithmic axis cannot show
    timed = [p for p in points if p.seconds > 0]
    _intervals(axes, timed, [p.seconds for p in timed], axis="y")
    axes.set_xscale("log")
    write_beside(axes, {(p.seconds, p.value): str(p.rank) for p in timed})
    low, high = axes.get_xlim()
    axes.set_xticks(
        [s for s in SECONDS if low <= s <= high],
        [t for s, t in SECONDS.items() if low <= s <= high],
    )
    axes.set_xticks([], minor=True)
    axes.grid()
    axes.set(xlabel="time from pixels to predictions (logarithmic)", ylabel=metric)
    _legend(figure, timed)
    return figure


@styled
def learning(curves: Mapping[str, Curve], approaches: Mapping[str, str], metric: str) -> Figure:
    """Draw scores against the number of labelled training galaxies (learning curves).

    Parameters
    ----------
    curves : mapping of str to sequence of (galaxies, value, low, high)
        Name of a network or head → its learning curve: number of training galaxies, score, and the
        limits of the score's interval.
    approaches : mapping of str to str
        Name of a network or head → its approach.
    """
    figure, axes = axes_of(6.4, 3.8)
    ends: dict[tuple[float, float], str] = {}
    for name, curve in curves.items():
        marker, colour, line = MARKS[approaches[name]]
        galaxies, value, low, high = np.asarray(curve, dtype=float).T
        axes.plot(galaxies, value, marker=marker, color=colour, ls=line, ms=5)
        axes.fill_between(galaxies, low, high, color=colour, alpha=0.12, lw=0)
        ends[galaxies[-1], value[-1]] = folded(name, 40)
    axes.set_xscale("log")
    write_beside(axes, ends)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.grid()
    axes.set(xlabel="labelled training galaxies (logarithmic)", ylabel=metric)
    return figure


@styled
def accuracy_by_panels(rows_of: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> Figure:
    """Draw accuracy in bins of a quantity such as redshift, with one line per approach.

    Each line shows the best network or head of its approach. Dashes show how often the majorities
    of two groups of volunteers agree; an accuracy can be higher.

    Parameters
    ----------
    rows_of : mapping of str to sequence of mapping
        Approach → bins of `evaluation.accuracy_by`: `low, high, accuracy, interval` and
        perhaps `ceiling`, how often the majorities of two groups of volunteers agree.
    title : str
        Name of the quantity, for the axis.
    """
    figure, axes = axes_of(3.6, 2.9)
    for shift, (approach, rows) in enumerate(rows_of.items()):
        marker, colour, line = MARKS[approach]
        # shift the points of each approach a little, so that error bars do not cover each other
        middle = [
            (row["low"] + row["high"]) / 2 + 0.03 * shift * (row["high"] - row["low"])
            for row in rows
        ]
        value = [row["accuracy"] for row in rows]
        reach = np.abs([np.subtract(row["interval"], row["accuracy"]) for row in rows]).T
        axes.errorbar(
            middle,
            value,
            reach,
            marker=marker,
            color=colour,
            ls=line,
            ms=5,
            lw=1.1,
            capsize=2,
            label=approach,
        )
    for row in next(iter(rows_of.values())):
        # draw as dashes how often the majorities of two groups of volunteers agree: a true class
        # is such a majority, which another group would repeat only this often
        if "ceiling" in row:
            axes.plot(
                [row["low"], row["high"]], [row["ceiling"]] * 2, color=INK, lw=1.0, ls=(0, (4, 2))
            )
    axes.grid()
    axes.set(xlabel=title, ylabel="accuracy")
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=7)
    return figure


def _intervals(axes: Axes, points: Sequence[Point], positions: Sequence[float], axis: str) -> None:
    for point, at in zip(points, positions, strict=True):
        marker, colour, _ = MARKS[point.approach]
        x, y = (point.value, at) if axis == "x" else (at, point.value)
        # matplotlib refuses error bars of negative length: set them to 0. A measured calibration
        # error includes noise, and may lie outside the interval of the true error
        reach = [[max(point.value - point.low, 0)], [max(point.high - point.value, 0)]]
        xerr, yerr = (reach, None) if axis == "x" else (None, reach)
        axes.errorbar(x, y, yerr, xerr, fmt=marker, color=colour, ms=6, capsize=2, lw=1.1)


def _legend(figure: Figure, points: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    present = {point.approach for point in points}
    handles = []
    for approach, (marker, colour, _) in MARKS.items():
        if approach in present:
            handles.append(Line2D([], [], marker=marker, color=colour, ls="", label=approach))
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=8)
