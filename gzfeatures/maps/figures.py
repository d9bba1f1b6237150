"""Draw maps for papers: points, galaxy images, or densities of classes, as PNG, PDF or SVG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import GzError, InputError, unknown
from gzfeatures.figures.palette import class_mark, on_paper
from gzfeatures.figures.sprites import thumbnail
from gzfeatures.figures.style import short
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.map import Map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

KINDS = ("points", "images", "density")
ENDINGS = (".png", ".pdf", ".svg")
WIDTHS = {"column": 3.5, "page": 7.1}
"""Widths in inches of one column and of a page in common journals."""

GREY = "#c3c7cf"
STYLE: Any = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "gzfeatures",
}


def write_figure(
    path: str | Path,
    chart: Map | Mapping[str, Map],
    kind: str = "points",
    *,
    labels: Labels | None = None,
    images: ImageSet | str | Path | None = None,
    width: str = "column",
    cells: int = 24,
    view: View | None = None,
    seed: int = 0,
) -> Path:
    """Draw a map for a paper, as wide as a column or a page, and write it as PNG, PDF or SVG.

    Parameters
    ----------
    path : str or Path
        `.png` (300 dpi), `.pdf` or `.svg` (points as pixels, everything else as vectors and text).
    chart : Map or mapping of str to Map
        A map in two dimensions; of one in three, the first two coordinates are drawn. Several maps
        are drawn side by side, under their names.
    kind : {"points", "images", "density"}
        `points`: a mark per galaxy, by class. `images`: one galaxy in each cell of a grid, the one
        nearest to the cell's centre. `density`: contours around the densest 50 % and 90 % of each
        class, over grey points.
    labels : Labels, optional
        One class per galaxy; galaxies without one are grey. Needed for `density`.
    images : ImageSet, str or Path, optional
        Needed for `images`; galaxies without a readable image are skipped.
    width : {"column", "page"}
        3.5 or 7.1 inches.
    cells : int
        Number of cells along the longer side of the map, for `images`.
    view : View, optional
        Crop and size of an image; by default its central 60 % at 64 px.
    seed : int
        Seed of the order in which points cover each other.

    Raises
    ------
    UnknownNameError
        No such kind or width.
    InputError
        The path has another ending; labels are missing for `density`, or no galaxy on the map has
        one; images are missing for `images`.
    """
    from matplotlib import rc_context

    path = Path(path)
    if width not in WIDTHS:
        raise unknown("width of a figure", width, WIDTHS)
    if path.suffix not in ENDINGS:
        raise InputError(
            "figure",
            where=path,
            rule=f"end in {', '.join(ENDINGS)}",
            found=path.suffix or "no ending",
        )
    figure = draw_figure(
        chart, kind, labels=labels, images=images, inches=WIDTHS[width], cells=cells, view=view,
        seed=seed,
    )  # fmt: skip
    with rc_context(STYLE), written_whole(path) as temporary:
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
        figure.savefig(temporary, dpi=300, metadata=metadata, format=path.suffix[1:])
    return path


def draw_figure(
    chart: Map | Mapping[str, Map],
    kind: str = "points",
    *,
    labels: Labels | None = None,
    images: ImageSet | str | Path | None = None,
    inches: float = WIDTHS["column"],
    cells: int = 24,
    view: View | None = None,
    seed: int = 0,
) -> Figure:
    """Draw a map for a paper as a Matplotlib figure, and return the figure.

    Parameters
    ----------
    chart, kind, labels, images, cells, view, seed
        As for `write_figure`.
    inches : float
        Width of the figure.

    Raises
    ------
    UnknownNameError
        No such kind.
    InputError
        For the reasons of `write_figure`.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if kind not in KINDS:
        raise unknown("kind of figure", kind, KINDS)
    charts = chart if isinstance(chart, Mapping) else {"": chart}
    coded = [None if labels is None else _codes(drawn_map, labels) for drawn_map in charts.values()]
    with rc_context(STYLE):
        figure = Figure(figsize=(inches, inches / len(charts)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(charts), squeeze=False, sharex=True, sharey=True)[0]
        for axes, codes, (name, drawn_map) in zip(panels, coded, charts.items(), strict=True):
            places = drawn_map.coordinates[:, :2].astype(np.float64)
            if kind == "images":
                _draw_images(
                    axes, drawn_map, places, codes, images, cells, view or View(size=64, crop=0.6)
                )
            elif kind == "density":
                _draw_densities(axes, places, codes, labels)
            else:
                _draw_points(axes, places, codes, labels, seed)
            axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2", aspect="equal")
            axes.set_title(name, fontsize=8, parse_math=False)
        if labels is not None:
            _legend(figure, np.concatenate([codes for codes in coded if codes is not None]), labels)
    return figure


def draw_map(axes: Axes, chart: Map, labels: Labels | None = None, *, seed: int = 0) -> None:
    """Draw a map on given axes: a point for each galaxy, coloured by class, and a legend.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    chart : Map
        A map in two dimensions; of one in three, the first two coordinates are drawn.
    labels : Labels, optional
        One class per galaxy; galaxies without one are grey.
    seed : int
        Seed of the order in which points cover each other.

    Raises
    ------
    InputError
        No galaxy of the map has a label.
    """
    codes = None if labels is None else _codes(chart, labels)
    _draw_points(axes, chart.coordinates[:, :2].astype(np.float64), codes, labels, seed)
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2", aspect="equal")
    if codes is not None and labels is not None:
        axes.legend(handles=_legend_entries(codes, labels), frameon=False, fontsize=7, loc="best")


def _codes(chart: Map, labels: Labels) -> npt.NDArray[np.int64]:
    rows = pd.Index(labels.ids).get_indexer(pd.Index(chart.ids))
    if (rows < 0).all():
        raise InputError(
            "no galaxy of the map has a label", where=f"scheme {labels.scheme}", rule="share ids"
        )
    return np.where(rows < 0, -1, labels.codes[rows])


def _side(places: npt.NDArray[np.float64]) -> float:
    """Return the diameter of a marker in points; more galaxies get smaller markers."""
    return float(np.clip(90 / np.sqrt(len(places)), 0.7, 5))


def _scatter(
    axes: Axes, places: npt.NDArray[np.float64], size: float, colour: str, marker: str = "o"
) -> None:
    axes.scatter(
        places[:, 0],
        places[:, 1],
        s=size,
        color=colour,
        marker=marker,
        linewidths=0,
        rasterized=True,
    )


def _draw_points(
    axes: Axes,
    places: npt.NDArray[np.float64],
    codes: npt.NDArray[np.int64] | None,
    labels: Labels | None,
    seed: int,
) -> None:
    """Draw each galaxy as a point, in the colour of its class."""
    size = _side(places) ** 2
    if codes is None or labels is None:
        _scatter(axes, places, size, "#3b5f8f")
        return
    _scatter(axes, places[codes < 0], size, GREY)
    # draw the points in 8 random batches, so that the class drawn last does not cover all others
    batch = np.random.default_rng(seed).integers(0, 8, len(codes))
    for turn in range(8):
        for code in np.unique(codes[codes >= 0]):
            colour, marker = class_mark(int(code))
            rows = (codes == code) & (batch == turn)
            _scatter(axes, places[rows], size, on_paper(colour), marker)


def _draw_images(
    axes: Axes,
    chart: Map,
    places: npt.NDArray[np.float64],
    codes: npt.NDArray[np.int64] | None,
    images: ImageSet | str | Path | None,
    cells: int,
    view: View,
) -> None:
    """Divide the map into cells, and draw in each cell the galaxy nearest to the cell's centre."""
    if images is None:
        raise InputError("a figure of galaxies", rule="have images", remedy="give images")
    if cells < 1:
        raise InputError("cells of a figure", rule="be at least 1", found=cells)
    images = images if isinstance(images, ImageSet) else ImageSet.of(images)
    rows = pd.Index(images.ids).get_indexer(pd.Index(chart.ids))
    low = places.min(0)
    step = float(np.ptp(places, axis=0).max()) / cells or 1.0
    cell = np.minimum((places - low) // step, cells - 1).astype(int)
    # sort galaxies by distance to their cell's centre: the first with an image fills the cell
    off = np.linalg.norm(places - low - (cell + 0.5) * step, axis=1)
    filled: set[tuple[int, int]] = set()
    for galaxy in np.argsort(off, kind="stable"):
        where = (int(cell[galaxy, 0]), int(cell[galaxy, 1]))
        if where in filled or rows[galaxy] < 0:
            continue
        try:
            picture = thumbnail(images, int(rows[galaxy]), view)
        except GzError:
            # the image is broken: the galaxy next nearest to the cell's centre can fill the cell
            continue
        filled.add(where)
        left, bottom = low + np.asarray(where) * step
        extent = (
            left + 0.03 * step,
            left + 0.97 * step,
            bottom + 0.03 * step,
            bottom + 0.97 * step,
        )
        axes.imshow(np.asarray(picture), extent=extent, interpolation="lanczos", rasterized=True)
        if codes is not None and codes[galaxy] >= 0:
            x0, x1, y0, y1 = extent
            axes.plot(
                [x0, x1, x1, x0, x0],
                [y0, y0, y1, y1, y0],
                color=on_paper(class_mark(int(codes[galaxy]))[0]),
                lw=0.9,
            )
    high = low + step * (cell.max(0) + 1)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _draw_densities(
    axes: Axes,
    places: npt.NDArray[np.float64],
    codes: npt.NDArray[np.int64] | None,
    labels: Labels | None,
) -> None:
    """Draw contours around 50 and 90 % of the galaxies of each class."""
    if codes is None or labels is None:
        raise InputError("densities of classes", rule="have labels", remedy="give labels")
    from scipy.ndimage import gaussian_filter

    _scatter(axes, places, _side(places) ** 2 / 2, GREY)
    margin = 0.08 * np.ptp(places, axis=0).max() or 1.0
    span = [[places[:, axis].min() - margin, places[:, axis].max() + margin] for axis in (0, 1)]
    centres = [np.linspace(low, high, 161)[:-1] + (high - low) / 320 for low, high in span]
    for code in np.unique(codes[codes >= 0]):
        members = places[codes == code]
        counts, _, _ = np.histogram2d(members[:, 0], members[:, 1], bins=160, range=span)
        # smooth by half the width of Scott's rule, which suits a single clump: the full width would
        # blur a class that has several
        spread = (
            np.subtract(*np.percentile(members, [84, 16], axis=0)) / 4 * len(members) ** (-1 / 6)
        )
        width = np.clip(spread / [(high - low) / 160 for low, high in span], 1.5, 6)
        density = gaussian_filter(counts, width, mode="constant")
        falling = np.sort(density.ravel())[::-1]
        # find the densities whose contours enclose 50 and 90 % of a class's galaxies: sum cells
        # from the densest down
        enclosed = np.cumsum(falling) / falling.sum()
        levels = sorted({float(falling[np.searchsorted(enclosed, share)]) for share in (0.9, 0.5)})
        colour = on_paper(class_mark(int(code))[0])
        strokes = [("dashed", 0.7), ("solid", 1.4)][-len(levels) :]
        styles, widths = zip(*strokes, strict=True)
        axes.contour(
            *centres, density.T, levels=levels, colors=colour, linestyles=styles, linewidths=widths
        )


def _legend_entries(codes: npt.NDArray[np.int64], labels: Labels) -> list[Line2D]:
    """Return the legend's marks: one for each class on the map, one for galaxies without label."""
    from matplotlib.lines import Line2D

    entries = []
    for code in np.unique(codes[codes >= 0]):
        colour, marker = class_mark(int(code))
        name = short(labels.classes[code], 24)
        entries.append(
            Line2D([], [], ls="", marker=marker, ms=4.5, mew=0, color=on_paper(colour), label=name)
        )
    if (codes < 0).any():
        entries.append(
            Line2D([], [], ls="", marker="o", ms=4.5, mew=0, color=GREY, label="no label")
        )
    return entries


def _legend(figure: Figure, codes: npt.NDArray[np.int64], labels: Labels) -> None:
    """Draw the legend of classes below the map."""
    columns = 3 if figure.get_figwidth() < 5 else 6
    legend = figure.legend(
        handles=_legend_entries(codes, labels),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handletextpad=0.1,
        columnspacing=0.9,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a class name would begin a formula
