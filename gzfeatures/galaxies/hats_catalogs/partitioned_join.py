"""Join a HATS catalog with another catalog, one sky partition at a time, also across borders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog_join import JoinKind, Rows
from gzfeatures.galaxies.catalogs.sky_join import (
    LEAST_SHIFT,
    SAMPLE,
    SEPARATION,
    SHIFTS,
    require_radius,
)
from gzfeatures.galaxies.hats_catalogs.folder import PLACE_COLUMNS, HatsFolder
from gzfeatures.galaxies.hats_catalogs.partition import Partition, Vectors
from gzfeatures.galaxies.hats_catalogs.partner_search import Nearby, PartitionedSource, Source
from gzfeatures.galaxies.hats_catalogs.writer import new_catalog
from gzfeatures.ids import as_keys
from gzfeatures.tablefiles.arrow_output import to_arrow
from gzfeatures.tablefiles.raw_table import plain_column

ARCSEC = np.pi / 180 / 3600


@dataclasses.dataclass(frozen=True)
class PartitionedReport:
    """Count the galaxies that a join of a partitioned catalog matched.

    Parameters
    ----------
    matched : int
        Galaxies with a partner.
    unmatched : int
        Galaxies without a partner.
    unused : int
        Rows of the second table without a partner.
    partitions : int
        Partitions that were written.
    doubled : int
        Galaxies left without a partner because the second table has their key more than once.
    blank : int
        Galaxies of `unmatched` without a key or a position.
    radius_arcsec, median_arcsec, by_chance : float, optional
        As in `SkyReport`; None for a join by key.
    shadowed : tuple of str
        Columns of the second table that are left out because the catalog has a column of the same
        name.
    """

    matched: int
    unmatched: int
    unused: int
    partitions: int
    doubled: int = 0
    blank: int = 0
    radius_arcsec: float | None = None
    median_arcsec: float | None = None
    by_chance: float | None = None
    shadowed: tuple[str, ...] = ()


@dataclasses.dataclass(eq=False)
class _Tally:
    """Count galaxies and matches of a join while its partitions are joined one after another."""

    galaxies: int = 0
    matched: int = 0
    partitions: int = 0
    doubled: int = 0
    blank: int = 0
    shadowed: tuple[str, ...] = ()
    arcsec: list[npt.NDArray[np.float64]] = dataclasses.field(default_factory=list)
    chance: list[npt.NDArray[np.bool_]] = dataclasses.field(default_factory=list)


def hats_joined(
    catalog: HatsFolder, other: Rows, keys: tuple[str, str], path: Path, kind: JoinKind
) -> PartitionedReport:
    """Join a HATS catalog with a table by a key column, and write the result as a HATS catalog.

    The table is in memory as a whole, the HATS catalog one partition at a time.

    Parameters
    ----------
    catalog : HatsFolder
        Galaxies, whose columns stay as they are stored.
    other : Rows
        Table whose columns are added.
    keys : (str, str)
        Key column of the catalog, and key column of the table.
    path : Path
        Folder to write; it must not exist yet.
    kind : JoinKind
        Which galaxies are kept, and how columns of one name are told apart.

    Raises
    ------
    InputError
        A key column is absent or has lost its digits, or no rows match.
    MissingExtraError, OutputError
        As for `writer.new_catalog`.
    """
    left, right = keys
    if right not in other.frame:
        raise _missing(right, other.source, [str(name) for name in other.frame])
    index = pd.Index(as_keys(other.frame[right], where=f"{other.source}, column {right}"))
    twice = index.duplicated(keep=False) & index.notna()
    single = np.flatnonzero(~twice & index.notna())
    table, tally = to_arrow(other.frame), _Tally()
    # several galaxies may match one row, so mark the rows whose key a galaxy has
    used = np.zeros(len(index), dtype=bool)
    # drop the second table's key column, because it repeats the key or the `galaxy_id` of the
    # galaxies
    if right in (left, "galaxy_id"):
        table = table.drop_columns([right])
    with new_catalog(path, catalog.ra, catalog.dec) as writer:
        for partition in catalog.files:
            rows = catalog.rows(partition)
            asked = _keys(rows, left, f"{catalog.files[partition][0]}, column {left}")
            found = index[single].get_indexer(asked)
            partners = np.where((found >= 0) & asked.notna(), single[found], -1)
            used |= index.isin(asked[asked.notna()])
            tally.doubled += int(np.sum(asked[asked.notna()].isin(index[twice])))
            tally.blank += int(np.sum(asked.isna()))
            beside = table.take(pa.array(partners, mask=partners < 0))
            joined = _beside(rows, beside, partners >= 0, kind, tally, other.source)
            if len(joined):
                writer.add(partition, joined)
        _require_matched(tally, f"join of {catalog.root} and {other.source} on {left} = {right}")
    return _report(tally, int(np.sum(~used)))


def hats_joined_sky(
    catalog: HatsFolder,
    other: Source,
    radius_arcsec: float,
    path: Path,
    kind: JoinKind,
    seed: int = 0,
) -> PartitionedReport:
    """Join two catalogs by mutual nearest neighbours on the sky, and write a HATS catalog.

    The pairs are the same as in a join of undivided catalogs: a galaxy's partner, and other
    galaxies that compete for this partner, are searched in every partition within reach.

    Parameters
    ----------
    catalog : HatsFolder
        Galaxies, whose columns stay as they are stored.
    other : Source
        Catalog whose columns are added.
    radius_arcsec : float
        Largest separation of a pair, in (0, 3600].
    path : Path
        Folder to write; it must not exist yet.
    kind : JoinKind
        Which galaxies are kept, and how columns of one name are told apart.
    seed : int
        Seed of the draw of the galaxies whose shifted positions measure chance pairs.

    Raises
    ------
    InputError
        No pair is found, the radius is out of range, or a catalog already has a column
        `separation_arcsec`.
    MissingExtraError, OutputError
        As for `writer.new_catalog`.
    """
    require_radius(radius_arcsec)
    radius, own, tally = radius_arcsec * ARCSEC, PartitionedSource(catalog), _Tally()
    far, total = max(LEAST_SHIFT * ARCSEC, 20 * radius), len(own)
    with new_catalog(path, catalog.ra, catalog.dec) as writer:
        for part, partition in enumerate(catalog.files):
            centre, reach = partition.circle
            # read galaxies up to two radii outside the partition: galaxies that compete for one
            # partner are each within one radius of this partner
            here = own.near(centre, reach + 2 * radius)
            there = other.near(centre, reach + far + radius)
            rows = own.table(part)
            partners, apart = _partners(here, there, part, len(rows), radius)
            tally.blank += int(np.isnan(own.places(part)).any(axis=1).sum())
            tally.arcsec.append(apart[partners[:, 0] >= 0] / ARCSEC)
            chosen = _sample(own.places(part), total, partition, seed)
            tally.chance.append(_by_chance(chosen, there.vectors, far, radius))
            beside = other.take_rows(partners)
            beside = beside.append_column(
                SEPARATION, pa.array(apart / ARCSEC, mask=partners[:, 0] < 0)
            )
            joined = _beside(rows, beside, partners[:, 0] >= 0, kind, tally, str(path))
            if len(joined):
                writer.add(partition, joined)
        _require_matched(tally, f"join of {catalog.root} by position")
    report = _report(tally, len(other) - tally.matched)
    return dataclasses.replace(
        report,
        radius_arcsec=radius_arcsec,
        median_arcsec=float(np.median(np.concatenate(tally.arcsec))),
        by_chance=float(np.concatenate(tally.chance).mean()),
    )


def _partners(
    here: Nearby, there: Nearby, part: int, count: int, radius: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return each galaxy's partner (partition and row; -1 = none), and its distance in radians."""
    from scipy.spatial import cKDTree

    partners, apart = np.full((count, 2), -1, dtype=np.intp), np.full(count, np.nan)
    if not (len(here.vectors) and len(there.vectors)):
        return partners, apart
    # the k-d tree compares straight chords instead of angles; the chord grows with the angle, so
    # the nearest row is the same
    chord, nearest = cKDTree(there.vectors).query(here.vectors)
    _, back = cKDTree(here.vectors).query(there.vectors)
    angle = 2 * np.arcsin(np.minimum(chord / 2, 1))
    mutual = (back[nearest] == np.arange(len(nearest))) & (angle <= radius)
    mine = np.flatnonzero(mutual & (here.rows[:, 0] == part))
    partners[here.rows[mine, 1]] = there.rows[nearest[mine]]
    apart[here.rows[mine, 1]] = angle[mine]
    return partners, apart


def _sample(places: Vectors, total: int, partition: Partition, seed: int) -> Vectors:
    """Draw some galaxies of a partition, whose shifted positions then measure chance matches."""
    known = places[np.isfinite(places).all(axis=1)]
    rng = np.random.default_rng([seed, partition.order, partition.pixel])
    drawn = rng.random(len(known)) < SAMPLE / max(total, 1)
    return known[drawn]


def _by_chance(
    chosen: Vectors, others: Vectors, far: float, radius: float
) -> npt.NDArray[np.bool_]:
    """Shift n positions in four directions; return which match by chance, shape (4 n,)."""
    from scipy.spatial import cKDTree

    if not (len(chosen) and len(others)):
        return np.zeros(len(SHIFTS) * len(chosen), dtype=bool)
    tree = cKDTree(others)
    east = np.cross([0.0, 0.0, 1.0], chosen)
    # at a pole the cross product is zero, and every direction is south (or north), so choose any
    # direction as east
    east[np.linalg.norm(east, axis=1) < 1e-12] = [0.0, 1.0, 0.0]
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(chosen, east)
    found = []
    for degrees in SHIFTS:
        angle = np.radians(degrees)
        way = np.cos(angle) * north + np.sin(angle) * east
        chord, _ = tree.query(np.cos(far) * chosen + np.sin(far) * way)
        found.append(chord <= 2 * np.sin(radius / 2))
    return np.concatenate(found)


def _keys(rows: pa.Table, name: str, where: str) -> pd.Index:
    """Return the join keys of a partition's rows; a missing key is NaN."""
    if name not in rows.column_names:
        raise _missing(name, where, rows.column_names)
    return pd.Index(as_keys(pd.Series(plain_column(rows[name], True, where)), where=where))


def _missing(name: str, where: object, names: list[str]) -> InputError:
    return InputError(
        "key column is missing", where=where, rule=f"have {name}", found=", ".join(names[:12])
    )


def _beside(
    rows: pa.Table,
    beside: pa.Table,
    matched: npt.NDArray[np.bool_],
    kind: JoinKind,
    tally: _Tally,
    where: str,
) -> pa.Table:
    """Return a partition's rows with the columns of the rows that they match; count the matches.

    Rows without a match are dropped, unless `kind.keep_all` is true.
    """
    names = [name for name in beside.column_names if name not in PLACE_COLUMNS]
    both = [name for name in names if name in rows.column_names]
    if SEPARATION in both or (kind.suffix and f"{SEPARATION}{kind.suffix}" in names):
        raise InputError(
            f"column {SEPARATION} stands in a table already",
            where=where,
            rule="be free for the join",
            remedy="rename it",
        )
    for name in names:
        if name in both and not kind.suffix:
            continue
        new = f"{name}{kind.suffix}" if name in both else name
        if new in rows.column_names:
            raise InputError(
                "suffix of columns that stand in both tables",
                where=where,
                rule="make names that stand in neither",
                found=new,
                remedy="choose another suffix",
            )
        rows = rows.append_column(new, beside[name])
    tally.galaxies += len(matched)
    tally.matched += int(matched.sum())
    tally.shadowed = () if kind.suffix else tuple(both)
    kept = rows if kind.keep_all else rows.filter(pa.array(matched))
    tally.partitions += bool(len(kept))
    return kept


def _require_matched(tally: _Tally, where: str) -> None:
    if not tally.matched:
        raise InputError(
            "no galaxy has a partner",
            where=where,
            rule="match one row at least",
            remedy="name the columns that hold the same ids, or check the units of the positions",
        )


def _report(tally: _Tally, unused: int) -> PartitionedReport:
    return PartitionedReport(
        matched=tally.matched,
        unmatched=tally.galaxies - tally.matched,
        unused=unused,
        partitions=tally.partitions,
        doubled=tally.doubled,
        blank=tally.blank,
        shadowed=tally.shadowed,
    )
