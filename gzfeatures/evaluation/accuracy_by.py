"""Compute accuracy in bins of volunteers' agreement, redshift, magnitude or size of galaxies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.repeatability import ASSUMED_PANEL, of_majorities
from gzfeatures.evaluation.rows import AccuracyBin, Ceiling
from gzfeatures.evaluation.statistics.proportions import Array, wilson
from gzfeatures.galaxies.catalogs.quantities import present
from gzfeatures.galaxies.labels.labels import Labels, vote_shares
from gzfeatures.ids import positions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

COLUMNS = {"redshift": "redshift", "magnitude": "petro_mag_r_abs", "size": "petro_r90"}
"""Catalog columns by quantity: redshift, absolute r magnitude, Petrosian R90 (arcsec)."""


def by_agreement(
    predictions: Predictions,
    truth: Labels,
    bins: int = 5,
    level: float = 0.9,
    panels: npt.NDArray[np.int64] | None = None,
) -> list[AccuracyBin]:
    """Return the accuracy in bins of the volunteers' agreement.

    Agreement is (k·max p − 1) / (k − 1) for k classes with vote fractions p: 0 if all classes have
    equal votes, 1 if all volunteers agree.

    Parameters
    ----------
    predictions : Predictions
        Class probabilities of n galaxies.
    truth : Labels
        Labels of the same galaxies in the same order, with vote fractions `soft`; galaxies without
        votes, or with an unknown fraction, are left out.
    bins : int
        Number of bins of agreement, all of equal width.
    level : float
        Coverage of the confidence intervals (see `proportions.wilson`).
    panels : ndarray of int, optional
        Number of volunteers of each galaxy, shape (n,); by default 40 for each.

    Returns
    -------
    list of AccuracyBin
        One for each bin with galaxies; its `ceiling` is how often the majorities of two groups of
        volunteers agree (see `repeatability.of_majorities`). The list is empty if `truth` has no
        vote fractions.
    """
    if truth.soft is None:
        return []
    share, voted = vote_shares(truth.soft)
    k = share.shape[1]
    agreement = (k * share.max(1) - 1) / (k - 1)
    bin_numbers = np.clip((agreement * bins).astype(int), 0, bins - 1)
    right = predictions.codes == truth.codes
    repeated = np.zeros(len(share))
    if voted.any():
        sizes = _panel_sizes(panels, len(share))
        # labels are majorities of volunteers, who disagree among themselves: compare the accuracy
        # with how often the majorities of two groups of volunteers agree. This is no upper limit:
        # predictions of each galaxy's likeliest majority agree with a new group at least as often
        repeated[voted] = of_majorities(share[voted], sizes[voted])
    rows = []
    for b in range(bins):
        in_bin = voted & (bin_numbers == b)
        if in_bin.any():
            ceiling = float(repeated[in_bin].mean())
            rows.append(_bin(b / bins, (b + 1) / bins, right[in_bin], level, ceiling))
    return rows


def against_ceiling(
    predictions: Predictions, truth: Labels, panels: npt.NDArray[np.int64] | None = None
) -> Ceiling | None:
    """Return how often predictions agree with volunteers, and volunteers with other volunteers.

    Predictions are compared in two ways. With one volunteer drawn at random: they agree in the
    share `reached`, and the best possible share is `ceiling`. With the majority of all volunteers:
    they agree in the share `accuracy`, and the majorities of two groups of volunteers agree in the
    share `repeatability`, which is no upper limit of `accuracy`.

    Parameters
    ----------
    predictions, truth
        Predictions and labels of the same galaxies in the same order; `truth.soft` are the vote
        fractions.
    panels : ndarray of int, optional
        Number of volunteers of each galaxy, shape (n,). Values below 1 mean unknown and are
        replaced by 40, the usual number of Galaxy Zoo 2.

    Returns
    -------
    Ceiling or None
        These shares among galaxies with votes and no unknown fraction (see
        `repeatability.of_majorities`). None if no galaxy has vote fractions.
    """
    if truth.soft is None:
        return None
    share, voted = vote_shares(truth.soft)
    if not voted.any():
        return None
    rows = np.arange(len(share))
    sizes = _panel_sizes(panels, len(share))
    repeated = of_majorities(share[voted], sizes[voted])
    return Ceiling(
        reached=float(share[rows, predictions.codes][voted].mean()),
        ceiling=float(share[voted].max(1).mean()),
        accuracy=float((predictions.codes == truth.codes)[voted].mean()),
        repeatability=float(repeated.mean()),
        panel=float(sizes[voted].mean()),
        assumed=panels is None or bool((panels[voted] < 1).any()),
        n=int(voted.sum()),
    )


def _panel_sizes(panels: npt.NDArray[np.int64] | None, n: int) -> npt.NDArray[np.int64]:
    """Return how many volunteers classified each of n galaxies; 40 where the number is unknown."""
    sizes = np.zeros(n, dtype=np.int64) if panels is None else panels
    return np.where(sizes < 1, ASSUMED_PANEL, sizes).astype(np.int64)


def accuracy_along(
    predictions: Predictions, truth: Labels, values: Array, bins: int = 5, level: float = 0.9
) -> list[AccuracyBin]:
    """Compute accuracy in bins of a quantity such as redshift, with equally many galaxies each.

    Parameters
    ----------
    predictions, truth
        Predictions and labels of the same galaxies in the same order.
    values : ndarray of float64
        Quantity of each galaxy, shape (n,). Galaxies with NaN, infinity, −9999 or −999 (values that
        mean "missing") are left out.
    bins : int
        Largest number of bins. Galaxies with equal values always share a bin, so that bins can be
        fewer and unequally filled.
    level : float
        Coverage of the confidence intervals (see `proportions.wilson`).

    Returns
    -------
    list of AccuracyBin
        One for each bin with galaxies, in rising order of the quantity.
    """
    measured = present(values)
    if not measured.any():
        return []
    # quantiles put equally many galaxies in each bin; `unique` merges equal edges, which repeated
    # values cause
    edges = np.unique(np.quantile(values[measured], np.linspace(0, 1, bins + 1)))
    bin_numbers = np.clip(
        np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2)
    )
    right = predictions.codes == truth.codes
    rows = []
    for b in range(max(1, len(edges) - 1)):
        in_bin = measured & (bin_numbers == b)
        if in_bin.any():
            low, high = float(edges[b]), float(edges[min(b + 1, len(edges) - 1)])
            rows.append(_bin(low, high, right[in_bin], level))
    return rows


def by_catalog(
    predictions: Predictions, truth: Labels, catalog: Catalog, bins: int = 5, level: float = 0.9
) -> dict[str, list[AccuracyBin]]:
    """Compute accuracy in bins of redshift, magnitude and size, each from a catalog's columns.

    Raises InputError if the catalog lacks a predicted galaxy.
    """
    rows = positions(catalog.ids, predictions.ids, where=f"catalog {catalog.source}")
    return {
        name: accuracy_along(predictions, truth, catalog.column(column)[rows], bins, level)
        for name, column in COLUMNS.items()
        if catalog.has_column(column)
    }


def _bin(
    low: float,
    high: float,
    right: npt.NDArray[np.bool_],
    level: float,
    ceiling: float | None = None,
) -> AccuracyBin:
    """Return one bin's accuracy and its interval, from a mask of correctly classified galaxies."""
    n, p = len(right), float(right.mean())
    return AccuracyBin(low, high, n, p, wilson(p, n, level), ceiling)
