"""Figures of a report: drawn once, saved as PNG and as inline SVG that takes the page's light or dark ink.

They stay legible in grey and to colour-blind readers: roads differ by marker as well as by colour (Okabe & Ito 2008),
shades are of one hue, precision and recall differ by hatching, and values are written beside the marks.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
Floats: TypeAlias = npt.NDArray[np.float64]
Curve: TypeAlias = Sequence[tuple[int, float, float, float]]

INK, LINE = "#1b1f24", "#c3c9d1"
MARKS = {
    "frozen": ("o", "#0072b2", "-"),
    "fine-tuned": ("s", "#009e73", "--"),
    "end-to-end": ("^", "#d55e00", ":"),
}
"""Marker, colour and line of each road, alike in every figure."""

SECONDS = {
    0.1: "0.1 s", 0.3: "0.3 s", 1: "1 s", 3: "3 s", 10: "10 s", 30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min",
    600: "10 min", 1200: "20 min", 1800: "30 min", 3600: "1 h", 7200: "2 h", 18000: "5 h", 36000: "10 h", 86400: "1 d",
    172800: "2 d", 432000: "5 d",
}  # fmt: skip
"""Ticks of an axis of time."""

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,  # class names and ids are text, never formulas
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
} | dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)


@dataclasses.dataclass(frozen=True)
class Point:
    """One pairing in a plot: its rank and road, what it cost, what it reached and the interval of that."""

    rank: int
    road: str
    seconds: float
    value: float
    low: float
    high: float


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


@_styled
def confusion(matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Confusion matrix: shade and number are the share of the actual class, in percent.

    Parameters
    ----------
    matrix : ndarray of int64
        Shape (k, k), galaxies; rows are the volunteers' class, columns the predicted one.
    classes : sequence of str
        k names.
    """
    from matplotlib.colors import LinearSegmentedColormap

    k = len(classes)
    side = 1.6 + 0.34 * max(k, 4)
    figure, axes = _axes(side + 0.3, side)
    total = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    shades = LinearSegmentedColormap.from_list("shades", ["#0072b200", "#0072b2"])  # clear: fits light and dark pages
    axes.pcolormesh(share, cmap=shades, vmin=0, vmax=1, edgecolors=LINE, linewidth=0.4)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        percent = 100 * share[row, column]
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{percent:.0f}" if percent >= 0.5 else "·",
            ha="center",
            va="center",
            fontsize=7.5,
            color="#ffffff" if share[row, column] > 0.5 else INK,
        )
    centres = np.arange(k) + 0.5
    axes.set_xticks(centres, [_short(name) for name in classes], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(centres, [f"{_short(name)} ({n})" for name, n in zip(classes, total[:, 0], strict=True)])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set(xlabel="predicted", ylabel="volunteers (galaxies)")
    axes.spines[:].set_visible(False)
    return figure


@_styled
def per_class(precision: Floats, recall: Floats, classes: Sequence[str]) -> Figure:
    """Bars of precision (plain) and recall (hatched) of each class; a class never predicted has no precision (NaN).

    Parameters
    ----------
    precision, recall : ndarray
        Shape (k,), in [0, 1] or NaN.
    classes : sequence of str
        k names.
    """
    figure, axes = _axes(4.2, 0.9 + 0.36 * len(classes))
    rows = np.arange(len(classes))
    for values, offset, colour, hatch, name in (
        (precision, -0.2, "#56b4e9", None, "precision"),
        (recall, 0.2, "#e69f00", "////", "recall"),
    ):
        axes.barh(
            rows + offset, np.nan_to_num(values), 0.38, color=colour, hatch=hatch, edgecolor=INK, lw=0.5, label=name
        )
        for row, value in zip(rows, values, strict=True):
            text = "–" if np.isnan(value) else f"{value:.2f}"
            axes.text(np.nan_to_num(value) + 0.015, row + offset, text, va="center", fontsize=6.5)
    axes.set_yticks(rows, [_short(name) for name in classes])
    axes.set_xlim(0, 1.12)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure


@_styled
def reliability(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Reliability diagram: share that is right against stated confidence; the diagonal is perfect calibration.

    Parameters
    ----------
    rows : sequence of mapping
        Bins as `calibration.reliability` gives them: `stated`, `reached`, `n`. A dot's area grows with n.
    """
    stated, reached, count = (np.array([row[key] for row in rows]) for key in ("stated", "reached", "n"))
    figure, axes = _axes(2.9, 2.9)
    axes.plot([0, 1], [0, 1], color=LINE, lw=1.2, ls="--")
    axes.plot(stated, reached, color=LINE, lw=1.0)
    area = 12 + 130 * count / count.max()
    axes.scatter(stated, reached, s=area, color="#0072b2", edgecolor="white", lw=0.6, zorder=3)
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="stated confidence", ylabel="share that is right")
    axes.set_aspect("equal")
    axes.grid()
    return figure


@_styled
def ranking(points: Sequence[Point], metric: str) -> Figure:
    """A metric with its interval, one row per rank; marker and colour tell the road."""
    figure, axes = _axes(6.4, 0.8 + 0.24 * len(points))
    _intervals(axes, points, [float(p.rank) for p in points], along="x")
    axes.set_yticks([p.rank for p in points])
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set(xlabel=f"{metric} on the test galaxies", ylabel="rank")
    _legend(figure, points)
    return figure


@_styled
def cost(points: Sequence[Point], metric: str) -> Figure:
    """A metric against seconds of computing, on a logarithmic axis; the number is the rank."""
    figure, axes = _axes(6.4, 3.8)
    shown = [p for p in points if p.seconds > 0]
    _intervals(axes, shown, [p.seconds for p in shown], along="y")
    axes.set_xscale("log")
    _label(axes, {(p.seconds, p.value): str(p.rank) for p in shown})
    low, high = axes.get_xlim()
    axes.set_xticks([s for s in SECONDS if low <= s <= high], [t for s, t in SECONDS.items() if low <= s <= high])
    axes.set_xticks([], minor=True)
    axes.grid()
    axes.set(xlabel="time from pixels to predictions", ylabel=metric)
    _legend(figure, shown)
    return figure


@_styled
def learning(curves: Mapping[str, Curve], roads: Mapping[str, str], metric: str) -> Figure:
    """A metric against the number of labelled training galaxies.

    Parameters
    ----------
    curves : mapping of str to sequence of (galaxies, value, low, high)
        One curve per pairing.
    roads : mapping of str to str
        Road of each pairing.
    """
    figure, axes = _axes(6.4, 3.8)
    ends: dict[tuple[float, float], str] = {}
    for name, curve in curves.items():
        marker, colour, line = MARKS[roads[name]]
        galaxies, value, low, high = np.asarray(curve, dtype=float).T
        axes.plot(galaxies, value, marker=marker, color=colour, ls=line, ms=5)
        axes.fill_between(galaxies, low, high, color=colour, alpha=0.12, lw=0)
        ends[galaxies[-1], value[-1]] = _short(name, 40)
    axes.set_xscale("log")
    _label(axes, ends)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.grid()
    axes.set(xlabel="labelled training galaxies", ylabel=metric)
    return figure


@_styled
def slices(rows_of: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> Figure:
    """Accuracy in bins of a quantity, of the best pairing of each road; dashes are the vote ceiling, where known.

    Parameters
    ----------
    rows_of : mapping of str to sequence of mapping
        Road → bins as the functions of `slices` give them: `low, high, accuracy, interval` and perhaps `ceiling`.
    title : str
        The quantity.
    """
    figure, axes = _axes(3.6, 2.9)
    for shift, (road, rows) in enumerate(rows_of.items()):
        marker, colour, line = MARKS[road]
        middle = [(row["low"] + row["high"]) / 2 + 0.03 * shift * (row["high"] - row["low"]) for row in rows]
        value = [row["accuracy"] for row in rows]
        reach = np.abs([np.subtract(row["interval"], row["accuracy"]) for row in rows]).T
        axes.errorbar(middle, value, reach, marker=marker, color=colour, ls=line, ms=5, lw=1.1, capsize=2, label=road)
    for row in next(iter(rows_of.values())):
        if "ceiling" in row:
            axes.plot([row["low"], row["high"]], [row["ceiling"]] * 2, color=INK, lw=1.0, ls=(0, (4, 2)))
    axes.grid()
    axes.set(xlabel=title, ylabel="accuracy")
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=7)
    return figure


def _intervals(axes: Axes, points: Sequence[Point], positions: Sequence[float], along: str) -> None:
    for point, at in zip(points, positions, strict=True):
        marker, colour, _ = MARKS[point.road]
        x, y = (point.value, at) if along == "x" else (at, point.value)
        reach = [[point.value - point.low], [point.high - point.value]]
        xerr, yerr = (reach, None) if along == "x" else (None, reach)
        axes.errorbar(x, y, yerr, xerr, fmt=marker, color=colour, ms=6, capsize=2, lw=1.1)


def _label(axes: Axes, texts: Mapping[tuple[float, float], str]) -> None:
    """Write texts to the right of points, shifted upwards where two would overlap."""
    placed: list[tuple[float, float]] = []
    scale = 72 / axes.figure.dpi
    for point in sorted(texts, key=lambda p: p[1]):
        x, y = axes.transData.transform(point) * scale
        height = y
        while any(abs(x - px) < 20 and abs(height - py) < 9 for px, py in placed):
            height += 1
        placed.append((x, height))
        axes.annotate(texts[point], point, (7, height - y), textcoords="offset points", va="center", fontsize=8)


def _legend(figure: Figure, points: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    roads = [road for road in MARKS if any(p.road == road for p in points)]
    handles = [Line2D([], [], marker=MARKS[r][0], color=MARKS[r][1], ls="", label=r) for r in roads]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=8)


@contextmanager
def _saving(**more: str) -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context(STYLE | more), warnings.catch_warnings():
        # a name in another script becomes boxes in the PNG; in the page the browser has the letters
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def write_png(figure: Figure, path: Path) -> Path:
    """Save as PNG on white, 150 dots per inch."""
    with written_whole(path) as temporary, _saving():
        figure.savefig(temporary, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return path


def svg(figure: Figure, name: str) -> str:
    """`<svg>` element for an HTML page: transparent, its ink the page's `currentColor`, every text escaped.

    `name` keeps the references inside it apart from those of other figures of the page.
    """
    buffer = io.StringIO()
    with _saving(**{"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")
