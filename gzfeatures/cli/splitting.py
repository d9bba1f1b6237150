"""Split labelled galaxies into training, validation and test, and print what was done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures.cli.console import say
from gzfeatures.errors import OutputError
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.splits.asked import Asked
    from gzfeatures.galaxies.splits.related_galaxies import Grouping
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.galaxies.splits.split_file import Continued
    from gzfeatures.ids import Ids

CLASSES = ("classes", "multi-label")
"""Kinds of labels that the labelling page (`teach`) writes."""


def labels_and_split(
    path: Path,
    read: tuple[Labels, Split | None],
    seed: int,
    ids: Ids,
    seen: Sequence[Ids] = (),
    *,
    grouping: Grouping | None = None,
    catalog: Catalog | None = None,
    arcsec: float = NEAR_ARCSEC,
    id_column: str | None = None,
) -> tuple[Labels, Split]:
    """Select the labels of galaxies that have an image or vector, and split these galaxies.

    If a file next to the label file stores an earlier split, keep each of its galaxies in the same
    part, and draw only the parts of new galaxies.

    Print which galaxies were grouped, drawn and moved. Write a new split to a file next to the
    label file, so that test galaxies remain test galaxies.

    Parameters
    ----------
    path : Path
        Label file.
    read : (Labels, Split or None)
        Labels and split that `read_labels` returned for this file.
    seed : int
        Seed with which the split is drawn.
    ids : Ids
        Ids of galaxies that have an image or a vector.
    seen : sequence of Ids
        Ids of galaxies that each backbone was trained on. New ones become training galaxies; those
        that an earlier split put into validation or test are left out.
    grouping : Grouping, optional
        Groups of galaxies with equal or similar images.
    catalog : Catalog, optional
        Catalog with positions on the sky.
    arcsec : float
        Galaxies closer than this separation are in one group; 0 means no groups by position.
    id_column : str, optional
        Column of the label file with the ids; by default the first with a usual name.
    """
    import numpy as np

    from gzfeatures.galaxies.splits import split_file
    from gzfeatures.galaxies.splits.asked import read_asked
    from gzfeatures.galaxies.splits.related_galaxies import Grouping

    labels, column = read
    labels = _with_image_or_vector(labels, ids)
    asked = None if labels.target not in CLASSES else read_asked(path, id_column=id_column)
    # keep galaxies together that share an image, a position or a group in the label file: apart,
    # they would leak from training to test
    groups = (grouping or Grouping()).near(catalog, labels.ids, arcsec)
    groups = groups.united(split_file.known_of(path, labels.ids, arcsec, id_column=id_column))
    say(str(groups))
    # continue an earlier split, so that a test galaxy remains a test galaxy
    kept = split_file.kept_beside(path)
    beside = split_file.read_split(kept) if kept.exists() else None
    trained_on = np.concatenate([labels.ids[:0], *seen])
    if asked is not None:
        return _of_campaign(labels, asked, column, groups, kept, trained_on, seed)
    drawn = split_file.continued(
        labels, groups, column=column, beside=beside, only_train=trained_on, seed=seed, where=kept
    )
    if column is None and beside is None:
        shares = "a grouped, stratified 0.7/0.1/0.2 one"
        say(f"{path} has no split: {shares} was drawn with seed {seed}")
    else:
        _say_continued(drawn, kept if beside else path, unchanged=beside is not None)
    _keep_split(drawn, kept)
    split = drawn.split.among(labels.ids)
    return labels, _fair(split, len(labels), trained_on, of_file=column is not None)


def _of_campaign(
    labels: Labels,
    asked: Asked,
    column: Split | None,
    groups: Grouping,
    beside: Path,
    trained_on: Ids,
    seed: int,
) -> tuple[Labels, Split]:
    """Return a split whose test galaxies are those that the page of `teach` drew at random."""
    from gzfeatures.galaxies.splits import split_file
    from gzfeatures.galaxies.splits.asked import require_agreement, split_by_asked

    if column is not None:
        require_agreement(column, asked)
    earlier = split_file.read_split(beside) if beside.exists() else None
    split = split_by_asked(labels, asked, groups.groups, earlier=column or earlier, seed=seed)
    say(
        f"{len(split.test)} galaxies were drawn at random: they are set aside, and all that is "
        f"measured comes from them; {len(split.train) + len(split.validation)} train"
    )
    if alike := len(labels) - len(split.ids):
        say(f"{alike} galaxies are left out: they belong together with one drawn at random")
    try:
        say(f"the split is kept in {split_file.write_split(beside, split)}")
    except OutputError as error:
        say(f"the split is not kept: {error}")
    return labels, _fair(split, len(labels), trained_on, of_file=False)


def _with_image_or_vector(labels: Labels, ids: Ids) -> Labels:
    """Leave out labelled galaxies that have no image or vector, and print how many."""
    from gzfeatures.ids import among

    present = among(labels.ids, ids)
    if present.all():
        return labels
    absent = int((~present).sum())
    say(f"{absent} of {len(labels)} labelled galaxies have no image or vector and are left out")
    return labels.select(labels.ids[present])


def _say_continued(drawn: Continued, where: Path, unchanged: bool) -> None:
    """Print how many galaxies keep their place in an earlier split, and how many are new."""
    if drawn.new:
        say(f"{drawn.stayed} galaxies stay where {where} has them; {drawn.new} new ones were drawn")
    elif unchanged:
        say(f"the split is read from {where}; remove the file to draw another one")


def _keep_split(drawn: Continued, path: Path) -> None:
    """Write a changed split to a file beside the label file; if that fails, tell the user."""
    from gzfeatures.galaxies.splits import split_file

    if drawn.moved:
        say(split_file.moved_text(drawn.moved))
    if not (drawn.new or drawn.moved):
        return
    try:
        say(f"the split is kept in {split_file.write_split(path, drawn.split)}")
    except OutputError as error:
        # go on in a read-only folder: the fit is still correct, but a later split may differ
        say(f"the split is not kept, and labels added later may move galaxies: {error}")


def _fair(split: Split, galaxies: int, trained_on: Ids, of_file: bool) -> Split:
    """Leave out validation and test galaxies that a backbone was trained on."""
    from gzfeatures.ids import among

    train = split.train[among(split.train, trained_on)]
    if len(train):
        say(f"{len(train)} of {galaxies} galaxies only train: a backbone was trained on them")
    unfair = among(split.ids, trained_on) & ~among(split.ids, split.train)
    # do not change a split that the user gave: scores on galaxies that the backbone was trained on
    # are refused later
    if of_file or not unfair.any():
        return split
    number = int(unfair.sum())
    say(f"{number} galaxies set aside before are left out: a backbone was trained on them")
    return split.among(split.ids[~unfair])
