"""Define the commands about catalogs: check, label, sample, join, cutouts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import catalog_from, label_words, labelled
from gzfeatures.cli.options import (
    Campaign,
    CatalogFile,
    IdColumn,
    Json,
    LabelAsIs,
    MaybeImages,
    MinVotes,
    MissingLabel,
    Others,
    Scheme,
    Seed,
    VoteMeasure,
    csv_only,
)
from gzfeatures.cli.reading import reads_images, warned
from gzfeatures.cli.texts.check import print_columns, print_findings, print_verdict
from gzfeatures.cli.writing import writes
from gzfeatures.errors import InputError
from gzfeatures.files import written_whole
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog_join import JoinReport
    from gzfeatures.galaxies.catalogs.sky_join import SkyReport
    from gzfeatures.images.reading import Reading


@app.command(
    epilog="Example: gzfeatures check training_solutions_rev1.csv --images images/ -o clean.parquet"
)
@writes("output")
@reads_images
def check(
    reading: Reading,
    catalog: CatalogFile,
    images: MaybeImages = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the table in our columns to this file: .parquet, .csv, .fits, .vot, or "
            ".hats for a folder of partitions of the sky (HATS).",
        ),
    ] = None,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Check a catalog and its images: print what will be used, what is broken and why.

    Ends with 1 where label, sample or join would refuse the catalog.
    """
    from gzfeatures.galaxies.catalogs.catalog import Catalog

    label_meaning = label_words(missing_label, label_as_is)
    # examine the file besides reading it, because reading stops at the first problem
    report = Catalog.examine(catalog, image_root=images, id_column=id_column, words=label_meaning)
    result: dict[str, Any] = dataclasses.asdict(report)
    table = image_check = None
    if output is not None or images is not None:
        try:
            table = Catalog.read(catalog, id_column=id_column)
        except InputError:
            # go on without a table: this error is among the problems that the command prints
            if images is not None:
                say("the catalog's ids cannot be used, so every image is checked")
            if output is not None:
                say(
                    f"{output} is not written: the problems below keep the table from "
                    "being a catalog"
                )
    if output is not None and table is not None:
        from gzfeatures.galaxies.hats_catalogs.output import write_checked

        say(f"table written to {write_checked(table, output)}")
    if images is not None:
        from gzfeatures.images.image_set import ImageSet

        # check only images of the catalog's galaxies or, without usable ids, every image
        wanted = None if table is None else table.ids
        image_check = ImageSet.of(images, ids=wanted, on_missing="skip", reading=reading).check(
            progress=Terminal()
        )
        result["images"] = image_check.asdict()
        if line := warned(image_check):
            say(line)
    if as_json:
        show(result, as_json)
    else:
        print_columns(report)
        print_findings(report, image_check)
        print_verdict(report, catalog, images, image_check, id_column)
    # end with 1 to tell scripts that other commands would refuse this catalog
    if report.refused or (output is not None and table is None):
        raise typer.Exit(1)


@app.command(
    epilog=(
        "Example: gzfeatures label votes.csv --scheme zhu-5class --measure weighted -o labels.csv"
    )
)
@writes("output", "plot")
def label(
    catalog: CatalogFile,
    scheme: Scheme,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=csv_only, help="Label file to write (CSV)."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Picture of the number of galaxies per class: PNG, PDF or SVG."),
    ] = None,
    campaign: Campaign = None,
    measure: VoteMeasure = None,
    min_votes: MinVotes = 0,
    others: Others = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Turn vote fractions or gz2_class strings into classes, and print which votes were read.

    A galaxy is labelled by the campaign that asked it; a vote that is missing is unknown, never a
    "no".
    """
    from gzfeatures.galaxies.labels.classes_from_votes import without_class
    from gzfeatures.galaxies.splits.label_file import write_labels

    # print which votes were read, since the votes of two surveys cannot be compared
    labels = labelled(
        catalog_from(catalog, id_column), scheme, seed, campaign, measure, min_votes, others
    )
    if output is not None:
        write_labels(output, labels)
    # import matplotlib only for a plot, because the import is slow
    if plot is not None:
        from gzfeatures.figures.balance import balance_figure

        with written_whole(plot) as temporary:
            balance_figure(labels).savefig(temporary, dpi=150)
        say(f"class balance drawn in {plot}")
    # print the votes as JSON only, because a person has already read them on stderr
    result = {
        "scheme": labels.scheme,
        "galaxies": len(labels),
        "counts": labels.counts,
        "left_out": {reason: len(ids) for reason, ids in labels.left_out.items()},
        "conflicts": len(labels.conflicts),
        "without_class": without_class(labels),
        "votes": {} if labels.origin is None else dict(labels.origin.measures),
        "campaigns": {} if labels.origin is None else dict(labels.origin.galaxies),
        "few_votes": None if labels.origin is None else labels.origin.few,
    }
    show(result, as_json, hide=("votes", "campaigns", "few_votes"))
    if output is not None:
        say(f"labels written to {output}")
        say_next(f"gzfeatures extract {quote(output)} --images FOLDER -o table.parquet")
    else:
        say_next("name a file with -o: the other verbs read these labels from it")


@app.command(
    epilog=(
        "Example: gzfeatures sample hart16.fits --scheme gz2-4class --strategy "
        "volume-limited --per-class 400 --split 0.6/0.2/0.2 -o sample.csv"
    ),
)
@writes("output")
@reads_images
def sample(
    reading: Reading,
    catalog: CatalogFile,
    scheme: Scheme,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", callback=csv_only, help="Label file to write (CSV), with the split."
        ),
    ],
    strategy: Annotated[
        str,
        typer.Option(
            help="Kind of sample: random, low-redshift, or volume-limited (or -faithful)."
        ),
    ] = "random",
    per_class: Annotated[
        int | None, typer.Option(min=1, help="Number of galaxies per class.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Shares of training, validation and test galaxies.")
    ] = "0.7/0.1/0.2",
    images: MaybeImages = None,
    group_arcsec: Annotated[
        float,
        typer.Option(
            "--group-arcsec",
            "--neighbours",
            min=0,
            help="Galaxies closer than this on the sky stay in one part of the split.",
        ),
    ] = NEAR_ARCSEC,
    campaign: Campaign = None,
    measure: VoteMeasure = None,
    min_votes: MinVotes = 0,
    others: Others = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Draw a stratified sample of galaxies, with its train, validation and test split."""
    from gzfeatures.galaxies.splits.completeness import completeness
    from gzfeatures.galaxies.splits.label_file import write_labels
    from gzfeatures.galaxies.splits.related_galaxies import SAME_FILE
    from gzfeatures.galaxies.splits.split import PARTS, Split, shares
    from gzfeatures.verbs.catalogs import sampled

    galaxies = catalog_from(catalog, id_column)
    labels = labelled(galaxies, scheme, seed, campaign, measure, min_votes, others)
    labels, grouping = sampled(galaxies, labels, strategy, per_class, group_arcsec, seed)
    if images is not None:
        from gzfeatures.images.image_set import ImageSet

        image_set = ImageSet.of(images, ids=labels.ids, on_missing="skip", reading=reading)
        # group galaxies that share an image file; otherwise one could be trained on and another
        # tested
        grouping = grouping.joined(SAME_FILE, image_set.duplicate_groups())
    try:
        sizes = shares(split)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint="--split") from None
    drawn = Split.draw(labels, sizes, groups=grouping.groups, seed=seed)
    say(str(grouping))
    write_labels(output, labels, drawn)
    counts = {part: labels.select(getattr(drawn, part)).counts for part in PARTS}
    result: dict[str, Any] = {"counts": counts, "split": drawn.fingerprint}
    # tell down to which absolute magnitude a volume-limited sample is complete, which decides what
    # can be concluded from it
    if strategy.startswith("volume-limited"):
        complete = completeness(galaxies)
        result["complete_to"] = (
            None if complete is None else dataclasses.asdict(complete) | {"whole": complete.whole}
        )
        say(
            str(complete)
            if complete
            else "volume-limited: how far it is complete cannot be said without redshifts and M_r"
        )
    show(result, as_json, hide=("complete_to",))
    say(f"sample written to {output}")
    say_next(f"gzfeatures extract {quote(output)} --images FOLDER -o table.parquet")


@app.command(
    epilog=(
        "Example: gzfeatures join gz2_hart16.fits predictions.csv --on dr7objid=galaxy_id --all "
        "-o classified.fits"
    ),
)
@writes("output")
def join(
    catalog: CatalogFile,
    other: Annotated[
        Path,
        typer.Argument(
            metavar="OTHER", help="Catalog whose columns are added to those of the first."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Joined catalog to write: .parquet, .csv, .fits, .vot or .hats. FITS joined from "
            "FITS, and HATS from HATS, keep all that the first catalog stores.",
        ),
    ],
    on: Annotated[
        str | None,
        typer.Option(help="Key column in both catalogs: dr7objid=OBJID, or one name for both."),
    ] = None,
    sky: Annotated[
        float | None,
        typer.Option(
            help="Join by position instead: largest separation in arcsec of two galaxies that are "
            "each other's nearest."
        ),
    ] = None,
    keep_all: Annotated[
        bool,
        typer.Option("--all", help="Keep galaxies without a partner too, with empty cells."),
    ] = False,
    suffix: Annotated[
        str,
        typer.Option(
            help="Keep columns of OTHER that stand in the first catalog too, with this behind "
            "their names."
        ),
    ] = "",
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Join two catalogs by a key or by position; print how many rows matched, and which did not."""
    from gzfeatures.galaxies.catalogs.catalog_join import JoinKind, listed_names, shadows

    if (on is None) == (sky is None):
        raise typer.BadParameter("give --on or --sky, one of them")
    from gzfeatures.galaxies.hats_catalogs.output import write_catalog
    from gzfeatures.verbs.catalogs import described_rows
    from gzfeatures.verbs.partitioned import join_partitions, stays_partitioned

    kind = JoinKind(keep_all, suffix)
    if stays_partitioned(catalog, output):
        counts = join_partitions(catalog, other, output, on=on, sky=sky, kind=kind)
        if sky is not None:
            _say_pairs(counts.matched, sky, counts.by_chance or 0.0)
        if counts.shadowed:
            say(f"{other}: {listed_names(counts.shadowed)}")
        show(dataclasses.asdict(counts), as_json, hide=("shadowed",))
        say(f"{counts.partitions} partitions written to {output}")
        say_next(f"gzfeatures check {quote(output)}")
        return
    left, _, right = (on or "").partition("=")
    # a single name means the same key column in both tables
    right = right or left
    beside = described_rows(other, (right,) if right else ())
    for note in beside.frame.attrs["notes"]:
        say(f"{other}: {note}")
    galaxies = catalog_from(catalog, id_column, keys=(left,) if left else ())
    report: JoinReport | SkyReport
    if sky is None:
        joined, report = galaxies.join(beside, left, right, kind)
        if report.keyless:
            say(f"{report.keyless} galaxies have no {left} and match nothing")
    else:
        joined, report = galaxies.join_sky(beside, sky, kind=kind)
        _say_sky(report)
    if report.shadowed:
        say(f"{other}: {shadows(report)}")
    place = write_catalog(joined, output, galaxies)
    show(dataclasses.asdict(report), as_json, hide=("shadowed", "forgone"))
    say(f"catalog written to {place}")
    say_next(f"gzfeatures check {quote(output)}")


def _say_sky(report: SkyReport) -> None:
    """Print how many galaxies a join by sky position matched, and how many chance would match."""
    if report.placeless:
        say(f"{report.placeless} galaxies have no position and match nothing")
    _say_pairs(report.matched, report.radius_arcsec, report.by_chance)


def _say_pairs(matched: int, arcsec: float, by_chance: float) -> None:
    """Print the number of pairs of a join by sky position, beside that expected by chance."""
    say(
        f"{matched} pairs within {arcsec:g} arcsec, each the other's nearest; "
        f"by chance {by_chance:.2%} of the galaxies would have a neighbour so near "
        "(positions shifted four ways). Epochs and proper motions are not corrected"
    )


@app.command(
    epilog="Example: gzfeatures cutouts catalog.fits -o images/ --survey sdss, or from tiles: "
    "gzfeatures cutouts catalog.fits -o images/ --tiles mosaics/ --bands g,r,z"
)
@writes(folder="output")
def cutouts(
    catalog: CatalogFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for the images; images that it already holds are kept."
        ),
    ],
    survey: Annotated[
        str | None,
        typer.Option(
            help="Survey: sdss (default), legacy, legacy-fits, skyview or hips; hips:ID is any "
            "HiPS, such as hips:CDS/P/DSS2/color."
        ),
    ] = None,
    tiles: Annotated[
        Path | None,
        typer.Option(
            help="In place of a survey: folder of FITS tiles to cut from, north up; their headers "
            "name the band (FILTER)."
        ),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="With --tiles: bands, e.g. g,r,z; default: all.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Another web address of the same service.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Number of downloads at the same time.")
    ] = 8,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Arcseconds per pixel; default: from each galaxy's Petrosian radius, or that of "
            "the tiles."
        ),
    ] = None,
    pixels: Annotated[
        int | None, typer.Option(help="Side of a cutout in pixels; default: the survey's.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Requests per second; default: a polite rate for the survey."),
    ] = None,
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Download cutouts from a survey, or cut them out of its tiles; verify every file; resume."""
    if tiles is not None and (survey, base_url, rate) != (None, None, None):
        raise typer.BadParameter(
            "it goes without --survey, --base-url and --rate", param_hint="--tiles"
        )
    if tiles is None and bands is not None:
        raise typer.BadParameter("it goes with --tiles", param_hint="--bands")
    from gzfeatures.verbs.catalogs import cutouts as cut

    report = cut(
        catalog_from(catalog, id_column),
        output,
        survey or "sdss",
        tiles=tiles,
        bands=None if bands is None else tuple(bands.split(",")),
        base_url=base_url,
        workers=workers,
        scale=scale,
        pixels=pixels,
        rate=rate,
        progress=Terminal(),
    )
    show(report.asdict(), as_json, hide=("moved", "unplaced"))
    if report.moved:
        galaxies = "1 galaxy has" if report.moved == 1 else f"{report.moved} galaxies have"
        whose = "its cutout was" if report.moved == 1 else "their cutouts were"
        say(f"{galaxies} a new position or scale in the catalog: {whose} made again")
    if report.unplaced:
        say(
            f"positions of {report.unplaced} cutouts that were there already are unknown; if those "
            "of the catalog have changed, move these files away and call again"
        )
    say(f"images are in {output}")
    named = "" if id_column is None else f" --id {quote(id_column)}"
    say_next(
        f"gzfeatures extract {quote(catalog)}{named} --images {quote(output)} -o table.parquet"
    )
