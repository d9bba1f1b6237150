"""Draw samples of labelled galaxies: random, nearest first, or volume-limited.

A quota limits the galaxies of each class. The rules are those of SatoshiTomi/galaxy-morphology
(2018), on the bins of Hart+2016 (doi:10.1093/mnras/stw1588). That program compared bin numbers by
`<=`, so unknown or too small values, marked −9999 and −999, passed. Strategies named `-faithful` do
the same; the other strategies require a known value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.quantities import HIGHEST
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import positions, uniform

Numbers = npt.NDArray[np.float64]

REDSHIFTS = (0.03, 0.09)
"""Volume-limited sample: lowest redshift, and the upper limit, which is excluded."""
MAGNITUDES = (-24.0, -20.95)
"""Volume-limited sample: brightest absolute r magnitude, and the faint limit, which is excluded."""
BELOW, ABOVE, NO_REDSHIFT = -999, 999, -9999
"""Bin numbers of values below the bins, above the bins, and of galaxies without redshift."""


def redshift_bin(redshift: Numbers) -> Numbers:
    """Return the redshift bin of each galaxy, as in Hart+2016, shape (n,).

    floor((z − 0.01) / 0.01) for 0.01 ≤ z < 0.15, which is 0…13; below −999, above 999, and −9999
    for NaN.

    Examples
    --------
    >>> redshift_bin(np.array([0.005, 0.01, 0.035, np.nan])).tolist()
    [-999.0, 0.0, 2.0, -9999.0]
    """
    return _binned(redshift, 0.01, 0.15, 0.01)


def magnitude_bin(magnitude: Numbers) -> Numbers:
    """Return the bin of absolute r magnitude of each galaxy, as in Hart+2016, shape (n,).

    floor((Mr + 24) / 0.05) for −24 ≤ Mr < −15, which is 0…179; below −999, above 999, and −9999
    for NaN.
    """
    return _binned(magnitude, -24.0, -15.0, 0.05)


def _binned(values: Numbers, low: float, high: float, width: float) -> Numbers:
    """Return each value's bin number: −999 below all bins, 999 above them, −9999 if unknown."""
    # add 1e-9, because rounding would put a value on a bin's lower edge into the bin below: (0.03 −
    # 0.01) / 0.01 rounds below 2
    bins = np.floor((values - low) / width + 1e-9)
    bins = np.where(values < low, BELOW, np.where(values >= high, ABOVE, bins))
    return np.where(np.isnan(values) | (values <= NO_REDSHIFT), NO_REDSHIFT, bins)


def _physical(catalog: Catalog, name: str, legal: tuple[float, float]) -> Numbers:
    """Return a physical quantity of each galaxy; values outside the legal range become NaN."""
    values = catalog.column(name)
    return np.where((values >= legal[0]) & (values < legal[1]), values, np.nan)


def _bins(
    catalog: Catalog, name: str, column: str, binned: Callable[[Numbers], Numbers]
) -> Numbers:
    """Return each galaxy's bin of a quantity, from the catalog or computed from the quantity."""
    return catalog.column(name) if catalog.has_column(name) else binned(catalog.column(column))


def _everything(catalog: Catalog) -> tuple[Numbers, Numbers]:
    """Admit every galaxy to the sample, in random order."""
    return np.zeros(len(catalog)), np.zeros(len(catalog))


def _nearest(catalog: Catalog) -> tuple[Numbers, Numbers]:
    """Admit galaxies with known redshift to the sample, in the order of redshift."""
    # prefer redshifts to redshift bins, because redshifts order galaxies more finely
    if catalog.has_column("redshift"):
        redshift = _physical(catalog, "redshift", (0.0, np.nextafter(HIGHEST, np.inf)))
    else:
        redshift = _physical(catalog, "redshift_bin", (0, ABOVE))
    return np.where(np.isnan(redshift), np.nan, 0.0), redshift


def _nearest_faithful(catalog: Catalog) -> tuple[Numbers, Numbers]:
    """Admit every galaxy in the order of redshift bin; unknown redshifts (-9999) come first."""
    return np.zeros(len(catalog)), _bins(catalog, "redshift_bin", "redshift", redshift_bin)


def _volume(catalog: Catalog) -> tuple[Numbers, Numbers]:
    """Admit galaxies inside the volume's redshift and magnitude limits, in random order."""
    if catalog.has_column("redshift") and catalog.has_column("petro_mag_r_abs"):
        inside = (
            _physical(catalog, "redshift", REDSHIFTS),
            _physical(catalog, "petro_mag_r_abs", MAGNITUDES),
        )
        kept = ~np.isnan(inside[0]) & ~np.isnan(inside[1])
    else:
        redshift, magnitude = catalog.column("redshift_bin"), catalog.column("magnitude_bin")
        kept = (redshift >= 2) & (redshift <= 7) & (magnitude >= 0) & (magnitude <= 60)
    return np.where(kept, 0.0, np.nan), np.zeros(len(catalog))


def _volume_faithful(catalog: Catalog) -> tuple[Numbers, Numbers]:
    """Admit galaxies inside the volume, as a published program did: also with unknown magnitude.

    The program is SatoshiTomi/galaxy-morphology (2018).
    """
    redshift = _bins(catalog, "redshift_bin", "redshift", redshift_bin)
    magnitude = _bins(catalog, "magnitude_bin", "petro_mag_r_abs", magnitude_bin)
    kept = (redshift >= 2) & (redshift <= 7) & (magnitude <= 60)
    return np.where(kept, 0.0, np.nan), np.zeros(len(catalog))


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Define which galaxies a sample may contain, and in which order they are drawn.

    Parameters
    ----------
    rank : callable
        Catalog → (admitted, order), two arrays of shape (n,). A galaxy with NaN in the first is
        kept out; galaxies with small values in the second are drawn first, equal values in random
        order.
    reason : str
        Why a galaxy is kept out.
    """

    rank: Callable[[Catalog], tuple[Numbers, Numbers]]
    reason: str


STRATEGIES: dict[str, Strategy] = {
    "random": Strategy(_everything, ""),
    "low-redshift": Strategy(_nearest, "redshift is unknown"),
    "low-redshift-faithful": Strategy(_nearest_faithful, ""),
    "volume-limited": Strategy(_volume, "outside the volume, or redshift or magnitude unknown"),
    "volume-limited-faithful": Strategy(_volume_faithful, "outside the bins of the volume"),
}
"""Sampling strategies by name."""

NOT_DRAWN = "not drawn"


def sample(
    catalog: Catalog, labels: Labels, strategy: str, per_class: int | None = None, seed: int = 0
) -> Labels:
    """Draw a sample of labelled galaxies by a strategy such as `random` or `volume-limited`.

    Parameters
    ----------
    catalog : Catalog
        Contains every labelled galaxy; `low-redshift` needs the redshift or its bin,
        `volume-limited` also the absolute r magnitude or its bin.
    labels : Labels
        Labels of the galaxies; one class per galaxy if `per_class` is given.
    strategy : str
        A name of STRATEGIES.
    per_class : int, optional
        Galaxies per class; None takes all that the strategy admits.
    seed : int
        A galaxy's place in the draw depends on its id and the seed alone.

    Returns
    -------
    Labels
        Labels of the drawn galaxies, in the order of `labels`; the other galaxies are in
        `left_out`.

    Raises
    ------
    UnknownNameError
        No strategy has this name.
    InputError
        A class has fewer galaxies than its quota, nothing is left, or the catalog lacks a galaxy or
        column.
    """
    if strategy not in STRATEGIES:
        raise unknown("sampling strategy", strategy, STRATEGIES)
    rows = positions(catalog.ids, labels.ids, where=f"catalog {catalog.source}")
    admitted, order = (values[rows] for values in STRATEGIES[strategy].rank(catalog))
    drawn = ~np.isnan(admitted)
    left_out = {STRATEGIES[strategy].reason: labels.ids[~drawn]} if not drawn.all() else {}
    if per_class is not None:
        chosen = _quota(labels, drawn, order, per_class, seed)
        if (drawn & ~chosen).any():
            left_out[NOT_DRAWN] = labels.ids[drawn & ~chosen]
        drawn = chosen
    if not drawn.any():
        raise InputError(
            "no galaxy is left in the sample",
            where=f"{strategy} of {catalog.source}",
            found=len(labels),
        )
    sampled = labels.select(labels.ids[drawn])
    return dataclasses.replace(sampled, left_out={**labels.left_out, **left_out})


def _quota(
    labels: Labels, admitted: npt.NDArray[np.bool_], order: Numbers, per_class: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Return which galaxies enter the sample if it takes `per_class` of each class, shape (n,)."""
    if per_class < 1:
        raise InputError("quota per class", rule="be 1 or more", found=per_class)
    codes = labels.codes
    have = np.bincount(codes[admitted], minlength=len(labels.classes))
    short = [
        f"{name} has {number}"
        for name, number in zip(labels.classes, have, strict=True)
        if number < per_class
    ]
    if short:
        raise InputError(
            "classes have too few galaxies",
            where=f"scheme {labels.scheme}",
            rule=f"have {per_class} each",
            found=", ".join(short),
            remedy=f"ask for {have.min()} per class or fewer, or use another strategy or scheme",
        )
    # sort admitted galaxies by class, then by the strategy's order; break ties by a random number
    # computed from the id, so that the order of the catalog's rows does not matter. Galaxies that
    # are not admitted come last, so cut them off
    ranking = np.lexsort((uniform(labels.ids, seed), order, codes, ~admitted))
    ranking = ranking[: int(admitted.sum())]
    # compute each galaxy's rank within its class; the sample takes the first `per_class` of each
    # class
    start = np.concatenate([[0], np.cumsum(have)[:-1]])
    place = np.arange(len(ranking)) - start[codes[ranking]]
    chosen = np.zeros(len(codes), dtype=bool)
    chosen[ranking[place < per_class]] = True
    return chosen
