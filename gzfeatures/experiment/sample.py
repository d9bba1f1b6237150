"""Load the galaxies of an experiment: read labels, check images, and split the galaxies."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.experiment.settings.sample import ByDigest, Galaxies, ImagedCatalog, SecondTarget
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import read_sidecar, write_sidecar
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.label_words import LabelWords
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.labels.target_column import TargetColumn
from gzfeatures.galaxies.splits import split_file
from gzfeatures.galaxies.splits.label_file import read_labels, read_target
from gzfeatures.galaxies.splits.related_galaxies import SAME_FILE, Grouping, key_groups
from gzfeatures.galaxies.splits.split import Split, digest_remainders
from gzfeatures.galaxies.votes.vote_columns import ANY
from gzfeatures.ids import Ids, among
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.picture_cache import PictureCache
from gzfeatures.progress import SILENT, Progress


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledSample:
    """Store the galaxies of an experiment, each with label, image, and part of the split.

    Parameters
    ----------
    labels : Labels
        Labels of all galaxies, also of those that are only trained on.
    split : Split
        Training, validation and test galaxies.
    scored_split : Split
        The same split without galaxies that are only trained on.
    images : ImageSet
        A readable image for every galaxy in `labels` or `auxiliary_labels`.
    catalog : Catalog, optional
        Catalog of the galaxies; None if a label file was given instead.
    skipped : tuple of (str, str)
        Id of each labelled galaxy without a readable image, and the reason.
    auxiliary_labels : Labels, optional
        Labels that networks learn in addition (second target); some galaxies have only these.
    grouping : Grouping
        Groups of galaxies that the split keeps in one part, with the reasons.
    moved : tuple of str
        Ids of test galaxies that were in another part of an earlier split. They were moved because
        a galaxy of their group is a test galaxy.
    left_out : mapping of str to int
        For each reason, the number of galaxies without a label or number.

    Attributes
    ----------
    stamp : str
        Hash of the image files' names, sizes and times when the galaxies were loaded.
    """

    labels: Labels
    split: Split
    scored_split: Split
    images: ImageSet
    catalog: Catalog | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    auxiliary_labels: Labels | None = None
    grouping: Grouping = dataclasses.field(default_factory=Grouping)
    moved: tuple[str, ...] = ()
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    stamp: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", self.images.stamp())

    @cached_property
    def fingerprint(self) -> str:
        """Return a sha256 of labels, split, and the names, sizes and times of the image files."""
        also = None if self.auxiliary_labels is None else self.auxiliary_labels.fingerprint
        return fingerprint.of([self.labels.fingerprint, self.split.fingerprint, self.stamp, also])


def require_unchanged(images: ImageSet, stamp: str) -> None:
    """Refuse image files that changed (in size or time) since a hash of their state was taken."""
    if images.stamp() != stamp:
        raise InputError(
            "an image was changed or removed while it was in use",
            rule="stay as it is",
            remedy="call the same again",
        )


def load_sample(
    settings: Galaxies,
    seed: int,
    notes: Path,
    seen: TrainedOn | None = None,
    progress: Progress = SILENT,
    cache: PictureCache | None = None,
) -> LabelledSample:
    """Load an experiment's galaxies: read catalogs and labels, check images, and split galaxies.

    Related galaxies (same image file, close together on the sky, or same group in the label file)
    get into the same part of the split.

    Galaxies that are only trained on are added to the training part. From these, leave out galaxies
    with the id or the image of a galaxy in the main catalog, and galaxies that a split by hashes of
    ids reserves for validation or test.

    Parameters
    ----------
    settings : Galaxies
        Section `galaxies` of the experiment file: catalogs, images, class scheme and split.
    seed : int
        Seed of random choices in labels and split.
    notes : Path
        Folder for the results of the image check, so that unchanged images are not checked again.
    seen : TrainedOn, optional
        Galaxies that the experiment's backbones were trained on; a new split puts them into the
        training part.
    progress : Progress
        Object that shows the progress of the image check; shows nothing by default.
    cache : PictureCache, optional
        Cache that stores sha256 and pixels of each image for later steps; none by default.

    Raises
    ------
    MissingFileError, InputError
        A file is missing or breaks a rule; an image is missing or broken and `on_bad` is "raise".
    """
    catalog, labels, column = _labelled(settings, seed)
    check = _Check(notes, progress, cache)
    readable = _with_images(labels, settings, settings.on_bad, check)
    if catalog is not None:
        readable = dataclasses.replace(readable, images=readable.images.of_kind(catalog.kind))
    # find groups of related galaxies before splitting, because all galaxies of a group must be
    # in the same part of the split
    grouping = _grouping(settings, catalog, readable)
    scored_split, moved = _split(settings, readable, grouping, column, seed, seen, notes)
    split = scored_split
    # after the split, add galaxies that are only trained on: they cannot get into the test part
    for source in settings.training_only:
        readable, new_ids = _with_training_only(readable, settings, source, seed, check)
        split = dataclasses.replace(split, train=np.concatenate([split.train, new_ids]))
    auxiliary = None
    images = readable.images
    # the second target may label galaxies that the first target does not: load their images too
    if settings.also is not None:
        auxiliary, images = _second_target(settings, settings.also, readable, split, seed, check)
    skipped = readable.skipped
    return LabelledSample(
        readable.labels,
        split,
        scored_split,
        images,
        catalog,
        skipped,
        auxiliary,
        grouping,
        moved,
        {reason: len(ids) for reason, ids in labels.left_out.items() if len(ids)},
    )


@dataclasses.dataclass(frozen=True)
class _Check:
    """Hold the result folder, the progress display and the pixel cache of an image check."""

    notes: Path
    progress: Progress
    cache: PictureCache | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Readable:
    """Store labelled galaxies with readable images, their files' sha256, and skipped galaxies."""

    labels: Labels
    images: ImageSet
    skipped: tuple[tuple[str, str], ...]
    digests: dict[str, str]


def _labelled(settings: Galaxies, seed: int) -> tuple[Catalog | None, Labels, Split | None]:
    """Return catalog, labels and split; labels are read from a label file or made from a catalog.

    The catalog is None if a label file is read. Only a label file can contain a split.
    """
    if settings.target is not None:
        return _numbered(
            settings, TargetColumn(settings.target, settings.redshift, settings.as_number)
        )
    if settings.labels is not None:
        words = LabelWords(settings.missing_label, settings.label_as_is)
        labels, split = read_labels(settings.labels, words=words, id_column=settings.id_column)
        return None, labels, split
    catalog = Catalog.read(settings.catalog, id_column=settings.id_column)
    chosen = scheme(settings.scheme).with_others(settings.others)
    return catalog, chosen.label(catalog, seed, settings.choice), None


def _numbered(
    settings: Galaxies, target: TargetColumn
) -> tuple[Catalog | None, Labels, Split | None]:
    """Read the numbers to predict from the label file, or if there is none, from the catalog."""
    catalog = Catalog.read(settings.catalog, id_column=settings.id_column)
    if settings.labels is None:
        return catalog, target.labels(catalog), None
    labels, split = read_target(
        settings.labels, target, catalog=catalog, id_column=settings.id_column
    )
    return None, labels, split


def _grouping(settings: Galaxies, catalog: Catalog | None, readable: _Readable) -> Grouping:
    """Group galaxies that have the same file, lie close together, or have equal group labels."""
    ids = readable.labels.ids
    keys = key_groups(ids, (readable.digests[name] for name in ids))
    grouping = Grouping().joined(SAME_FILE, keys)
    if settings.labels is None:
        return grouping.near(catalog, ids, settings.neighbours_arcsec)
    # with a label file there is no catalog: read the galaxies' positions on the sky, and the names
    # of their groups, from the columns of the label file
    groups = split_file.known_of(
        settings.labels,
        ids,
        settings.neighbours_arcsec,
        id_column=settings.id_column,
    )
    return grouping.united(groups)


def _split(
    settings: Galaxies,
    readable: _Readable,
    grouping: Grouping,
    column: Split | None,
    seed: int,
    seen: TrainedOn | None,
    notes: Path,
) -> tuple[Split, tuple[str, ...]]:
    """Split galaxies by a hash of their ids; or continue an earlier split, or split at random.

    Also return the ids of galaxies that are moved to test nevertheless, because the earlier split
    had put their group into two parts.
    """
    rule, labels = settings.split, readable.labels
    if isinstance(rule, ByDigest) and column is None:
        return Split.by_digest(labels.ids, groups=grouping.groups, **rule.model_dump()), ()
    # continue the split stored beside the label file: its test galaxies remain test galaxies
    kept = None if settings.labels is None else split_file.kept_beside(settings.labels)
    only_train = None
    if seen:
        only_train = labels.ids[_trained_on(seen, readable.images, readable.digests, notes)]
    drawn = split_file.continued(
        labels,
        grouping,
        sizes=split_file.SHARES if isinstance(rule, ByDigest) else rule,
        column=column,
        beside=split_file.read_split(kept) if kept is not None and kept.exists() else None,
        only_train=only_train,
        seed=seed,
        where=kept or "catalog",
    )
    return drawn.split.among(labels.ids), drawn.moved


def _with_training_only(
    readable: _Readable,
    settings: Galaxies,
    source: ImagedCatalog,
    seed: int,
    check: _Check,
) -> tuple[_Readable, Ids]:
    """Add galaxies that are only trained on, never scored; also return their ids."""
    catalog = Catalog.read(source.catalog, id_column=source.id_column)
    chosen = scheme(settings.scheme).with_others(settings.others)
    # a choice of votes says nothing about a catalog of ready classes, which has none
    has_votes = catalog.has_votes(chosen.measures, chosen.answers)
    labels = chosen.label(catalog, seed, settings.choice if has_votes else ANY)
    labels = labels.select(_free(labels.ids, readable.labels.ids, settings.split))
    added = _with_images(labels, source, settings.on_bad, check)
    # leave out images that are in the split under another id: a test galaxy could be trained on
    new = _unlike(added, readable.images, set(readable.digests.values()))
    images = added.images.select(new).of_kind(catalog.kind)
    joined = _Readable(
        readable.labels.joined(added.labels.select(new)),
        readable.images.joined(images),
        readable.skipped + added.skipped,
        readable.digests | added.digests,
    )
    return joined, new


def _unlike(added: _Readable, images: ImageSet, digests: Collection[str]) -> Ids:
    """Return the ids of added galaxies whose image has other bytes than all given images.

    `digests` are those of the given images.
    """
    ids = added.labels.ids
    new: Ids = ids[[added.digests[name] not in digests for name in ids]]
    ways = [source.reading.key for source in (*images.galaxy_files, *added.images.galaxy_files)]
    if all(way == ways[0] for way in ways):
        return new
    # a digest depends on the options for reading too: where these differ, compare the bytes
    groups = images.joined(added.images.select(new)).duplicate_groups()
    known = {groups[name] for name in images.ids if name in groups}
    return new[[groups.get(name) not in known for name in new]]


def _second_target(
    settings: Galaxies,
    target: SecondTarget,
    readable_galaxies: _Readable,
    split: Split,
    seed: int,
    check: _Check,
) -> tuple[Labels, ImageSet]:
    """Label galaxies for a second training target, and add images of galaxies with only this label.

    Networks learn the second target in addition to the main labels.
    """
    catalog = Catalog.read(target.catalog, id_column=target.id_column)
    labels = scheme(target.scheme).label(catalog, seed, target.choice)
    images = readable_galaxies.images
    held_out = np.concatenate([split.validation, split.test])
    scored = {readable_galaxies.digests[name] for name in held_out}
    for source in (settings, *settings.training_only):
        more = labels.select(_free(labels.ids, images.ids, settings.split))
        if not len(more):
            break
        readable = _with_images(more, source, "skip", check)
        # leave out images of validation and test galaxies under another id: they
        # would be trained on
        new = _unlike(readable, readable_galaxies.images.select(held_out), scored)
        images = images.joined(readable.images.select(new))
    return labels.select(labels.ids[among(labels.ids, images.ids)]), images


def _trained_on(
    galaxies: TrainedOn, images: ImageSet, digests: Mapping[str, str], notes: Path
) -> npt.NDArray[np.bool_]:
    """Return a mask of the images whose galaxies a backbone was trained on, shape (n,).

    Store hashes of the pictures in a file, so that images need not be decoded again.
    """
    files = [digests[name] for name in images.ids]
    # decoding every image is slow: skip it if the backbone has no picture hashes to compare with
    if not len(galaxies.pictures):
        return galaxies.contains(images.ids, files=files, kind=images.kind)
    stamp = images.stamp()
    path = notes / f"pictures-{stamp[:16]}.json"
    note = read_sidecar(path)
    if note.get("stamp") != stamp:
        note = {"stamp": stamp, "hashes": images.picture_hashes().tobytes().hex()}
        write_sidecar(path, note)
    pictures = np.frombuffer(bytes.fromhex(note["hashes"]), dtype=np.uint8).reshape(len(images), -1)
    return galaxies.contains(images.ids, files=files, pictures=pictures, kind=images.kind)


def _free(ids: Ids, taken: Ids, rule: tuple[float, ...] | ByDigest) -> Ids:
    """Return the ids that are neither in `taken` nor reserved for validation or test."""
    free = ~among(ids, taken)
    if isinstance(rule, ByDigest):
        free &= ~np.isin(digest_remainders(ids, rule.of), (*rule.test, *rule.validation))
    return ids[free]


def _with_images(labels: Labels, source: ImagedCatalog, on_bad: str, check: _Check) -> _Readable:
    """Select the galaxies with readable images, by a new check or the stored result of a check."""
    images = ImageSet.of(source.images, ids=labels.ids, on_missing="skip", reading=source.how)
    images = images.cached_in(check.cache)
    # the stamp is a hash of names, sizes and times of files: if it is unchanged, so are the images
    stamp = images.stamp()
    path = check.notes / f"images-{stamp[:16]}.json"
    note = read_sidecar(path)
    if note.get("stamp") == stamp:
        images.adopt_digests(note["digests"])
    else:
        broken = images.check(progress=check.progress).broken
        readable = images.select(_without(images.ids, broken))
        note = {
            "stamp": stamp,
            "broken": broken,
            "digests": dict(zip(readable.ids, readable.digests(), strict=True)),
        }
        require_unchanged(images, stamp)
        write_sidecar(path, note)
    # report missing and broken images in one error: users can repair all at once
    bad = (
        *((name, "image is missing") for name in images.missing),
        *((n, r) for n, r in note["broken"]),
    )
    if bad and on_bad == "raise":
        raise InputError(
            f"{len(bad)} of {len(labels)} images are missing or broken",
            where=source.images,
            found=f"{bad[0][0]}: {bad[0][1]}",
            remedy='repair them, or set galaxies.on_bad = "skip"',
        )
    good = _without(labels.ids, bad)
    return _Readable(labels.select(good), images.select(good), bad, note["digests"])


def _without(ids: Ids, bad: Iterable[tuple[str, str]]) -> Ids:
    gone = {name for name, _ in bad}
    return ids[[name not in gone for name in ids]]
