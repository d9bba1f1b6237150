"""Colours of classes and numbers, told apart under the common colour-vision deficiencies.

The twelve class colours maximise the smallest OKLab distance between any two, seen normally and as by people without
long-, middle- or short-wave cones (simulation of Machado+2009, doi:10.1109/TVCG.2009.113, severity 1): 0.10 at least.
Beyond twelve classes the colours come again with another shape.
"""

from __future__ import annotations

CLASS_COLOURS = (
    "#96c3ff",
    "#b45a00",
    "#961eff",
    "#ffd2a5",
    "#008787",
    "#9687ff",
    "#b4965a",
    "#4bffff",
    "#b4c300",
    "#ff0fb4",
    "#ff96b4",
    "#c3ff00",
)

SHAPES = ("o", "s", "^", "D", "P", "X")
"""Markers of matplotlib, in the order in which they are taken."""

RAMP = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")
"""Viridis without its darkest seventh, which a dark ground would swallow."""


def class_mark(code: int) -> tuple[str, str]:
    """Colour and marker of a class code: every pair differs up to 72 classes."""
    return CLASS_COLOURS[code % len(CLASS_COLOURS)], SHAPES[code // len(CLASS_COLOURS) % len(SHAPES)]
