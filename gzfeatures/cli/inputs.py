"""Define the arguments and options that several verbs share, and read the files they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gzfeatures.cli.console import say, show
from gzfeatures.galaxies.splits.separation import NEAR_ARCSEC

if TYPE_CHECKING:
    from gzfeatures.experiment.label_sizes import LabelSizes
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.catalogs.label_words import LabelWords
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.labels.target_column import TargetColumn
    from gzfeatures.galaxies.splits.groups import Grouping
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.galaxies.splits.split_file import Continued
    from gzfeatures.ids import Ids
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading

LABELS = typer.Option("--labels", help="Label file (CSV): galaxy_id,label[,split][,group].")
IMAGES = typer.Option(
    "--images",
    help="Folder, zip, tar or HDF5 file of images; the id of a galaxy is the file's stem.",
)

CatalogFile = Annotated[
    Path,
    typer.Argument(
        metavar="CATALOG", help="Catalog: FITS, CSV, Parquet, Feather, VOTable, ECSV, HDF5, HATS."
    ),
]
TableFile = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Embedding table written by 'extract'.")
]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE", help="Folder or archive of images; or a catalog, with --images."
    ),
]
Scheme = Annotated[
    str,
    typer.Option(
        "--scheme", "-s", help="Class scheme: a name from 'list schemes', or a TOML file."
    ),
]
Campaign = Annotated[
    str | None,
    typer.Option(
        help=(
            "Campaign whose votes are read (gz2, dr5, hubble, …); default: the campaign "
            "that asked each galaxy."
        )
    ),
]
VoteMeasure = Annotated[
    str | None,
    typer.Option(
        "--measure", help="Kind of votes to read: weighted, fraction, count, weight or debiased."
    ),
]
MinVotes = Annotated[
    int,
    typer.Option(min=0, help="Leave out galaxies whose class rests on fewer volunteers than this."),
]
Others = Annotated[
    Literal["class", "left-out"] | None,
    typer.Option(
        "--others",
        help="Galaxies that match no class: put them in the class none-of-these, or leave "
        "them out (default).",
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option("--id", help="Column of the galaxies' ids; default: recognised by its name."),
]
MissingLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--missing-label", help="Word in the label column that means unlabelled; repeat for more."
    ),
]
LabelAsIs = Annotated[
    bool,
    typer.Option(
        "--label-as-is", help="Treat NA, nan, None and N/A in the label column as classes."
    ),
]
LabelsFile = Annotated[Path, LABELS]
MaybeLabels = Annotated[Path | None, LABELS]
Images = Annotated[Path, IMAGES]
MaybeImages = Annotated[Path | None, IMAGES]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Device for the computation.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all random choices.")]
GroupArcsec = Annotated[
    float,
    typer.Option(
        "--group-arcsec",
        min=0,
        help="Galaxies closer than this on the sky stay in one part of the split; 0 = no "
        "such groups.",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        help="Numbers of labels for a learning curve, e.g. 100,300,1000; each set contains "
        "the smaller ones.",
    ),
]
WithCurve = Annotated[
    list[Path] | None,
    typer.Option(
        "--with-curve",
        help="Add curves from another learning_curve.json to the plot; repeat for more.",
    ),
]
Near = Annotated[
    bool, typer.Option("--group-duplicates", help="Keep near duplicates in one part of the split.")
]
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="COLUMN",
        help=(
            "Predict a number instead of classes, e.g. redshift: a column of the label "
            "file or of the catalog."
        ),
    ),
]
IsRedshift = Annotated[
    bool | None,
    typer.Option(
        "--redshift/--no-redshift",
        help="Measure errors of the target in units of 1 + z; default: if its name is that "
        "of a redshift.",
    ),
]
AsNumber = Annotated[
    bool,
    typer.Option(
        "--as-number",
        help="Treat a target with few different whole numbers as a number, not as classes.",
    ),
]
PixelScale = Annotated[
    str | None,
    typer.Option(
        help="Catalog column with arcseconds per pixel (or one number); with --petrosian, "
        "it sets the crops."
    ),
]
Petrosian = Annotated[
    str | None,
    typer.Option(
        help="Catalog column with petroR90 in arcseconds; with --pixel-scale, crop each "
        "galaxy as Galaxy Zoo does."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print only one JSON object on stdout.")]


def require_sizes(sizes: str | None, others: list[Path] | None) -> None:
    """Refuse a curve to draw beside where none is measured."""
    if sizes is None and others:
        raise typer.BadParameter("it goes with --sizes", param_hint="--with-curve")


def show_sizes(
    curve: LabelSizes, others: list[Path] | None, labels: Labels, folder: Path, as_json: bool
) -> None:
    """Write a learning curve with those it is drawn beside, and print what it answers."""
    from gzfeatures.experiment.label_sizes import PLOT

    whole = curve.written_with(others or (), labels, folder)
    say(whole.answer() or "give the curve of the other kind with --with-curve: heads or networks")
    say(f"the curve is drawn in {folder / PLOT}")
    brief = ("labels", "road", "backbone", "head", "accuracy", "rmse", "macro_f1", "log_loss")
    show(whole.asdict(), as_json, hide=("payoff", "answer"), columns=brief)


def labelled(
    catalog: Catalog,
    scheme: str,
    seed: int,
    campaign: str | None,
    measure: str | None,
    min_votes: int,
    others: Literal["class", "left-out"] | None = None,
) -> Labels:
    """Label a catalog by a scheme, and print which votes were read and what was left out."""
    from typing import cast

    from gzfeatures.errors import InputError
    from gzfeatures.galaxies.labels import schemes
    from gzfeatures.galaxies.votes.vote_columns import RAW, Choice
    from gzfeatures.galaxies.votes.votes import Measure

    rule = schemes.scheme(scheme).with_others(others)
    labels = rule.label(catalog, seed, Choice(campaign, cast("Measure | None", measure), min_votes))
    _say_votes(labels, min_votes)
    # the source of a scheme may prefer debiased votes, which change the class shares
    if labels.origin is not None and measure is None and rule.measures[0] != RAW[0]:
        say(
            f"scheme {rule.name} asks for {rule.measures[0]} votes first, as its "
            "source does; --measure chooses"
        )
    _say_unclaimed(labels, rule.name, as_class=rule.others == "class")
    if not len(labels):
        reasons = ", ".join(
            f"{reason}: {len(ids)}" for reason, ids in labels.left_out.items() if len(ids)
        )
        raise InputError("no galaxy is labelled", where=catalog.source, found=reasons or None)
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
        # a vote fraction of so few volunteers is mostly chance
        if few and min_votes < FEW:
            say(
                f"{name}: {few} of {labels.counts[name]} galaxies were asked of fewer "
                f"than {FEW} volunteers; --min-votes {FEW} leaves them out"
            )


def _say_unclaimed(labels: Labels, scheme: str, as_class: bool) -> None:
    """Print the share of galaxies that no rule claims, and whether they are labelled."""
    from gzfeatures.galaxies.labels.labelling import NONE_OF_THESE, without_class

    fate = f"they are {NONE_OF_THESE}" if as_class else "left out; --others class gives them one"
    if share := without_class(labels):
        say(f"{share:.1%} of the galaxies that could be judged have no class in {scheme} ({fate})")


def catalog_from(path: Path, id_column: str | None = None, *, keys: Sequence[str] = ()) -> Catalog:
    """Read a catalog, and print what reading changed or left out."""
    from gzfeatures.galaxies.catalogs.catalog import Catalog

    catalog = Catalog.read(path, id_column=id_column, keys=keys)
    for note in catalog.notes:
        say(f"{path}: {note}")
    return catalog


def label_words(missing_label: Sequence[str] | None, label_as_is: bool) -> LabelWords:
    """Return the meaning of words in a label column, from the options of a verb."""
    from gzfeatures.galaxies.catalogs.label_words import LabelWords

    return LabelWords(tuple(missing_label or ()), label_as_is)


def labels_from(
    path: Path, missing_label: Sequence[str] | None, label_as_is: bool, id_column: str | None = None
) -> tuple[Labels, Split | None]:
    """Read the labels in a file, and their split if the file has one."""
    from gzfeatures.galaxies.splits.label_file import read_labels

    return read_labels(path, words=label_words(missing_label, label_as_is), id_column=id_column)


def target_column(
    column: str | None, redshift: bool | None, as_number: bool
) -> TargetColumn | None:
    """Return the column to predict from the options of a verb; None if it predicts classes."""
    from gzfeatures.galaxies.labels.target_column import TargetColumn

    if column is not None:
        return TargetColumn(column, redshift, as_number)
    # refuse an option without effect, because it hides a mistake
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


def images_of(
    source: Path,
    images: Path | None,
    on_missing: Literal["raise", "skip"],
    id_column: str | None = None,
    reading: Reading | None = None,
    crops: tuple[str | None, str | None] = (None, None),
) -> ImageSet:
    """Open the images in a folder or archive, or the images of a catalog's galaxies.

    `crops` are the values of --pixel-scale and --petrosian, which need the catalog.
    """
    from gzfeatures.images.image_set import ImageSet

    if images is None:
        require_catalog_of_crops(crops, has_catalog=False)
        return ImageSet.of(source, reading=reading)
    catalog = catalog_from(source, id_column)
    image_set = ImageSet.of(images, ids=catalog.ids, on_missing=on_missing, reading=reading)
    # the kind of catalog says which survey the ids belong to, which recognises training galaxies
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
    """Return images whose crops follow pixel scale and Petrosian radius, if these are given.

    Raises
    ------
    InputError
        The catalog has no such numeric column.
    """
    require_catalog_of_crops(crops, has_catalog=True)
    scale, radius = crops
    if scale is None or radius is None:
        return images
    import numpy as np

    from gzfeatures.images.framing import Framing

    try:
        # the option may give one number, because most surveys have the same pixel scale everywhere
        scales = np.full(len(catalog), float(scale))
    except ValueError:
        scales = catalog.column(scale)
    return images.framed(Framing(catalog.ids, scales, catalog.column(radius), (scale, radius)))


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

    A split that is kept beside the labels is continued: galaxies stay on their side, new ones are
    drawn.

    What was grouped, drawn and moved is said. A split that was drawn is written beside the labels,
    so that a galaxy set aside once stays so.

    Parameters
    ----------
    path : Path
        The labels file.
    read : (Labels, Split or None)
        What `read_labels` says of it.
    seed : int
        Of the draw.
    ids : Ids
        Galaxies that have an image or a vector.
    seen : sequence of Ids
        Galaxies that backbones were trained on: new ones train, others of them are left out of the
        score.
    grouping : Grouping, optional
        Galaxies that belong together by their images.
    catalog : Catalog, optional
        Further positions on the sky.
    arcsec : float
        Pairs within this separation belong together; 0 groups none by position.
    id_column : str, optional
        Column of the ids in the labels file, where none of those known is there.
    """
    import numpy as np

    from gzfeatures.galaxies.splits import split_file
    from gzfeatures.galaxies.splits.groups import Grouping

    labels, column = read
    labels = _at_hand(labels, ids)
    # keep galaxies together by image, by position, and by the label file's column `group`
    groups = (grouping or Grouping()).near(catalog, labels.ids, arcsec)
    groups = groups.united(split_file.known_of(path, labels.ids, arcsec, id_column=id_column))
    say(str(groups))
    # continue an earlier split, so that a galaxy set aside for testing remains so
    kept = split_file.kept_beside(path)
    beside = split_file.read_split(kept) if kept.exists() else None
    trained_on = np.concatenate([labels.ids[:0], *seen])
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


def _at_hand(labels: Labels, ids: Ids) -> Labels:
    """Leave out labelled galaxies that have no image or vector, and print how many."""
    from gzfeatures.ids import among

    present = among(labels.ids, ids)
    if present.all():
        return labels
    absent = int((~present).sum())
    say(f"{absent} of {len(labels)} labelled galaxies have no image or vector and are left out")
    return labels.select(labels.ids[present])


def _say_continued(drawn: Continued, where: Path, unchanged: bool) -> None:
    """Print what an earlier split decides, and how many galaxies were added to it."""
    if drawn.new:
        say(f"{drawn.stayed} galaxies stay where {where} has them; {drawn.new} new ones were drawn")
    elif unchanged:
        say(f"the split is that of {where}; remove the file to have another drawn")


def _keep_split(drawn: Continued, path: Path) -> None:
    """Write a changed split beside its labels; if that fails, print the consequence."""
    from gzfeatures.errors import OutputError
    from gzfeatures.galaxies.splits import split_file

    if drawn.moved:
        say(split_file.moved_text(drawn.moved))
    if not (drawn.new or drawn.moved):
        return
    try:
        say(f"the split is kept in {split_file.write_split(path, drawn.split)}")
    except OutputError as error:
        # in a read-only folder the fit is still correct, but a later split may differ
        say(f"the split is not kept, and labels added later may move galaxies: {error}")


def _fair(split: Split, galaxies: int, trained_on: Ids, of_file: bool) -> Split:
    """Leave out galaxies set aside for scoring that a backbone was trained on."""
    from gzfeatures.ids import among

    train = split.train[among(split.train, trained_on)]
    if len(train):
        say(f"{len(train)} of {galaxies} galaxies only train: a backbone was trained on them")
    unfair = among(split.ids, trained_on) & ~among(split.ids, split.train)
    # do not change the user's own split: scoring it is refused later
    if of_file or not unfair.any():
        return split
    number = int(unfair.sum())
    say(f"{number} galaxies set aside before are left out: a backbone was trained on them")
    return split.among(split.ids[~unfair])
