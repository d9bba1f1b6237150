"""Store a split in a file next to the label file, so that later runs keep each galaxy's part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gzfeatures import outputs
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.kinds import recognise
from gzfeatures.galaxies.catalogs.quantities import (
    column_of,
    present,
    require_known_units,
    understood,
)
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.related_galaxies import GIVEN, Grouping, key_groups, merge
from gzfeatures.galaxies.splits.split import PARTS, Split
from gzfeatures.ids import Ids, among, as_ids
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.tables import id_column_of, read_table, write_csv

COLUMNS = ("galaxy_id", "split", "group")
SHARES = (0.7, 0.1, 0.2)
"""Default shares of train, validation and test."""


def kept_beside(labels: str | Path) -> Path:
    """Return the path of the split file of a label file: `labels.split.csv` for `labels.csv`."""
    path = Path(labels)
    stem = path.name.removesuffix(".gz")
    return path.with_name(f"{stem.rpartition('.')[0] or stem}.split.csv")


def read_split(path: str | Path) -> Split:
    """Read a split of galaxies from a file that `write_split` wrote.

    Raises
    ------
    MissingFileError, InputError
        The file does not exist; it lacks a column, a part is unknown, or an id or a group is in two
        parts.
    """
    # read groups as text: as numbers, the groups 01 and 1 would be one, and a group NA none
    frame = read_table(path, texts=("group",))
    if not set(COLUMNS[:2]) <= set(frame) <= set(COLUMNS):
        raise InputError(
            "not a split that is kept beside labels",
            where=path,
            rule="have columns galaxy_id, split, group and no others",
            found=", ".join(frame.columns[:12]),
            remedy="rename the file: its name is that of the split",
        )
    ids = as_ids(frame["galaxy_id"], where=path)
    part = texts_of(frame["split"]).to_numpy(object)
    strange = ~np.isin(part.astype(str), PARTS)
    if strange.any():
        raise InputError(
            "unknown part of the split",
            where=f"{path}, galaxy {ids[np.argmax(strange)]}",
            rule=f"be one of {', '.join(PARTS)}",
            found=str(part[np.argmax(strange)]),
        )
    groups: dict[str, str] = {}
    # an empty cell means "in no group"; otherwise all galaxies with empty cells would form one
    # group
    if "group" in frame:
        grouped = frame["group"].notna().to_numpy()
        groups = dict(zip(ids[grouped], frame["group"][grouped].astype("str"), strict=True))
    train, validation, test = (ids[part == name] for name in PARTS)
    return Split(train, validation, test, groups)


def write_split(path: str | Path, split: Split) -> Path:
    """Write a split to a CSV file with the columns galaxy_id, split and group, sorted by id.

    A command that extends a split replaces the file; the new file also contains every galaxy of the
    old file.

    Raises
    ------
    OutputError
        The path cannot be written, or is an input of the command.
    """
    ids = np.sort(split.ids)
    columns = {
        "galaxy_id": ids,
        "split": np.asarray(PARTS, dtype=object)[split.sides(ids)],
        "group": [split.groups.get(name, "") for name in ids],
    }
    with outputs.guarded("split", overwrite=True):
        return write_csv(pd.DataFrame(columns), path)


def known_of(
    labels: str | Path, ids: Ids, arcsec: float, *, id_column: str | None = None
) -> Grouping:
    """Return groups of galaxies from a label file's columns `group`, `ra` and `dec`.

    A galaxy whose position is NaN, infinite or a sentinel (−9999, −999) has no neighbours.

    Parameters
    ----------
    labels : str or Path
        Label file, which may or may not have these columns.
    ids : Ids
        Galaxies to group.
    arcsec : float
        As for `Grouping.near`.
    id_column : str, optional
        Column of the ids; by default the first with a usual name of ids.

    Raises
    ------
    InputError
        A declination lies beyond a pole.
    """
    frame = read_table(labels, id_column=id_column)
    named_by = id_column_of(list(frame.columns), id_column)
    # without a usual id column, recognise the kind of catalog by its columns, because the kind
    # determines the id column
    if named_by is None:
        named_by = recognise(list(frame.columns), where=labels)[1]
    names = as_ids(frame[named_by], where=labels)
    grouping = Grouping()
    if "group" in frame:
        rows = among(names, ids) & frame["group"].notna().to_numpy()
        groups = key_groups(names[rows], frame["group"][rows].astype("str"))
        grouping = grouping.joined(GIVEN, groups)
    # add neighbours on the sky as groups, if the label file has positions; without positions return
    # the groups so far
    frame = understood(frame)
    # positions in an unknown unit are refused: without their groups, neighbours would be parted
    require_known_units(frame, ("ra", "dec"), labels)
    columns = [column_of(frame, name).column for name in ("ra", "dec")]
    if None in columns:
        return grouping
    ra, dec = (frame[name].to_numpy(np.float64, na_value=np.nan) for name in columns)
    # a sentinel such as −9999 is no position; as a right ascension it would become 81 degrees
    known = present(ra) & present(dec)
    ra, dec = np.where(known, ra % 360, np.nan), np.where(known, dec, np.nan)
    positions = pd.DataFrame({"galaxy_id": names, "ra": ra, "dec": dec})
    return grouping.near(Catalog(positions), ids, arcsec)


@dataclasses.dataclass(frozen=True, eq=False)
class Continued:
    """Store a split, how many of its galaxies are new, and which galaxies moved to the test part.

    Parameters
    ----------
    split : Split
        Split of every galaxy that has a label now or had a label before.
    stayed : int
        Labelled galaxies that an earlier split had placed.
    new : int
        Labelled galaxies that no earlier split had placed.
    moved : tuple of str
        Galaxies that went to the test part because their group has galaxies in a different part.
    """

    split: Split
    stayed: int
    new: int
    moved: tuple[str, ...]


def continued(
    labels: Labels,
    grouping: Grouping,
    *,
    sizes: Sequence[float] = SHARES,
    column: Split | None = None,
    beside: Split | None = None,
    only_train: Ids | None = None,
    seed: int = 0,
    where: object = "labels",
) -> Continued:
    """Draw a split of labelled galaxies, or add galaxies to the split drawn earlier.

    Galaxies of the earlier split keep their part. New groups are drawn among themselves, with equal
    class shares; a group with galaxies in two parts of the earlier split goes to test.

    Parameters
    ----------
    labels : Labels
        Galaxies to split.
    grouping : Grouping
        Groups of galaxies that must be in the same part.
    sizes : three floats
        Shares of train, validation and test among the galaxies that are drawn.
    column : Split, optional
        Earlier split from the column `split` of the label file.
    beside : Split, optional
        Earlier split from the split file beside the label file.
    only_train, seed
        As for `Split.draw`.
    where : object
        Named in errors.

    Raises
    ------
    InputError
        The column and the split file put a galaxy into two parts.
    """
    earlier = [split for split in (column, beside) if split is not None]
    before = _united(earlier, where)
    groups = merge(grouping.groups, *(split.groups for split in earlier))
    split = Split.draw(labels, sizes, groups=groups, only_train=only_train, kept=before, seed=seed)
    if before is None:
        return Continued(split, 0, len(labels), ())
    old_sides, new_sides = before.sides(before.ids), split.sides(before.ids)
    placed = among(labels.ids, before.ids)
    moved = tuple(before.ids[old_sides != new_sides])
    return Continued(split, int(placed.sum()), int((~placed).sum()), moved)


def moved_text(moved: Sequence[str]) -> str:
    """Return a sentence on galaxies moved to test because their group had galaxies in two parts."""
    examples = ", ".join(moved[:3]) + (", …" if len(moved) > 3 else "")
    return (
        f"{len(moved)} galaxies went from train or validation to test: they belong together with "
        f"galaxies of another side ({examples})"
    )


def _united(splits: Sequence[Split], where: object) -> Split | None:
    """Return several splits as one, without groups; refuse splits that contradict each other."""
    if not splits:
        return None
    first = splits[0]
    for other in splits[1:]:
        both = first.ids[among(first.ids, other.ids)]
        differ = first.sides(both) != other.sides(both)
        if differ.any():
            raise InputError(
                f"{int(differ.sum())} galaxies have another part in the column split of the labels",
                where=where,
                rule="keep each galaxy in its earlier part",
                found=str(both[differ][0]),
                remedy="correct the column, or remove the kept file to go by the column alone",
            )
    ids = pd.unique(np.concatenate([split.ids for split in splits]))
    side = np.max([split.sides(ids) for split in splits], axis=0)
    return Split(ids[side == 0], ids[side == 1], ids[side == 2])
