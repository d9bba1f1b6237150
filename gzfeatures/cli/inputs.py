"""Read the files that a command's options name, and print what was read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import typer

from gzfeatures.cli.console import say, say_next, show
from gzfeatures.errors import GzError

if TYPE_CHECKING:
    from gzfeatures.experiment.label_sizes import LabelSizes
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.catalogs.label_words import LabelWords
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.labels.target_column import TargetColumn
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.galaxies.votes.vote_columns import Choice
    from gzfeatures.galaxies.votes.votes import Measure
    from gzfeatures.ids import Ids
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading


def require_sizes_with_curve(sizes: str | None, others: list[Path] | None) -> None:
    """Refuse --with-curve without --sizes, because without it no learning curve is drawn."""
    if sizes is None and others:
        raise typer.BadParameter("it goes with --sizes", param_hint="--with-curve")


def sizes_and_curves(
    sizes: str, others: list[Path] | None, labels: Labels
) -> tuple[tuple[int, ...], list[LabelSizes]]:
    """Read the numbers of labels from --sizes and the learning curves from --with-curve.

    Reading the curves at the start refuses unusable ones before any work.

    Raises
    ------
    MissingFileError, InputError
        The file of a curve does not exist, cannot be read, or was made with other labels.
    """
    from gzfeatures.experiment.label_sizes import read_sizes, sizes_of

    curves = [read_sizes(path, labels) for path in others or ()]
    return sizes_of(sizes), curves


def show_sizes(
    curve: LabelSizes, others: Sequence[LabelSizes], folder: Path, as_json: bool
) -> None:
    """Plot several learning curves, and print from how many labels on a network beats a head."""
    from gzfeatures.experiment.label_sizes import PLOT

    whole = curve.joined(others)
    whole.write(folder)
    say(whole.answer() or "give the curve of the other kind with --with-curve: heads or networks")
    brief = ("labels", "road", "backbone", "head", "accuracy", "rmse", "macro_f1", "log_loss")
    show(whole.asdict(), as_json, hide=("payoff", "answer"), columns=brief)
    say(f"the curve is drawn in {folder / PLOT}")
    say_next(f"open {folder / PLOT}")


def labelled(
    catalog: Catalog,
    scheme: str,
    seed: int,
    campaign: str | None,
    measure: str | None,
    min_votes: int,
    others: Literal["class", "left-out"] | None = None,
) -> Labels:
    """Label a catalog by a class scheme; print which votes were read, which galaxies left out."""
    from gzfeatures.galaxies.labels import schemes
    from gzfeatures.galaxies.votes.vote_columns import RAW, Choice
    from gzfeatures.verbs.catalogs import label

    rule = schemes.scheme(scheme).with_others(others)
    labels = label(
        catalog,
        rule,
        campaign=campaign,
        measure=measure,
        min_votes=min_votes,
        others=others,
        seed=seed,
    )
    _say_votes(labels, min_votes)
    # tell the user if the scheme prefers other votes than weighted fractions, such as debiased ones
    # (corrected for distance): class shares then differ
    if labels.origin is not None and measure is None and rule.measures[0] != RAW[0]:
        say(
            f"scheme {rule.name} asks for {rule.measures[0]} votes first, as its "
            "source does; --measure chooses"
        )
    _say_unclaimed(labels, rule.name, as_class=rule.others == "class")
    if rule.name in schemes.SCHEMES and rule.others != "class":
        choice = Choice(campaign, cast("Measure | None", measure), min_votes)
        _say_wider_scheme(catalog, labels, rule.name, choice, seed)
    return labels


def _say_votes(labels: Labels, min_votes: int) -> None:
    """Print which votes were read, and how many labels rest on few volunteers."""
    from gzfeatures.galaxies.labels.labels import FEW

    if labels.origin is None:
        return
    for name, measure in labels.origin.measures.items():
        number = labels.origin.galaxies.get(name)
        galaxies = "" if number is None else f" for {number} galaxies"
        say(f"votes read: {measure} of {name}{galaxies}")
    for name, few in (labels.origin.few or {}).items():
        # warn of labels from few volunteers, because their vote fractions are mostly chance
        if few and min_votes < FEW:
            say(
                f"{name}: {few} of {labels.counts[name]} galaxies were asked of fewer "
                f"than {FEW} volunteers; --min-votes {FEW} leaves them out"
            )


def _say_unclaimed(labels: Labels, scheme: str, as_class: bool) -> None:
    """Print what fraction of galaxies has no class in a scheme, and whether they get a label."""
    from gzfeatures.galaxies.labels.classes_from_votes import NONE_OF_THESE, without_class

    fate = f"they are {NONE_OF_THESE}" if as_class else "left out; --others class gives them one"
    if share := without_class(labels):
        say(f"{share:.1%} of the galaxies that could be judged have no class in {scheme} ({fate})")


def _say_wider_scheme(
    catalog: Catalog, labels: Labels, scheme: str, choice: Choice, seed: int
) -> None:
    """Print the class scheme that gives a class to most galaxies, if it is not the chosen one.

    All schemes read the same votes: those of `choice`.
    """
    from gzfeatures.galaxies.labels.classes_from_votes import without_class
    from gzfeatures.galaxies.labels.schemes import SCHEMES

    if not without_class(labels):
        return
    claimed = {}
    for name, other in SCHEMES.items():
        # skip class schemes that fail, because most need columns of votes that the catalog lacks
        with suppress(GzError):
            claimed[name] = len(other.label(catalog, seed, choice))
    if not claimed:
        return
    widest = max(claimed, key=lambda name: claimed[name])
    if widest != scheme and claimed[widest] > len(labels):
        classes = ", ".join(SCHEMES[widest].classes)
        share = claimed[widest] / len(catalog.ids)
        say(f"scheme {widest} gives most galaxies a class: {share:.1%} ({classes})")


def catalog_from(path: Path, id_column: str | None = None, *, keys: Sequence[str] = ()) -> Catalog:
    """Read a catalog, and print which values or rows were changed or left out."""
    from gzfeatures.galaxies.catalogs.catalog import Catalog

    catalog = Catalog.read(path, id_column=id_column, keys=keys)
    for note in catalog.notes:
        say(f"{path}: {note}")
    return catalog


def label_words(missing_label: Sequence[str] | None, label_as_is: bool) -> LabelWords:
    """Return which words of a label column mean "no label", from the options of a command."""
    from gzfeatures.galaxies.catalogs.label_words import LabelWords

    return LabelWords(tuple(missing_label or ()), label_as_is)


def labels_from(
    path: Path, missing_label: Sequence[str] | None, label_as_is: bool, id_column: str | None = None
) -> tuple[Labels, Split | None]:
    """Read the labels in a file, and their split if the file has one."""
    from gzfeatures.galaxies.splits.label_file import read_labels

    return read_labels(path, words=label_words(missing_label, label_as_is), id_column=id_column)


def labels_if_given(
    path: Path | None,
    missing_label: Sequence[str] | None,
    label_as_is: bool,
    id_column: str | None = None,
) -> Labels | None:
    """Read the labels in a file, without their split; None if no file is named."""
    if path is None:
        return None
    return labels_from(path, missing_label, label_as_is, id_column)[0]


def target_column(
    column: str | None, redshift: bool | None, as_number: bool
) -> TargetColumn | None:
    """Return the column of numbers to predict, from a command's options; None for classes."""
    from gzfeatures.galaxies.labels.target_column import TargetColumn

    if column is not None:
        return TargetColumn(column, redshift, as_number)
    # refuse an option that has no effect without --target, because the user has probably forgotten
    # it
    if redshift is not None or as_number:
        raise typer.BadParameter(
            "it goes with --target COLUMN", param_hint="--redshift or --as-number"
        )
    return None


def numbers_from(
    path: Path, target: TargetColumn, catalog: Catalog | None, id_column: str | None
) -> tuple[Labels, Split | None]:
    """Read the number to predict for each galaxy, and print which galaxies are left out."""
    from gzfeatures.galaxies.splits.label_file import read_target

    labels, split = read_target(path, target, catalog=catalog, id_column=id_column)
    count = len(labels) + sum(len(ids) for ids in labels.left_out.values())
    for reason, ids in labels.left_out.items():
        say(f"{len(ids)} of {count} galaxies are left out: {target.column} {reason}")
    meaning = "a redshift: errors are in units of 1 + z" if labels.target == "redshift" else None
    say(f"target {target.column}: {meaning or 'a number'}, known of {len(labels)} galaxies")
    return labels, split


def table_from(path: Path, selection: Path | None = None) -> EmbeddingTable:
    """Read an embedding table from a file, or only those galaxies that a file of ids lists.

    Raises
    ------
    MissingFileError, InputError
        A file does not exist or cannot be read, or a listed galaxy is not in the table.
    """
    from gzfeatures.features.table import EmbeddingTable

    if selection is None:
        return EmbeddingTable.read(path)
    from gzfeatures.features.exchange.table_join import sliced

    part = sliced(path, selected_ids(selection))
    say(f"{len(part):,} galaxies of {selection} are read")
    return part


def selected_ids(selection: Path) -> Ids:
    """Return the galaxy ids in the file of the option --ids; refuse an empty file."""
    from gzfeatures.errors import InputError
    from gzfeatures.features.exchange.vector_files import ids_of_file

    ids = ids_of_file(selection)
    if not len(ids):
        raise InputError("selection", where=selection, rule="name at least one galaxy", found=0)
    return ids


def among_selected(ids: Ids, selection: Path | None) -> Ids:
    """Return the given galaxy ids that the file of --ids lists; return all if no file is named."""
    if selection is None:
        return ids
    from gzfeatures.ids import among

    return ids[among(ids, selected_ids(selection))]


def images_of(
    source: Path,
    images: Path | None,
    on_missing: Literal["raise", "skip"],
    id_column: str | None = None,
    reading: Reading | None = None,
    crops: tuple[str | None, str | None] = (None, None),
    selection: Path | None = None,
) -> ImageSet:
    """Open the images in a folder or archive, or the images of a catalog's galaxies.

    `crops` are the values of the options --pixel-scale and --petrosian, which need a catalog;
    `selection` is the file of the option --ids.
    """
    from gzfeatures.images.image_set import ImageSet

    ids = None if selection is None else selected_ids(selection)
    if images is None:
        require_catalog_of_crops(crops, has_catalog=False)
        return ImageSet.of(source, ids, on_missing, reading=reading)
    catalog = catalog_from(source, id_column)
    catalog = catalog if ids is None else catalog.select(ids)
    image_set = ImageSet.of(images, ids=catalog.ids, on_missing=on_missing, reading=reading)
    if absent := len(catalog.ids) - len(image_set):
        say(f"{absent:,} of {len(catalog.ids):,} galaxies have no image and are left out")
    # note the catalog's survey, because the same id may belong to another galaxy in the survey
    # that a backbone was trained on
    return framed(image_set.of_kind(catalog.kind), catalog, crops)


def require_catalog_of_crops(crops: tuple[str | None, str | None], *, has_catalog: bool) -> None:
    """Refuse --pixel-scale or --petrosian if the other option or the catalog is missing."""
    flags = ("--pixel-scale", "--petrosian")
    given = [flag for flag, value in zip(flags, crops, strict=True) if value is not None]
    if len(given) == 1:
        other = flags[1 - flags.index(given[0])]
        raise typer.BadParameter(f"it goes with {other}", param_hint=given[0])
    if given and not has_catalog:
        raise typer.BadParameter(
            "they need a catalog of the images", param_hint=" and ".join(given)
        )


def framed(images: ImageSet, catalog: Catalog, crops: tuple[str | None, str | None]) -> ImageSet:
    """Return images that are cropped by pixel scale and Petrosian radius, if both are given.

    Raises
    ------
    InputError
        The catalog lacks a column that an option names, or the column has no numbers.
    """
    require_catalog_of_crops(crops, has_catalog=True)
    scale, radius = crops
    if scale is None or radius is None:
        return images
    import numpy as np

    from gzfeatures.images.framing import Framing

    try:
        # accept one number too, because most surveys have the same pixel scale everywhere
        number = float(scale)
    except ValueError:
        scales = catalog.column(scale)
    else:
        if not 0 < number < np.inf:
            raise typer.BadParameter(
                f"it must be above 0, found {scale}", param_hint="--pixel-scale"
            )
        scales = np.full(len(catalog), number)
    return images.framed(Framing(catalog.ids, scales, catalog.column(radius), (scale, radius)))
