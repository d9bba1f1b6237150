"""List journals with the printed widths of their columns and pages."""

from __future__ import annotations

import dataclasses

MILLIMETRES = 25.4
"""Millimetres in an inch."""


@dataclasses.dataclass(frozen=True)
class Journal:
    """Store the printed widths of a journal's column and page, in millimetres.

    Parameters
    ----------
    name : str
        Name of the journal's LaTeX class, without version.
    title : str
        Usual name of the journal.
    column, page : float
        Widths in mm of a column and of the printed page.
    source : str
        Where the widths come from.
    """

    name: str
    title: str
    column: float
    page: float
    source: str

    def inches(self, width: str) -> float:
        """Return the width of the journal's `column` or `page` in inches.

        Examples
        --------
        >>> round(JOURNALS["aa"].inches("column"), 2)
        3.46
        """
        return float(getattr(self, width)) / MILLIMETRES


_ALL = (
    Journal(
        "aastex",
        "AAS journals (ApJ, AJ)",
        85.0,
        180.0,
        "columns of AASTeX in two-column style: 242 and 513 points of 1/72.27 inch",
    ),
    Journal(
        "mnras",
        "Monthly Notices of the RAS",
        84.0,
        177.0,
        "columns of mnras.cls: 240 and 504 points of 1/72.27 inch",
    ),
    Journal("aa", "Astronomy & Astrophysics", 88.0, 180.0, "aanda.org, guide for authors: figures"),
)

JOURNALS: dict[str, Journal] = {entry.name: entry for entry in _ALL}
"""Name of a LaTeX class → journal that uses this class."""
