"""Group galaxies that must share a cross-validation fold: duplicates and sky neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.audit.probes.nuisance_columns import SDSS, sdss_parts
from gzfeatures.explore.duplicates import near_duplicate_groups
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import picture_groups
from gzfeatures.galaxies.splits.related_galaxies import key_groups, merge
from gzfeatures.ids import Ids

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

FOLDS = 5
CELL = 5.0
"""Side of a piece of the sky in degrees, halved until there are enough pieces."""
FEWEST_CELLS = 25
"""Pieces of the sky that folds are made of, at least."""


def sky_groups_of(table: EmbeddingTable, catalog: Catalog | None) -> tuple[dict[str, str], str]:
    """Return groups of related galaxies, by id; a fold contains all galaxies of a group or none.

    Also return a phrase that describes the groups, such as "pieces of the sky of 5 degrees".

    Parameters
    ----------
    table : EmbeddingTable
        Galaxies with the same image file, with images that look alike, or that are near duplicates
        form a group.
    catalog : Catalog, optional
        Galaxies in one cell of the sky, or in one run of the SDSS camera, form a group, because
        their seeing and sky background are similar.
    """
    groups = [dict(table.groups), near_duplicate_groups(table)]
    if table.pictures is not None:
        groups.append(picture_groups(table.ids, table.pictures))
    description = "galaxies that share an image or are near duplicates"
    cells = None if catalog is None else _cells(catalog, table.ids)
    if cells is not None:
        keys, description = cells
        groups.append(key_groups(table.ids, keys))
    return merge(*groups), description


def _cells(catalog: Catalog, ids: Ids) -> tuple[list[str], str] | None:
    """Return each galaxy's cell of the sky or, without positions, its run of the SDSS camera.

    The cell of a galaxy without position is "". Also return a phrase that describes the cells; None
    for a catalog that has neither enough positions nor SDSS object ids.
    """
    rows = pd.Index(catalog.ids).get_indexer(pd.Index(ids))
    inside = rows >= 0
    if catalog.has_column("ra") and catalog.has_column("dec"):
        ra, dec = (np.where(inside, catalog.column(name)[rows], np.nan) for name in ("ra", "dec"))
        placed = np.isfinite(ra) & np.isfinite(dec)
        if placed.sum() >= FEWEST_CELLS:
            side = CELL
            while (keys := _keys(ra, dec, side)).nunique() <= FEWEST_CELLS and side > 0.01:
                side /= 2
            return keys.tolist(), f"pieces of the sky of {side:g} degrees"
    frame = catalog.frame
    column = next((str(name) for name in frame.columns if str(name).lower() in SDSS), None)
    parts = None if column is None else sdss_parts(frame[column])
    if parts is None:
        return None
    runs = np.where(inside, parts["run"][rows].astype("str"), "")
    return list(map(str, runs)), f"runs of the SDSS camera (bits of {column})"


def _keys(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], side: float) -> pd.Series:
    """Return the name of the sky cell, `side` degrees wide, of each position; "" if unknown."""
    band = np.floor(dec / side)
    # take more degrees of right ascension near the poles, so that cells are as wide on the sky as
    # at the equator
    narrow = np.cos(np.radians(np.clip((band + 0.5) * side, -89.9, 89.9)))
    column = np.floor(ra * narrow / side)
    names = pd.Series(band).astype("str") + " " + pd.Series(column).astype("str")
    return names.where(np.isfinite(ra) & np.isfinite(dec), "")


def blocks_of(ids: Ids, groups: dict[str, str]) -> npt.NDArray[np.int64]:
    """Return the number of each galaxy's group, (n,); a galaxy in no group is a group of one."""
    return np.asarray(pd.factorize(np.array([groups.get(i, i) for i in ids], dtype=object))[0])
