"""Draw galaxy images in rows by class, with misclassified galaxies in the last row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gzfeatures.figures.gallery import tiles
from gzfeatures.figures.style import axes_of, short, styled
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.report.examples import Example

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEW = View(size=160, crop=0.6)
LEAST = 0.55
"""Smallest width of a picture in inches: in narrower pictures, spiral arms cannot be seen."""


@styled
def draw_gallery(
    galaxies: Sequence[Example],
    images: ImageSet,
    classes: Sequence[str],
    inches: float,
    count: int,
) -> Figure:
    """Draw images of correctly classified galaxies, one row per class, then misclassified ones.

    Parameters
    ----------
    galaxies : sequence of Example
        Galaxies, each with the class that one network or head predicts.
    images : ImageSet
        Images of the galaxies; a galaxy without a readable image leaves an empty place.
    classes : sequence of str
        Order of the rows.
    inches : float
        Width of the figure.
    count : int
        Largest number of galaxies in a row.
    """
    columns = max(1, min(count, int((inches - 0.8) / LEAST)))
    right = [each for each in galaxies if each.guesses[0].right]
    rows = {name: [each for each in right if each.actual == name][:columns] for name in classes}
    rows["mistakes"] = [each for each in galaxies if not each.guesses[0].right][:columns]
    rows = {name: members for name, members in rows.items() if members}
    side = (inches - 0.8) / columns
    figure, axes = axes_of(inches, (side + 0.12) * len(rows) + 0.3)
    axes.remove()
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_of_row, (name, members) in zip(grid, rows.items(), strict=True):
        captions = [(each.id, _caption(each, int(side * 17))) for each in members]
        for cell in axes_of_row:
            cell.set_axis_off()
        pictures = tiles(images, captions, VIEW)
        for cell, tile in zip(axes_of_row, pictures, strict=False):
            if tile.picture is not None:
                cell.imshow(np.asarray(tile.picture), interpolation="lanczos")
            cell.set_title(tile.caption, fontsize=6.0, pad=2, parse_math=False)
        # write the name of the row to the left of its first picture, where it hides no picture
        axes_of_row[0].text(
            -0.08, 0.5, short(name, 18), transform=axes_of_row[0].transAxes, ha="right",
            va="center", fontsize=6.5,
        )  # fmt: skip
    return figure


def _caption(example: Example, letters: int) -> str:
    """Return a picture's caption: predicted probability and, for a mistake, both classes."""
    guess = example.guesses[0]
    # write "> 0.99" instead of 1.00, which would claim certainty
    probability = f"{guess.probability:.2f}" if guess.probability < 0.995 else "> 0.99"
    if guess.right:
        return probability
    actual = short(example.actual, letters - 2)
    return f"{short(guess.predicted, letters)}\n({actual})\n{probability}"
