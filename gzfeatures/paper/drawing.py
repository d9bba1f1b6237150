"""Draw one figure of a finished run at the width of a journal's column or page."""

from __future__ import annotations

from gzfeatures.errors import unknown
from gzfeatures.figures.style import restyled
from gzfeatures.paper.figure import PAPER, FigureOptions, PaperFigure
from gzfeatures.paper.finished_run import FinishedRun
from gzfeatures.paper.kinds import KINDS


def paper_figure(run: FinishedRun, kind: str, options: FigureOptions | None = None) -> PaperFigure:
    """Draw a figure of a finished run, as wide as a column or page of a journal.

    Parameters
    ----------
    run : FinishedRun
        The run, from `read_run`.
    kind : str
        Name in `kinds.KINDS`: ranking, confusion, map, reliability, learning-curve, gallery.
    options : FigureOptions, optional
        Journal, width, model and number of galaxies to show.

    Raises
    ------
    UnknownNameError
        No figure has this name.
    InputError
        The run lacks what the figure shows, for example because no map was computed.
    """
    if kind not in KINDS:
        raise unknown("kind of figure", kind, KINDS)
    with restyled(PAPER):
        return KINDS[kind](run, options or FigureOptions())
