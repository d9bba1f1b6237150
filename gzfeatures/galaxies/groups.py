"""Galaxies that belong together, so that a split keeps them on one side: id → group, for groups of two or more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.ids import Ids

_ARCSEC_IN_RADIAN = 3600 * 180 / np.pi


def sky_groups(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], ids: Ids, radius_arcsec: float
) -> dict[str, str]:
    """Groups of galaxies that a chain of neighbours within a radius holds together.

    Parameters
    ----------
    ra, dec : ndarray
        Degrees, shape (n,). A galaxy without position (NaN) is alone.
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
        raise InputError("radius of sky groups", rule="lie between 0 and 180 degrees in arcsec", found=radius_arcsec)
    if not len(ra) == len(dec) == len(ids):
        raise InputError("positions do not fit their ids", rule=f"have shape {(len(ids),)}", found=(len(ra), len(dec)))
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    lon, lat = np.radians(ra[placed]), np.radians(dec[placed])
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 2 * np.sin(radius_arcsec / _ARCSEC_IN_RADIAN / 2)
    pairs = cKDTree(points).query_pairs(chord, output_type="ndarray")
    return _components(ids, placed[pairs[:, 0]], placed[pairs[:, 1]])


def key_groups(ids: Ids, keys: Iterable[Any]) -> dict[str, str]:
    """Groups of ids with the same key: a digest of the image's bytes, the dr7objid of the galaxy, a parent's id.

    Parameters
    ----------
    ids : Ids
        Shape (n,).
    keys : iterable
        One per id; a missing or empty key belongs to nobody.

    Returns
    -------
    dict of str to str
        Id → smallest id of its group.
    """
    codes, _ = pd.factorize(pd.Series(list(keys), dtype=object).replace("", None))
    rows = np.flatnonzero(codes >= 0)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    same = codes[rows[1:]] == codes[rows[:-1]]
    return _components(ids, rows[:-1][same], rows[1:][same])


def merge(*mappings: Mapping[str, str]) -> dict[str, str]:
    """Groups of several mappings as one: groups that share an id become one.

    Returns
    -------
    dict of str to str
        Id → smallest id of its group.
    """
    ids = np.asarray(sorted({name for mapping in mappings for name in mapping}), dtype=object)
    index = pd.Index(ids)
    left: list[npt.NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    right: list[npt.NDArray[np.intp]] = [np.empty(0, dtype=np.intp)]
    for mapping in mappings:
        rows = index.get_indexer(pd.Index(list(mapping), dtype=object))
        codes, distinct = pd.factorize(pd.Series(list(mapping.values()), dtype=object))
        first = np.zeros(len(distinct), dtype=np.intp)
        first[codes[::-1]] = rows[::-1]
        left.append(rows)
        right.append(first[codes])
    return _components(ids, np.concatenate(left), np.concatenate(right))


def _components(ids: Ids, left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> dict[str, str]:
    """Connected components of two or more ids, each named by its smallest id."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(ids)
    links = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(n, n))
    _, component = connected_components(links, directed=False)
    frame = pd.DataFrame({"id": ids, "component": component})
    members = frame.groupby("component")["id"]
    together = members.transform("size") > 1
    return dict(zip(frame["id"][together], members.transform("min")[together], strict=True))
