"""Define the style of all figures, and save figures as PNG, SVG, PDF or EPS."""

from __future__ import annotations

import functools
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from gzfeatures.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

INK, LINE = "#1b1f24", "#c3c9d1"
MARKS = {
    "frozen": ("o", "#0072b2", "-"),
    "fine-tuned": ("s", "#009e73", "--"),
    "end-to-end": ("^", "#d55e00", ":"),
}
"""Approach → marker, colour and line style, the same in every figure."""
_CHANGED: ContextVar[dict[str, Any]] = ContextVar("changed style", default={})  # noqa: B039
"""Settings that replace those of `STYLE` in a `with restyled(…)` block. The dict is never changed,
only replaced by another, because the default is shared."""

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,  # a $ in a class name or id begins no formula
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
} | dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Wrap a function that draws a figure, so that it uses the common style `STYLE`."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(STYLE | _CHANGED.get()):
            return draw(*args, **kwargs)

    return styled


@contextmanager
def restyled(settings: dict[str, Any]) -> Iterator[None]:
    """Use other matplotlib settings, such as a journal's, for figures drawn in a `with` block."""
    token = _CHANGED.set(_CHANGED.get() | settings)
    try:
        yield
    finally:
        _CHANGED.reset(token)


def axes_of(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a new figure of the given size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def short(name: str, limit: int = 22) -> str:
    """Return a name cut to `limit` characters, with an ellipsis if it was longer.

    Examples
    --------
    >>> short("completely-round", 10)
    'completel…'
    """
    return name if len(name) <= limit else name[: limit - 1] + "…"


def folded(name: str, limit: int = 22) -> str:
    """Break a name into up to four lines of at most `limit` characters.

    A name that needs more than four lines is cut, because it would leave too little space for the
    figure.

    Examples
    --------
    >>> folded("disturbed or merging galaxy", 12)
    'disturbed or\\nmerging\\ngalaxy'
    """
    return "\n".join(textwrap.wrap(name, limit, max_lines=4, placeholder="…")) or name


def write_beside(axes: Axes, texts: Mapping[tuple[float, float], str]) -> None:
    """Write texts to the right of points; shift a text upwards if it would overlap another."""
    placed: list[tuple[float, float]] = []
    scale = 72 / axes.figure.dpi
    for point in sorted(texts, key=lambda p: p[1]):
        x, y = axes.transData.transform(point) * scale
        height = y
        # move a text upwards only as far as needed to overlap no other text: it must stay near its
        # point
        while any(abs(x - px) < 20 and abs(height - py) < 9 for px, py in placed):
            height += 1
        placed.append((x, height))
        axes.annotate(
            texts[point],
            point,
            (7, height - y),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )


@contextmanager
def _saving(**more: str) -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context(STYLE | _CHANGED.get() | more), warnings.catch_warnings():
        # hide matplotlib's warning about letters that its font lacks: a browser draws those of an
        # SVG in another font, and a PNG or PDF shows a box in their place
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        yield


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG on white, with 150 dots per inch."""
    with written_whole(path) as temporary, _saving():
        figure.savefig(
            temporary, format="png", dpi=150, facecolor="white", metadata={"Software": None}
        )
    return path


def svg(figure: Figure, name: str) -> str:
    """Return a figure as a transparent `<svg>` element in the text colour of the page.

    Every text is escaped. Ids of elements in the SVG depend on `name`, so that two figures on one
    page have different ids.
    """
    buffer = io.StringIO()
    with _saving(**{"svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor").replace(LINE, "var(--line)")


def write_vector(figure: Figure, path: Path) -> Path:
    """Write a figure for print: `.pdf`, `.svg`, `.eps`, or `.png` with 300 dots per inch.

    The file has no date, so that equal figures give equal files.
    """
    undated = {
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None},
        ".png": {"Software": None},
    }
    with written_whole(path) as temporary, _saving(**{"svg.hashsalt": "gzfeatures"}):
        figure.savefig(
            temporary,
            format=path.suffix[1:],
            dpi=300,
            facecolor="white",
            metadata=undated.get(path.suffix),
        )
    return path
