"""Find catalog columns with nuisances such as seeing, by the names that surveys give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.audit.probes.nuisances import Nuisance
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.quantities import present
from gzfeatures.ids import Ids, among

USUAL: dict[str, tuple[str, ...]] = {
    "redshift": ("redshift",),
    "apparent magnitude": (
        "petromag_r", "petro_mag_r", "modelmag_r", "cmodelmag_r", "mag_r", "rmag", "r_mag",
        "magnitude", "mag", "mag_auto",
    ),
    "absolute magnitude": ("petro_mag_r_abs",),
    "angular size": ("petro_r90", "petro_r50", "flux_radius", "shape_r", "radius_arcsec"),
    "seeing": (
        "seeing", "psf_fwhm", "psfwidth_r", "psf_fwhm_r", "psfsize_r", "psfsize", "fwhm_psf",
        "seeing_r",
    ),
    "sky background": ("sky_r", "sky", "skyflux_r", "sky_background", "background", "skyrms_r"),
    "survey": ("survey", "sample", "release", "telescope", "instrument", "brickname_survey"),
    "camera column": ("camcol", "camera_column", "ccd", "ccdnum", "detector"),
    "extinction": ("extinction_r", "ebv", "e_bv", "a_r"),
    "airmass": ("airmass", "airmass_r"),
}  # fmt: skip
"""Nuisances by name, with the columns of surveys that hold them, in lower case."""
CODES = ("survey", "camera column")
"""Nuisances whose numbers are names."""
SDSS = ("dr7objid", "dr8objid", "objid", "dr12objid")
"""Columns of SDSS object ids, whose bits hold run, camera column and field."""
MOST_CATEGORIES = 8
"""Categories that are told apart; galaxies of rarer ones are left out."""
FEWEST_OF_CATEGORY = 20
"""Galaxies below which a category is left out."""
FEWEST = 40
"""Galaxies with a known nuisance below which nothing is measured."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Store the nuisances found in a catalog, and unusable columns with the reason.

    Parameters
    ----------
    nuisances : tuple of Nuisance
    left_out : tuple of (str, str)
        Name of a column, and why it is not used.
    """

    nuisances: tuple[Nuisance, ...]
    left_out: tuple[tuple[str, str], ...]


def nuisances_of(catalog: Catalog, ids: Ids, columns: Sequence[str] = ()) -> Found:
    """Read nuisances, such as redshift, of the given galaxies from columns of a catalog.

    Parameters
    ----------
    catalog : Catalog
    ids : Ids
        Galaxies of the audit.
    columns : sequence of str
        Columns to use; by default those with usual names (`USUAL`), and the camera column that an
        SDSS object id contains.

    Raises
    ------
    InputError
        A given column is missing.
    """
    rows = among(catalog.ids, ids)
    frame = catalog.frame[rows].reset_index(drop=True)
    chosen = {}
    if columns:
        for column in columns:
            if column not in frame:
                raise InputError(
                    f"no column {column}",
                    where=catalog.source,
                    rule="hold the nuisance",
                    found=", ".join(map(str, frame.columns[:12])),
                )
            chosen[column] = (column, frame[column])
    else:
        chosen = _recognised(catalog, frame)
    names = catalog.ids[rows]
    made, left_out = [], []
    for name, (column, values) in chosen.items():
        outcome = nuisance_of(name, column, names, values)
        if isinstance(outcome, str):
            left_out.append((column, outcome))
        else:
            made.append(outcome)
    return Found(tuple(made), tuple(left_out))


def _recognised(catalog: Catalog, frame: pd.DataFrame) -> dict[str, tuple[str, pd.Series]]:
    """Find catalog columns that have a usual name of a nuisance; return their names and values."""
    from gzfeatures.galaxies.catalogs.quantities import QUANTITIES, column_of

    by_lower = {str(column).lower(): str(column) for column in reversed(list(frame.columns))}
    chosen = {}
    for name, usual in USUAL.items():
        for each in usual:
            # check the values of redshift and other quantities, not the name alone: a column z may
            # be a magnitude
            column = column_of(frame, each).column if each in QUANTITIES else by_lower.get(each)
            if column is not None:
                chosen[name] = (column, frame[column])
                break
    ids = next((by_lower[name] for name in SDSS if name in by_lower), None)
    if "camera column" not in chosen and ids is not None:
        camera = sdss_parts(frame[ids])
        if camera is not None:
            chosen["camera column"] = (f"bits of {ids}", pd.Series(camera["camcol"]))
    return chosen


def sdss_parts(ids: pd.Series) -> dict[str, npt.NDArray[np.int64]] | None:
    """Decode run, camera column and field from SDSS object ids; None for ids of other origin.

    The bits are documented at https://www.sdss4.org/dr17/algorithms/bitmask-legend/ (`objID`).

    Examples
    --------
    >>> parts = sdss_parts(pd.Series(["587722981736120347"]))
    >>> {name: int(values[0]) for name, values in parts.items()}
    {'run': 752, 'camcol': 1, 'field': 183}
    """
    texts = ids.astype("str").str.strip()
    if texts.empty or not texts.str.fullmatch(r"[0-9]{18,19}").all():
        return None
    numbers = texts.astype("int64").to_numpy()
    camera, version = (numbers >> 29) & 0b111, numbers >> 59
    # refuse ids of other origin: SDSS imaging has sky versions 1 and 2, and six camera columns
    if not (np.isin(version, (1, 2)) & (camera >= 1) & (camera <= 6)).all():
        return None
    run, field = (numbers >> 32) & 0xFFFF, (numbers >> 16) & 0xFFF
    return {"run": run, "camcol": camera, "field": field}


def nuisance_of(name: str, column: str, ids: Ids, values: pd.Series) -> Nuisance | str:
    """Turn a catalog column into a nuisance; if it is unusable, return the reason as text.

    Texts, booleans, and columns with two different numbers become categories. Other numbers are
    clipped at their percentiles 1 and 99, so that no single galaxy dominates a score. Galaxies
    without a value (NaN, infinite, −999, −9999, blank) are left out.
    """
    if values.dtype.kind in "iuf":
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        measured = present(numbers)
        # leave out rows instead of writing NaN, which would turn integers into floats: category 1.0
        ids, values, numbers = ids[measured], values[measured], numbers[measured]
        is_code = any(name == code or name.lower() in USUAL[code] for code in CODES)
        if len(numbers) < FEWEST:
            return f"{len(numbers)} galaxies have it, fewer than {FEWEST}"
        if not is_code and len(np.unique(numbers)) > 2:
            low, high = np.quantile(numbers, (0.01, 0.99))
            if low == high:
                return "it is the same for almost all galaxies"
            return Nuisance(name, column, ids, np.clip(numbers, low, high))
    texts = values.astype("object").where(values.notna(), "").astype("str").str.strip()
    counts = texts[texts != ""].value_counts()
    common = [str(each) for each in counts.index[counts >= FEWEST_OF_CATEGORY]][:MOST_CATEGORIES]
    kept = texts.isin(common).to_numpy()
    if len(common) < 2:
        return "it is the same for almost all galaxies, or different for each"
    if kept.sum() < FEWEST:
        return f"{int(kept.sum())} galaxies have it, fewer than {FEWEST}"
    codes = pd.Categorical(texts[kept], categories=sorted(common)).codes.astype(np.int64)
    return Nuisance(name, column, ids[kept], codes, tuple(sorted(common)))
