"""Measure how many cells of an index a search must read to find nearly all nearest galaxies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

WANTED = 0.985
"""Share of the nearest galaxies that the cells must hold."""


def enough_cells(
    first: int,
    cells: int,
    truth: npt.NDArray[np.floating],
    found_in: Callable[[int], npt.NDArray[np.floating]],
) -> tuple[int, float]:
    """Double the number of cells until a search in them finds enough of the nearest galaxies.

    Parameters
    ----------
    first : int
        Number of cells to begin with, at least 1.
    cells : int
        Number of all cells, at which the doubling ends.
    truth : ndarray of float
        Distances of m queries to their k nearest galaxies, shape (m, k), ascending.
    found_in : callable
        Takes a number of cells, and returns the distances of the k nearest galaxies in them, shape
        (m, k).

    Returns
    -------
    int
        Number of cells.
    float
        Share of the nearest galaxies found in them, in [0, 1].

    Examples
    --------
    >>> enough_cells(1, 8, np.ones((1, 2)), lambda count: np.array([[1.0, 4.0 / count]]))
    (4, 1.0)
    """
    count = first
    while True:
        # compare distances, not row numbers: of equally near rows, any is right
        recall = float(np.mean(found_in(count) <= truth[:, -1:] * (1 + 1e-5) + 1e-12))
        if recall >= WANTED or count == cells:
            return count, recall
        count = min(2 * count, cells)
