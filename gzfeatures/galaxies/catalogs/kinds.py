"""List the kinds of published catalogs, and recognise a catalog's kind by its columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.votes.campaigns import without_mark
from gzfeatures.galaxies.votes.column_names import GZ2, KAGGLE
from gzfeatures.tablefiles.tables import ID_COLUMNS

_SMOOTH = GZ2["smooth"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """Define a kind of published catalog by typical columns; list its required and id columns.

    Parameters
    ----------
    recognised_by : tuple of str
        Columns that together identify the kind.
    ids : tuple of str
        Id columns; the first that the catalog has names the galaxies.
    needs : tuple of str
        Columns that a catalog of this kind must have.
    source : str
        Paper or website that published the catalog.
    """

    recognised_by: tuple[str, ...]
    ids: tuple[str, ...]
    source: str
    needs: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "kaggle": Kind(
        recognised_by=("GalaxyID", "Class1.1"),
        ids=("GalaxyID",),
        needs=tuple(KAGGLE.values()),
        source="Kaggle Galaxy Zoo challenge (2014), training_solutions_rev1.csv: cumulative vote "
        "fractions of Willett+2013, doi:10.1093/mnras/stt1458",
    ),
    "hart16": Kind(
        recognised_by=("dr7objid", "gz2_class", f"{_SMOOTH}_debiased"),
        # prefer asset_id (the image file's name) as id: it is present if the user has joined the
        # table of file names
        ids=("asset_id", "dr7objid"),
        source="Hart+2016, doi:10.1093/mnras/stw1588, gz2_hart16: conditional vote fractions",
    ),
    "hubble": Kind(
        recognised_by=(f"{_SMOOTH}_fraction", "t12_clumpy_a01_yes_fraction"),
        ids=("zooniverse_id", "survey_id", *ID_COLUMNS),
        source="Galaxy Zoo: Hubble, Willett+2017, doi:10.1093/mnras/stw2568: conditional vote "
        "fractions",
    ),
    "candels": Kind(
        recognised_by=("t00_smooth_or_featured_a0_smooth_frac",),
        ids=("ID", *ID_COLUMNS),
        source="Galaxy Zoo: CANDELS, Simmons+2017, doi:10.1093/mnras/stw2587: conditional vote "
        "fractions",
    ),
    "willett13": Kind(
        recognised_by=(f"{_SMOOTH}_fraction",),
        ids=("asset_id", "dr7objid", "objid", "specobjid"),
        source="Willett+2013, doi:10.1093/mnras/stt1458, tables 5 to 9: conditional vote fractions",
    ),
    "gz2sample": Kind(
        recognised_by=("OBJID", "REDSHIFT", "PETROMAG_MR"),
        ids=("OBJID",),
        source="Galaxy Zoo 2 metadata, gz2sample: positions, sizes, magnitudes, redshifts",
    ),
    "filename-mapping": Kind(
        recognised_by=("objid", "sample", "asset_id"),
        ids=("asset_id",),
        source="gz2_filename_mapping: SDSS objid to image name",
    ),
    "vote-counts": Kind(
        recognised_by=("smooth-or-featured_smooth",),
        ids=ID_COLUMNS,
        source="Galaxy Zoo DECaLS and DESI, doi:10.1093/mnras/stab2093: vote counts per answer",
    ),
    "labels": Kind(
        recognised_by=("galaxy_id", "label"),
        ids=("galaxy_id",),
        source="labels written by gzfeatures",
    ),
    "table": Kind(recognised_by=(), ids=ID_COLUMNS, source="a table with an id"),
}
"""Kinds of catalogs by name; the most specific kind comes first."""


def recognise(
    columns: Collection[str],
    kind: str | None = None,
    *,
    where: object = "catalog",
    id_column: str | None = None,
) -> tuple[str, str]:
    """Return the kind of a catalog (such as kaggle or hart16), and the name of its id column.

    Parameters
    ----------
    columns : collection of str
        Names of the catalog's columns.
    kind : str, optional
        Kind that the user says it is; by default it is recognised.
    where : object
        File or table to name in the error.
    id_column : str, optional
        The id column that the user names, in place of the usual one of the kind.

    Returns
    -------
    kind, id_column : str

    Raises
    ------
    UnknownNameError
        There is no such kind.
    InputError
        A required column, or every id column, is absent; the message lists the columns found and
        the columns required.

    Examples
    --------
    >>> recognise(["objid", "sample", "asset_id"])
    ('filename-mapping', 'asset_id')
    """
    if kind is not None and kind not in KINDS:
        raise unknown("kind of catalog", kind, KINDS)
    # GZ DECaLS and later campaigns mark their vote columns (such as -dr5); a catalog's kind does
    # not depend on this mark, so compare names without the mark too
    present = {*columns, *map(without_mark, columns)}
    name = kind or next(
        name for name, entry in KINDS.items() if set(entry.recognised_by) <= present
    )
    entry = KINDS[name]
    absent = [column for column in (*entry.recognised_by, *entry.needs) if column not in present]
    id_column = id_column or next((column for column in entry.ids if column in columns), None)
    if absent or id_column is None:
        listed = ", ".join(list(columns)[:12]) + (", …" if len(columns) > 12 else "")
        needed = (
            ", ".join(absent[:12]) + (", …" if len(absent) > 12 else "")
            if absent
            else " or ".join(entry.ids)
        )
        raise InputError(
            f"columns of a {name} catalog are missing",
            where=where,
            rule=f"have {needed}",
            found=listed,
            remedy=None if absent else "name the column of the ids with --id COLUMN",
        )
    return name, id_column


CLASS_STRINGS = ("gz2_class", "gz2class")
"""Names of columns that hold Galaxy Zoo 2 class strings."""


@dataclasses.dataclass(frozen=True)
class ReadyClasses:
    """List the class names that a catalog column of ready-made classes may contain.

    Parameters
    ----------
    scheme : str
        Class scheme that reads the column.
    classes : tuple of str
        Class names that the scheme accepts.
    """

    scheme: str
    classes: tuple[str, ...]


READY_CLASSES = {
    "class5": ReadyClasses(
        "zhu-5class", ("smooth-round", "smooth-inbetween", "smooth-cigar", "edge-on", "spiral")
    )
}
"""Columns of ready-made classes, by name, with the class scheme that defines the classes."""
