"""Kinds of catalog, recognised by their columns: data only."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.tables import ID_COLUMNS
from gzfeatures.galaxies.votes import GZ2, KAGGLE, Measure

_SMOOTH = GZ2["smooth"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A published table: what marks it, what it must have, and which column names its galaxies.

    Parameters
    ----------
    marks : tuple of str
        Columns whose presence tells the kind.
    ids : tuple of str
        Id columns; the first that is there names the galaxies.
    needs : tuple of str
        Columns that must be there once the kind is told.
    source : str
        Paper or place.
    """

    marks: tuple[str, ...]
    ids: tuple[str, ...]
    source: str
    needs: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "kaggle": Kind(
        marks=("GalaxyID", "Class1.1"),
        ids=("GalaxyID",),
        needs=tuple(KAGGLE.values()),
        source="Kaggle Galaxy Zoo challenge (2014), training_solutions_rev1.csv: cumulative vote fractions",
    ),
    "hart16": Kind(
        marks=("dr7objid", "gz2_class", f"{_SMOOTH}_debiased"),
        ids=("asset_id", "dr7objid"),  # asset_id, the name of the image, is there once the file names are joined
        source="Hart+2016, doi:10.1093/mnras/stw1588, gz2_hart16: conditional vote fractions",
    ),
    "willett13": Kind(
        marks=(f"{_SMOOTH}_fraction",),
        ids=("asset_id", "dr7objid", "objid", "specobjid"),
        source="Willett+2013, doi:10.1093/mnras/stt1458, tables 5 to 9: conditional vote fractions",
    ),
    "gz2sample": Kind(
        marks=("OBJID", "REDSHIFT", "PETROMAG_MR"),
        ids=("OBJID",),
        source="Galaxy Zoo 2 metadata, gz2sample: positions, sizes, magnitudes, redshifts",
    ),
    "filename-mapping": Kind(
        marks=("objid", "sample", "asset_id"),
        ids=("asset_id",),
        source="gz2_filename_mapping: SDSS objid to image name",
    ),
    "vote-counts": Kind(
        marks=("smooth-or-featured_smooth",),
        ids=ID_COLUMNS,
        source="Galaxy Zoo DECaLS and DESI, doi:10.1093/mnras/stab2093: vote counts per answer",
    ),
    "labels": Kind(marks=("galaxy_id", "label"), ids=("galaxy_id",), source="labels written by gzfeatures"),
    "table": Kind(marks=(), ids=ID_COLUMNS, source="a table with an id"),
}
"""Name → kind, the more particular first."""


def recognise(
    columns: Collection[str], kind: str | None = None, *, where: object = "catalog", id_column: str | None = None
) -> tuple[str, str]:
    """Kind of a table and its id column.

    Parameters
    ----------
    columns : collection of str
        Column names found.
    kind : str, optional
        The kind it is asked to be.
    where : object
        Named in the error.
    id_column : str, optional
        The id column asked for, in place of the kind's own.

    Returns
    -------
    kind, id_column : str

    Raises
    ------
    UnknownNameError
        There is no such kind.
    InputError
        A needed column, or every id column, is absent; the message has those found and those needed.
    """
    if kind is not None and kind not in KINDS:
        raise unknown("kind of catalog", kind, KINDS)
    known = {*columns, *map(survey_free, columns)}
    name = kind or next(name for name, entry in KINDS.items() if set(entry.marks) <= known)
    entry = KINDS[name]
    absent = [column for column in (*entry.marks, *entry.needs) if column not in known]
    id_column = id_column or next((column for column in entry.ids if column in columns), None)
    if absent or id_column is None:
        listed = ", ".join(list(columns)[:12]) + (", …" if len(columns) > 12 else "")
        needed = ", ".join(absent[:12]) + (", …" if len(absent) > 12 else "") if absent else " or ".join(entry.ids)
        raise InputError(f"columns of a {name} catalog are missing", where=where, rule=f"have {needed}", found=listed)
    return name, id_column


COLUMN_ALIASES: dict[str, tuple[str, ...]] = {
    "redshift": ("redshift", "REDSHIFT", "z", "Z"),
    "petro_mag_r_abs": ("petro_mag_r_abs", "PETROMAG_MR", "petromag_mr", "mag_abs_r"),
    "petro_r90": ("petro_r90", "PETROR90_R", "petroR90_r", "petroR90", "petro_th90"),
    "petro_r50": ("petro_r50", "PETROR50_R", "petroR50_r", "petroR50", "petro_th50"),
    "ra": ("ra", "RA"),
    "dec": ("dec", "DEC"),
    "classifications": ("classifications", "total_classifications", "smooth-or-featured_total-votes"),
    "redshift_bin": ("redshift_bin", "REDSHIFT_SIMPLE_BIN"),
    "magnitude_bin": ("magnitude_bin", "PETROMAG_MR_SIMPLE_BIN"),
}
"""Our name → the names that catalogs give the same quantity."""

CLASS_STRINGS = ("gz2_class", "gz2class")
"""Columns of Galaxy Zoo 2 class strings."""

DECALS: dict[str, tuple[str, ...]] = {
    "smooth": ("smooth-or-featured_smooth",),
    "features-or-disk": ("smooth-or-featured_featured-or-disk",),
    "star-or-artifact": ("smooth-or-featured_artifact",),
    "edge-on-yes": ("disk-edge-on_yes",),
    "edge-on-no": ("disk-edge-on_no",),
    "bar-yes": ("bar_strong", "bar_weak"),
    "bar-no": ("bar_no",),
    "spiral-yes": ("has-spiral-arms_yes",),
    "spiral-no": ("has-spiral-arms_no",),
    "completely-round": ("how-rounded_round",),
    "in-between": ("how-rounded_in-between",),
    "cigar-shaped": ("how-rounded_cigar-shaped",),
    "bulge-shape-rounded": ("edge-on-bulge_rounded",),
    "bulge-shape-boxy": ("edge-on-bulge_boxy",),
    "bulge-shape-none": ("edge-on-bulge_none",),
    "winding-tight": ("spiral-winding_tight",),
    "winding-medium": ("spiral-winding_medium",),
    "winding-loose": ("spiral-winding_loose",),
    "arms-1": ("spiral-arm-count_1",),
    "arms-2": ("spiral-arm-count_2",),
    "arms-3": ("spiral-arm-count_3",),
    "arms-4": ("spiral-arm-count_4",),
    "arms-more-than-4": ("spiral-arm-count_more-than-4",),
    "arms-cant-tell": ("spiral-arm-count_cant-tell",),
}
"""Answer → the DECaLS columns whose votes add up to it. DECaLS asks of the bulge's size and of mergers on other scales,
so the Galaxy Zoo 2 answers about them are unknown there."""

DECALS_SUFFIXES: dict[Measure, str] = {"count": "", "fraction": "_fraction", "debiased": "_debiased"}
"""Measure → suffix of the DECaLS and DESI columns that hold it."""


def survey_free(column: str) -> str:
    """A DECaLS or DESI column without the mark of its campaign: smooth-or-featured-dr5_smooth loses its -dr5."""
    return re.sub(r"-(dr\d+|desi)(?=_)", "", column)
