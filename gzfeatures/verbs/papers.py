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
    """Draw a figure about a finished run in a journal's format, with its numbers and a caption.

    Parameters
    ----------
    run : str or Path
        Run folder, or experiment file of a finished run.
    kind : {"ranking", "confusion", "map", "reliability", "learning-curve", "gallery"}
        Content of the figure.
    journal : {"aastex", "mnras", "aa"}
        Journal whose column and page widths are used.
    width : {"column", "page"}
        Printed width of the figure.
    candidate : int
        Rank of the compared model to show, if the figure shows a single model.
    count : int, optional
        Largest number of models in a ranking, or of galaxies in a gallery's row; default 12.
    images : ImageSet, str or Path, optional
        Images for the gallery; default the images of the run.

    Returns
    -------
    PaperFigure
        `write("figure.pdf")` writes the figure and its numbers; `caption` is a text.

    Raises
    ------
    MissingFileError, InputError, UnknownNameError
        The run is not finished, or has no numbers for this figure; or no figure, journal or width
        has the given name.

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
        `bibtex()` returns the references; `unknown` lists what is used and has no reference.

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
        The run is not finished, or `form` has another value.

    Examples
    --------
    >>> print(methods("runs/gz2"))  # doctest: +SKIP
    """
    from gzfeatures.paper.finished_run import read_run
    from gzfeatures.paper.methods import methods_paragraph

    return methods_paragraph(read_run(run), form)
