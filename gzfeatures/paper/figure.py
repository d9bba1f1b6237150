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
"""Least size of letters in points, at the printed width."""
PAPER: dict[str, Any] = {
    "font.size": 7.0,
    "axes.titlesize": 7.0,
    "axes.linewidth": 0.6,
    # 42 means TrueType fonts, which are embedded and can be searched; some journals refuse
    # matplotlib's default, Type 3
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
}


@dataclasses.dataclass(frozen=True)
class FigureOptions:
    """Choose the journal, width, model (by rank) and number of galaxies of a paper figure.

    Parameters
    ----------
    journal : str
        Of `JOURNALS`.
    width : {"column", "page"}
        Printed width.
    rank : int
        Candidate that is shown, where a figure shows one; from 1, the best.
    count : int
        Most candidates of a ranking, and galaxies of each class in a gallery.
    images : ImageSet, str or Path, optional
        Images of the galaxies; default those of the run's settings.

    Raises
    ------
    UnknownNameError
        No such journal or width.
    InputError
        Nothing to show.
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
        As wide as the journal prints it.
    numbers : DataFrame
        One row per mark; intervals come with their level, method and number of galaxies.
    caption : str
        Plain text.
    """

    figure: Figure
    numbers: pd.DataFrame
    caption: str

    def write(self, path: str | Path) -> list[Path]:
        """Write the figure, and a CSV file with its numbers under the same name.

        Parameters
        ----------
        path : str or Path
            `.pdf`, `.svg` or `.eps` (vectors, fonts embedded; images as pixels), or `.png` with 300
            dots per inch.

        Returns
        -------
        list of Path
            Of the figure and of the CSV.

        Raises
        ------
        InputError
            Another ending.
        OutputError
            The place cannot be written.
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
    """Return the path of the CSV file, beside a figure's file, with the figure's numbers.

    Examples
    --------
    >>> numbers_beside(Path("fig.pdf")).name
    'fig.csv'
    """
    return path.with_suffix(".csv")
