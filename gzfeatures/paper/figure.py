"""Store a figure for a journal with its numbers and caption, and write them to files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures.errors import InputError, unknown
from gzfeatures.figures.style import restyled, write_vector
from gzfeatures.files import written_whole
from gzfeatures.images.image_set import ImageSet
from gzfeatures.paper.journals import JOURNALS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ENDINGS = (".pdf", ".svg", ".eps", ".png")
WIDTHS = ("column", "page")
SMALLEST_TEXT = 6.0
"""Smallest font size of a figure, in points at the printed width."""
PAPER: dict[str, Any] = {
    "font.size": 7.0,
    "axes.titlesize": 7.0,
    "axes.linewidth": 0.6,
    # embed fonts as TrueType (42), not as Type 3, matplotlib's default: some journals refuse Type 3
    # fonts, and their text cannot be searched
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
}


@dataclasses.dataclass(frozen=True)
class FigureOptions:
    """Choose the journal, width, model (by rank) and number of galaxies of a paper figure.

    Parameters
    ----------
    journal : str
        Name in `JOURNALS`.
    width : {"column", "page"}
        Printed width of the figure.
    rank : int
        Rank of the network or head to show, if the figure shows a single one; the best has rank 1.
    count : int
        Largest number of networks and heads in a ranking, or of galaxies of each class in a
        gallery.
    images : ImageSet, str or Path, optional
        Images of the galaxies; by default those named in the run's settings.

    Raises
    ------
    UnknownNameError
        No journal or width has the given name.
    InputError
        `count` is below 1.
    """

    journal: str = "aastex"
    width: str = "column"
    rank: int = 1
    count: int = 12
    images: ImageSet | str | Path | None = None

    def __post_init__(self) -> None:
        if self.journal not in JOURNALS:
            raise unknown("journal", self.journal, JOURNALS)
        if self.width not in WIDTHS:
            raise unknown("width of a figure", self.width, WIDTHS)
        if self.count < 1:
            raise InputError("count of a figure", rule="be at least 1", found=self.count)

    @property
    def inches(self) -> float:
        """Return the printed width of the figure in inches."""
        return JOURNALS[self.journal].inches(self.width)


@dataclasses.dataclass(frozen=True, eq=False)
class PaperFigure:
    """Store a figure with its caption and the numbers that it shows.

    Parameters
    ----------
    figure : matplotlib Figure
        The figure, as wide as the journal prints it.
    numbers : DataFrame
        One row for each mark in the figure; intervals come with level, method and number of
        galaxies.
    caption : str
        Caption as plain text.
    """

    figure: Figure
    numbers: pd.DataFrame
    caption: str

    def write(self, path: str | Path) -> list[Path]:
        """Write the figure, and a CSV file with its numbers under the same name.

        Parameters
        ----------
        path : str or Path
            File of the figure: `.pdf`, `.svg` or `.eps` (vector graphics with embedded fonts;
            images as pixels), or `.png` with 300 dots per inch.

        Returns
        -------
        list of Path
            Paths of the figure and of the CSV file.

        Raises
        ------
        InputError
            The path has another ending.
        OutputError
            The files cannot be written.
        """
        path = require_ending(path)
        with restyled(PAPER):
            write_vector(self.figure, path)
        table = numbers_beside(path)
        with written_whole(table) as temporary:
            self.numbers.to_csv(temporary, index=False, lineterminator="\n")
        return [path, table]


def require_ending(path: str | Path) -> Path:
    """Return a figure's path if it ends in .pdf, .svg, .eps or .png; refuse other endings."""
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise InputError(
            "figure",
            where=path,
            rule=f"end in {', '.join(ENDINGS)}",
            found=path.suffix or "no ending",
        )
    return path


def numbers_beside(path: Path) -> Path:
    """Return the path of the CSV file with a figure's numbers, which lies beside the figure's file.

    Examples
    --------
    >>> numbers_beside(Path("fig.pdf")).name
    'fig.csv'
    """
    return path.with_suffix(".csv")
