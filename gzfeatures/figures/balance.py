"""Draw the number of labelled galaxies of each class as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import PARTS, Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHADES = {"train": "#31688e", "validation": "#6cb8a8", "test": "#c2cf66", "": "#31688e"}


def balance_figure(labels: Labels, split: Split | None = None) -> Figure:
    """Draw the number of galaxies of each class; below, list how many have no label, and why.

    Parameters
    ----------
    labels : Labels
        Labels of any kind; of vote fractions, the galaxies with a known fraction are counted.
    split : Split, optional
        If given, each bar shows train, validation and test galaxies in different colours.

    Returns
    -------
    Figure
        Figure whose height grows with the number of classes; save it with `savefig`.
    """
    from matplotlib.figure import Figure

    parts = (
        {"": labels}
        if split is None
        else {name: labels.select(getattr(split, name)) for name in PARTS}
    )
    figure = Figure(figsize=(6, 1.2 + 0.28 * len(labels.classes)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(labels.classes))
    # stack train, validation and test galaxies in the bar of each class, so that a user sees a
    # class that is rare in one of them
    for name, part in parts.items():
        counts = np.asarray(list(part.counts.values()))
        axes.barh(labels.classes, counts, left=left, color=_SHADES[name], label=name or None)
        left += counts
    for place, number in enumerate(left):
        axes.annotate(
            f"{int(number):,}",
            (number, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
        )
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("galaxies")
    axes.set_title(labels.scheme, loc="left")
    if split is not None:
        figure.legend(loc="outside upper right", ncols=len(PARTS), frameon=False)
    # write below the bars how many galaxies have no label: bars alone would hide this from users
    left_out = [f"{reason}: {len(ids):,}" for reason, ids in labels.left_out.items()]
    if left_out:
        figure.supxlabel("no label — " + "; ".join(left_out), fontsize="x-small", x=0.01, ha="left")
    return figure
