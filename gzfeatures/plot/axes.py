"""Provide matplotlib axes in the style of all figures: new axes, or those of the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@contextmanager
def axes_for(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Yield the caller's axes, or new axes, while the style of all figures is active.

    Parameters
    ----------
    ax : Axes, optional
        Axes of the caller; without axes, pyplot makes a new figure, which notebooks show.
    width, height : float
        Size of a new figure in inches.
    """
    from matplotlib import pyplot, rc_context

    from gzfeatures.figures.style import STYLE

    if ax is not None:
        with rc_context(STYLE):
            yield ax
        return
    # create the figure before the style is set: a notebook changes matplotlib's settings at the
    # first figure, and leaving the `with` block below would undo such changes
    figure = pyplot.figure(figsize=(width, height), layout="constrained")
    with rc_context(STYLE):
        yield figure.add_subplot()
