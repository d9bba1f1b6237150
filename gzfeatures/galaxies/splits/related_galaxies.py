"""Find groups of galaxies that a split must assign to the same part."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.quantities import require_known_units
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC
from gzfeatures.ids import Ids, among

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

SAME_FILE = "share their image, byte for byte"
NEAR_DUPLICATES = "are near duplicates"
GIVEN = "share a group of the labels"
_ARCSEC_IN_RADIAN = 3600 * 180 / np.pi


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Store groups of galaxies that a split must not separate, and the reasons.

    Parameters
    ----------
    groups : mapping of str to str
        Id → smallest id of its group, of all reasons together.
    counts : mapping of str to (int, int)
        Reason → number of grouped galaxies, and number of groups; (0, 0) if no galaxies are related
        for this reason.

    Examples
    --------
    >>> ids = np.array(["a", "b", "c"], dtype=object)
    >>> str(Grouping().joined(SAME_FILE, key_groups(ids, ["x", "y", "x"])))
    'grouped: 2 galaxies in 1 groups share their image, byte for byte'
    """

    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def joined(self, reason: str, groups: Mapping[str, str]) -> Grouping:
        """Return these groups, merged with groups of galaxies related for another reason."""
        return Grouping(
            merge(self.groups, groups),
            {**self.counts, reason: (len(groups), len(set(groups.values())))},
        )

    def united(self, other: Grouping) -> Grouping:
        """Return the union of two sets of galaxy groups; groups with a common galaxy are merged."""
        return Grouping(merge(self.groups, other.groups), {**self.counts, **other.counts})

    def near(self, catalog: Catalog | None, ids: Ids, arcsec: float = NEAR_ARCSEC) -> Grouping:
        """Return these groups, merged with groups of galaxies that are close neighbours on the sky.

        Parameters
        ----------
        catalog : Catalog, optional
            Catalog with the columns ra and dec, in degrees.
        ids : Ids
            Galaxies to group; other galaxies of the catalog are ignored.
        arcsec : float
            Largest separation of neighbours (see `sky_groups`); 0 forms no groups.
        """
        if catalog is None or not arcsec:
            return self
        # positions in an unknown unit are refused: without their groups, neighbours would be parted
        require_known_units(catalog.frame, ("ra", "dec"), f"catalog {catalog.source}")
        if not (catalog.has_column("ra") and catalog.has_column("dec")):
            return self
        rows = among(catalog.ids, ids)
        ra, dec = catalog.column("ra")[rows], catalog.column("dec")[rows]
        neighbours = sky_groups(ra, dec, catalog.ids[rows], arcsec)
        return self.joined(f"lie within {arcsec:g} arcsec of one another", neighbours)

    def __str__(self) -> str:
        """Return one line: the number of grouped galaxies for each reason, such as equal images."""
        if not self.counts:
            return "grouped: nothing, for neither images nor positions are known"
        parts = [
            f"{galaxies} galaxies in {groups} groups {reason}"
            for reason, (galaxies, groups) in self.counts.items()
        ]
        return f"grouped: {'; '.join(parts)}"


def sky_groups(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], ids: Ids, radius_arcsec: float
) -> dict[str, str]:
    """Return groups of galaxies that lie within a radius of each other on the sky.

    Parameters
    ----------
    ra, dec : ndarray
        Degrees, shape (n,). A galaxy without a position (NaN) is in no group with others.
    ids : Ids
        Shape (n,).
    radius_arcsec : float
        Largest separation of two neighbours, along the great circle.

    Returns
    -------
    dict of str to str
        Id → smallest id of its group.

    Raises
    ------
    InputError
        The radius is not a positive number below 180 degrees, or the shapes disagree.
    """
    from scipy.spatial import cKDTree

    if not 0 < radius_arcsec < 180 * 3600:
        raise InputError(
            "radius of sky groups",
            rule="lie between 0 and 180 degrees in arcsec",
            found=radius_arcsec,
        )
    if not len(ra) == len(dec) == len(ids):
        raise InputError(
            "positions do not fit their ids",
            rule=f"have shape {(len(ids),)}",
            found=(len(ra), len(dec)),
        )
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    # convert to points on the unit sphere, which need no special case at the poles or at ra = 0 =
    # 360 degrees
    lon, lat = np.radians(ra[placed]), np.radians(dec[placed])
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    # compare chords: two points at an angle θ have a chord of length 2 sin(θ/2)
    chord = 2 * np.sin(radius_arcsec / _ARCSEC_IN_RADIAN / 2)
    pairs = cKDTree(points).query_pairs(chord, output_type="ndarray")
    return linked(ids, placed[pairs[:, 0]], placed[pairs[:, 1]])


def key_groups(ids: Ids, keys: Iterable[Any]) -> dict[str, str]:
    """Return groups of galaxies that have the same key, such as the sha256 of their image file.

    Parameters
    ----------
    ids : Ids
        Shape (n,).
    keys : iterable
        One key per id; galaxies with a missing or empty key are in no group.

    Returns
    -------
    dict of str to str
        Id → smallest id of its group.
    """
    codes, _ = pd.factorize(known_keys(keys))
    # skip galaxies with a missing or empty key (code −1): they are in no group
    rows = np.flatnonzero(codes >= 0)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    same = codes[rows[1:]] == codes[rows[:-1]]
    return linked(ids, rows[:-1][same], rows[1:][same])


def known_keys(keys: Iterable[Any]) -> pd.Series[Any]:
    """Return group keys with None for each missing key: None, NaN, NA, masked, or blank text.

    Two galaxies without a key are not related: a missing key must not act as a common key.

    Parameters
    ----------
    keys : iterable
        One key per galaxy, such as a column or a masked array; shape (n,).

    Returns
    -------
    Series of object
        Shape (n,), numbered from 0.

    Examples
    --------
    >>> known_keys(["a", float("nan"), " ", None]).tolist()
    ['a', None, None, None]
    """
    values = pd.Series(list(keys), dtype=object)
    values[values.isna() | values.map(_is_masked_or_blank).astype(bool)] = None
    return values


def _is_masked_or_blank(key: object) -> bool:
    return key is np.ma.masked or (isinstance(key, str | bytes) and not key.strip())


def known_groups(groups: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping from galaxy to group without galaxies whose group is missing.

    Examples
    --------
    >>> known_groups({"1": "a", "2": "", "3": float("nan")})
    {'1': 'a'}
    """
    known = known_keys(groups.values()).notna()
    return {name: groups[name] for name, kept in zip(groups, known, strict=True) if kept}


def merge(*mappings: Mapping[str, str]) -> dict[str, str]:
    """Merge several mappings from galaxy to group; groups that share a galaxy become one.

    A galaxy whose group is missing (None, NaN or blank) is in no group of that mapping.

    Returns
    -------
    dict of str to str
        Id → smallest id of its group.

    Examples
    --------
    >>> merge({"a": "x", "b": "x"}, {"b": "y", "c": "y"})
    {'a': 'a', 'b': 'a', 'c': 'a'}
    """
    ids = np.asarray(sorted({name for mapping in mappings for name in mapping}), dtype=object)
    index = pd.Index(ids)
    left: list[npt.NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    right: list[npt.NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    for mapping in mappings:
        known = known_groups(mapping)
        rows = index.get_indexer(pd.Index(list(known), dtype=object))
        codes, distinct = pd.factorize(pd.Series(list(known.values()), dtype=object))
        # link each galaxy only to the first of its group: this connects the whole group with fewest
        # links
        first = np.zeros(len(distinct), dtype=np.intp)
        first[codes[::-1]] = rows[::-1]
        left.append(rows)
        right.append(first[codes])
    return linked(ids, np.concatenate(left), np.concatenate(right))


def linked(ids: Ids, left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> dict[str, str]:
    """Return the groups that form when pairs of galaxies (rows left, right) are linked.

    Returns
    -------
    dict of str to str
        Id → smallest id of its group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # a group is a connected component of the graph whose edges are the pairs
    n = len(ids)
    links = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(n, n))
    _, component = connected_components(links, directed=False)
    frame = pd.DataFrame({"id": ids, "component": component})
    members = frame.groupby("component")["id"]
    together = members.transform("size") > 1
    return dict(zip(frame["id"][together], members.transform("min")[together], strict=True))
