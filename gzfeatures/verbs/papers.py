"""Write parts of a paper about a finished run: a figure, citations, a methods paragraph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gzfeatures.verbs.inputs import Place

if TYPE_CHECKING:
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.paper.figure import PaperFigure
    from gzfeatures.paper.references import Citations


def figure(
    run: Place,
    kind: str = "ranking",
    *,
    journal: str = "aastex",
    width: str = "column",
    candidate: int = 1,
    count: int | None = None,
    images: ImageSet | Place | None = None,
) -> PaperFigure:
    """Draw a figure of a finished run for a journal, with its numbers and caption.

    Parameters
    ----------
    run : str or Path
        Run folder, or experiment file of a finished run.
    kind : {"ranking", "confusion", "map", "reliability", "learning-curve", "gallery"}
        Content of the figure.
    journal : {"aastex", "mnras", "aa"}
        Journal whose widths are taken.
    width : {"column", "page"}
        Printed width.
    candidate : int
        Rank of the candidate to show, where a figure shows one.
    count : int, optional
        Most candidates of a ranking, or galaxies of a row; default 12.
    images : ImageSet, str or Path, optional
        Images for the gallery; default those of the run.

    Returns
    -------
    PaperFigure
        `write("figure.pdf")` writes it with its numbers; `caption` describes it.

    Raises
    ------
    MissingFileError, InputError, UnknownNameError
        The run is not finished or has nothing of this kind; no such kind, journal or width.

    Examples
    --------
    >>> figure("runs/gz2", "confusion").write("confusion.pdf")  # doctest: +SKIP
    """
    from gzfeatures.paper.drawing import paper_figure
    from gzfeatures.paper.figure import FigureOptions
    from gzfeatures.paper.finished_run import read_run

    options = FigureOptions(journal, width, candidate, count or 12, images)
    return paper_figure(read_run(run), kind, options)


def cite(run: Place) -> Citations:
    """Collect references to the software, data, class scheme and networks of a finished run.

    Parameters
    ----------
    run : str or Path
        Run folder, or experiment file of a finished run.

    Returns
    -------
    Citations
        `bibtex()` gives the entries; `unknown` names what has none.

    Raises
    ------
    MissingFileError, InputError
        The run is not finished.

    Examples
    --------
    >>> print(cite("runs/gz2").bibtex())  # doctest: +SKIP
    """
    from gzfeatures.paper.finished_run import read_run
    from gzfeatures.paper.references import citations

    return citations(read_run(run))


def methods(run: Place, form: str = "text") -> str:
    """Return a paragraph on the methods of a finished run, with numbers from the run's files.

    Parameters
    ----------
    run : str or Path
        Run folder, or experiment file of a finished run.
    form : {"text", "latex"}
        Plain text, or LaTeX that cites the keys of `cite`.

    Raises
    ------
    MissingFileError, InputError, UnknownNameError
        The run is not finished; no such form.

    Examples
    --------
    >>> print(methods("runs/gz2"))  # doctest: +SKIP
    """
    from gzfeatures.paper.finished_run import read_run
    from gzfeatures.paper.methods import methods_paragraph

    return methods_paragraph(read_run(run), form)
