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
        Of `read_run`.
    kind : str
        Of `kinds.KINDS`: ranking, confusion, map, reliability, learning-curve, gallery.
    options : FigureOptions, optional
        Journal, width and what is shown.

    Raises
    ------
    UnknownNameError
        No such kind.
    InputError
        The run has nothing of this kind, such as a map of a run without one.
    """
    if kind not in KINDS:
        raise unknown("kind of figure", kind, KINDS)
    with restyled(PAPER):
        return KINDS[kind](run, options or FigureOptions())
