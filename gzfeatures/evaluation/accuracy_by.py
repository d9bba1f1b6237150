"""Where it goes wrong: accuracy by volunteer agreement, against the vote ceiling, and along catalog columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.repeatability import ASSUMED_PANEL, of_majorities
from gzfeatures.evaluation.rows import AccuracyBin, Ceiling
from gzfeatures.evaluation.statistics.proportions import Array, wilson
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import positions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

COLUMNS = {"redshift": "redshift", "magnitude": "petro_mag_r_abs", "size": "petro_r90"}
"""Slice → catalog column: redshift, absolute r magnitude, Petrosian radius (arcsec) that holds 90 %
of the light."""
SENTINELS = (-9999.0, -999.0)
"""Numbers that SDSS and Galaxy Zoo tables write for a missing one."""


def by_agreement(
    predictions: Predictions,
    truth: Labels,
    bins: int = 5,
    level: float = 0.9,
    panels: npt.NDArray[np.int64] | None = None,
) -> list[AccuracyBin]:
    """Accuracy in bins of how far the volunteers agreed, (k·max p − 1) / (k − 1), from even (0) to unanimous (1).

    Parameters
    ----------
    predictions : Predictions
        Class probabilities.
    truth : Labels
        Of the same galaxies in the same order, with `soft` vote fractions; galaxies without votes
        are left out.
    bins : int
        Equal-width bins of agreement.
    level : float
        Coverage of the intervals (see `proportions.wilson`).
    panels : ndarray of int, optional
        Volunteers of each galaxy, shape (n,); else 40 each.

    Returns
    -------
    list of AccuracyBin
        Filled bins, each with its ceiling (see `repeatability.of_majorities`). Empty without vote
        fractions.
    """
    if truth.soft is None:
        return []
    share, voted = _shares(truth.soft)
    k = share.shape[1]
    agreement = (k * share.max(1) - 1) / (k - 1)
    which = np.clip((agreement * bins).astype(int), 0, bins - 1)
    right = predictions.codes == truth.codes
    repeated = np.zeros(len(share))
    if voted.any():
        sizes = _panel_sizes(panels, len(share))
        repeated[voted] = of_majorities(share[voted], sizes[voted])
    rows = []
    for b in range(bins):
        inside = voted & (which == b)
        if inside.any():
            ceiling = float(repeated[inside].mean())
            rows.append(_bin(b / bins, (b + 1) / bins, right[inside], level, ceiling))
    return rows


def against_ceiling(
    predictions: Predictions, truth: Labels, panels: npt.NDArray[np.int64] | None = None
) -> Ceiling | None:
    """How far volunteers agree, with the prediction and with themselves: like is compared with like.

    The predicted class against one volunteer drawn at random: `reached`, at best `ceiling`. And the
    accuracy, which is against the majority of a panel, with `repeatability`: how often two such
    majorities of the same galaxies agree.

    Parameters
    ----------
    predictions, truth
        Of the same galaxies in the same order; `truth.soft` are the vote fractions.
    panels : ndarray of int, optional
        Volunteers of each galaxy, shape (n,), below 1 where not known: 40 then, the usual number of
        Galaxy Zoo 2.

    Returns
    -------
    Ceiling or None
        Of the galaxies with votes (see `repeatability.of_majorities`). None without vote fractions.
    """
    if truth.soft is None:
        return None
    share, voted = _shares(truth.soft)
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
    """Volunteers of each of n galaxies; the usual number where it is not known."""
    known = np.zeros(n, dtype=np.int64) if panels is None else panels
    return np.where(known < 1, ASSUMED_PANEL, known).astype(np.int64)


def accuracy_along(
    predictions: Predictions, truth: Labels, values: Array, bins: int = 5, level: float = 0.9
) -> list[AccuracyBin]:
    """Accuracy in bins of a quantity, equally filled.

    Parameters
    ----------
    predictions, truth
        Of the same galaxies in the same order.
    values : ndarray of float64
        Quantity of each galaxy, shape (n,); NaN, infinities and the sentinels −9999 and −999 are
        left out.
    bins : int
        Bins at most; equal values are never parted.
    level : float
        Coverage of the intervals (see `proportions.wilson`).

    Returns
    -------
    list of AccuracyBin
        Filled bins, rising.
    """
    known = present(values)
    if not known.any():
        return []
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, bins + 1)))
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
    right = predictions.codes == truth.codes
    rows = []
    for b in range(max(1, len(edges) - 1)):
        inside = known & (which == b)
        if inside.any():
            low, high = float(edges[b]), float(edges[min(b + 1, len(edges) - 1)])
            rows.append(_bin(low, high, right[inside], level))
    return rows


def by_catalog(
    predictions: Predictions, truth: Labels, catalog: Catalog, bins: int = 5, level: float = 0.9
) -> dict[str, list[AccuracyBin]]:
    """`along` redshift, magnitude and size, as far as the catalog has them (an id it lacks is an InputError)."""
    rows = positions(catalog.ids, predictions.ids, where=f"catalog {catalog.source}")
    return {
        name: accuracy_along(predictions, truth, catalog.column(column)[rows], bins, level)
        for name, column in COLUMNS.items()
        if catalog.has_column(column)
    }


def present(values: Array) -> npt.NDArray[np.bool_]:
    """Which numbers are finite and no sentinel."""
    known: npt.NDArray[np.bool_] = np.isfinite(values) & ~np.isin(values, SENTINELS)
    return known


def _shares(soft: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Vote fractions scaled to sum 1, and which galaxies have votes."""
    total = np.nansum(soft, 1)
    voted = total > 0
    return np.nan_to_num(soft) / np.where(voted, total, 1)[:, None], voted


def _bin(
    low: float,
    high: float,
    right: npt.NDArray[np.bool_],
    level: float,
    ceiling: float | None = None,
) -> AccuracyBin:
    """Accuracy of the galaxies of one bin, by which of them are right."""
    n, p = len(right), float(right.mean())
    return AccuracyBin(low, high, n, p, wilson(p, n, level), ceiling)
