"""Choose colours for classes and numbers that colour-blind readers can distinguish.

The twelve class colours were chosen so that the smallest distance between two of them, in the
colour space OKLab, is as large as possible: at least 0.09. This holds for normal vision and for
people without long-, middle- or short-wave cones (simulation of Machado+2009,
doi:10.1109/TVCG.2009.113, severity 1). After twelve classes the colours repeat with a different
marker shape.
"""

from __future__ import annotations

CLASS_COLOURS = (
    "#b4c3ff",
    "#f03c0f",
    "#5ae1b4",
    "#f0f000",
    "#b43cff",
    "#f08769",
    "#78b4b4",
    "#e1c33c",
    "#b4f0ff",
    "#c36978",
    "#c387ff",
    "#8778c3",
)
"""Colours of classes on a dark background; `on_paper` darkens them for a white background."""

SHAPES = ("o", "s", "^", "D", "P", "X")
"""Markers of matplotlib: the first for the first twelve classes, the second for the next twelve, …
"""

RAMP = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")
"""Colours for numbers: viridis without its darkest part, invisible on a dark background."""


def class_mark(code: int) -> tuple[str, str]:
    """Return colour and marker for a class number; up to 72 classes look different."""
    return CLASS_COLOURS[code % len(CLASS_COLOURS)], SHAPES[
        code // len(CLASS_COLOURS) % len(SHAPES)
    ]


def on_paper(colour: str) -> str:
    """Darken a colour (each channel × 0.72), so that points are visible on white.

    Examples
    --------
    >>> on_paper("#ffffff")
    '#b8b8b8'
    """
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * 0.72):02x}" for i in (1, 3, 5))
