"""Figures that are composed and not drawn, for tests of runs in which no picture is the promise.

Drawing the letters of some forty figures is half of the time of a small run.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pytest
from matplotlib.figure import Figure
from PIL import Image

SVG = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'


@contextmanager
def undrawn() -> Iterator[None]:
    """Save every PNG as one white pixel and every SVG as an empty element."""
    draw, pixel = Figure.savefig, io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(pixel, "PNG")

    def saved(figure: Figure, place: Path | BinaryIO | TextIO, **options: Any) -> None:
        kind = options.get("format")
        if kind == "png" and isinstance(place, Path):
            place.write_bytes(pixel.getvalue())
        elif kind == "svg" and isinstance(place, io.StringIO):
            place.write(SVG)
        else:
            draw(figure, place, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", saved)
        yield
