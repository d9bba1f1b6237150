"""Join two catalogs by sky position, and estimate how many galaxies match by chance."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import quantities
from gzfeatures.galaxies.catalogs.catalog_join import MATCHED, JoinKind, Rows, with_partners

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

    from gzfeatures.galaxies.catalogs.catalog import Catalog

SEPARATION = "separation_arcsec"
"""Column that a join by position adds."""
SAMPLE = 20_000
"""Number of galaxies whose shifted positions measure how many pairs are due to chance."""
SHIFTS = (0.0, 90.0, 180.0, 270.0)
"""Directions in degrees from north in which positions are shifted."""
LEAST_SHIFT = 60.0
"""Least shift in arcsec: larger than a galaxy, whose parts may be separate rows of a catalog."""


@dataclasses.dataclass(frozen=True)
class SkyReport:
    """Count the galaxies that a join by sky position matched, and estimate matches by chance.

    Parameters
    ----------
    matched : int
        Galaxies with a partner: each is the other's nearest neighbour, within the radius.
    unmatched : tuple of str
        Ids of galaxies without a partner.
    unused : int
        Rows of the second table without a partner.
    placeless : int
        Galaxies of `unmatched` without a position.
    radius_arcsec : float
        Largest separation of a pair.
    median_arcsec : float
        Median separation of the pairs.
    by_chance : float
        Share of galaxies, in [0, 1], that have a row of the second table within the radius after
        their positions were shifted away; mean of four shifts.
    shadowed, forgone
        As in `JoinReport`.
    """

    matched: int
    unmatched: tuple[str, ...]
    unused: int
    placeless: int
    radius_arcsec: float
    median_arcsec: float
    by_chance: float
    shadowed: tuple[str, ...] = ()
    forgone: dict[str, int] = dataclasses.field(default_factory=dict)


def sky_joined(
    catalog: Catalog,
    other: Catalog | Rows,
    radius_arcsec: float,
    seed: int = 0,
    kind: JoinKind = MATCHED,
) -> tuple[pd.DataFrame, SkyReport]:
    """Return the galaxies with a partner on the sky, with the partner's columns added.

    See `Catalog.join_sky`.
    """
    require_radius(radius_arcsec)
    _require_free_name(catalog, other)
    here, there = _positions(catalog), _positions(other)
    first, second = _coordinates(here.place), _coordinates(there.place)
    # require that both galaxies are each other's nearest, so that no row is matched to two galaxies
    nearest, separation, _ = first.match_to_catalog_sky(second)
    back, _, _ = second.match_to_catalog_sky(first)
    arcsec = np.asarray(separation.to_value("arcsec"), dtype=np.float64)
    paired = (back[nearest] == np.arange(len(nearest))) & (arcsec <= radius_arcsec)
    if not paired.any():
        raise InputError(
            "no galaxy has a partner",
            where=f"join of {catalog.source} and {other.source} by position",
            rule=f"lie within {radius_arcsec:g} arcsec of one",
            found=f"nearest pair {arcsec.min():.3g} arcsec apart",
            remedy="check the units and the equinox of both (J2000 degrees), or give a larger "
            "radius",
        )
    partners = np.full(len(catalog.frame), -1, dtype=np.intp)
    partners[here.rows[paired]] = there.rows[nearest[paired]]
    frame, lost = with_partners(catalog, other, partners, kind)
    apart = np.full(len(partners), np.nan)
    apart[here.rows[paired]] = arcsec[paired]
    matched = int(paired.sum())
    report = SkyReport(
        matched=matched,
        unmatched=tuple(catalog.ids[partners < 0]),
        unused=len(other.frame) - matched,
        placeless=len(catalog.frame) - len(here.rows),
        radius_arcsec=radius_arcsec,
        median_arcsec=float(np.median(arcsec[paired])),
        by_chance=_by_chance(first, second, radius_arcsec, seed),
        shadowed=tuple(lost),
        forgone={name: count for name, count in lost.items() if count},
    )
    frame[SEPARATION] = apart if kind.keep_all else apart[partners >= 0]
    frame.attrs["units"][SEPARATION] = "arcsec"
    frame.attrs["ucds"][SEPARATION] = "pos.angDistance"
    return frame, report


def require_radius(radius_arcsec: float) -> None:
    """Refuse a matching radius that is not in (0, 3600] arcsec.

    Raises
    ------
    InputError
        The radius is outside (0, 3600] arcsec.
    """
    if not 0 < radius_arcsec <= 3600:
        raise InputError(
            "radius of a join by position",
            rule="lie above 0 and up to 3600 arcsec",
            found=radius_arcsec,
        )


def _require_free_name(catalog: Catalog, other: Catalog | Rows) -> None:
    for table in (catalog, other):
        if SEPARATION in table.frame:
            raise InputError(
                f"column {SEPARATION} stands in a table already",
                where=table.source,
                rule="be free for the join",
                remedy="rename it",
            )


@dataclasses.dataclass(frozen=True, eq=False)
class _Placed:
    """Store which rows of a table have a sky position, and the positions, shape (m, 2), degrees."""

    rows: npt.NDArray[np.intp]
    place: npt.NDArray[np.float64]


def _positions(table: Catalog | Rows) -> _Placed:
    where = f"table {table.source}"
    place = np.stack([quantities.required(table.frame, name, where) for name in ("ra", "dec")], 1)
    # leave out rows without a position, or with a sentinel such as -9999, because they must match
    # nothing
    known = quantities.on_sky(place[:, 0], place[:, 1])
    if not known.any():
        raise InputError("positions", where=where, rule="be known for one row at least")
    rows = np.flatnonzero(known)
    return _Placed(rows, place[rows])


def _coordinates(place: npt.NDArray[np.float64]) -> SkyCoord:
    from astropy.coordinates import SkyCoord

    return SkyCoord(place[:, 0], place[:, 1], unit="deg")


def _by_chance(first: SkyCoord, second: SkyCoord, radius: float, seed: int) -> float:
    """Return the share of galaxies that match by chance, measured at shifted sky positions."""
    from astropy import units

    chosen = first
    if len(first) > SAMPLE:
        rng = np.random.default_rng(seed)
        chosen = first[np.sort(rng.choice(len(first), SAMPLE, replace=False))]
    far = max(LEAST_SHIFT, 20 * radius) * units.arcsec
    shares = []
    for angle in SHIFTS:
        # shift along a great circle, because an offset in ra would be a shorter distance near the
        # poles
        shifted = chosen.directional_offset_by(angle * units.deg, far)
        _, separation, _ = shifted.match_to_catalog_sky(second)
        shares.append(float((separation.to_value("arcsec") <= radius).mean()))
    return float(np.mean(shares))
