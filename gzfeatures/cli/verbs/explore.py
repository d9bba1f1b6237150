"""Define the commands that search an embedding table: similar, odd, doubt, explain, audit, …."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import (
    catalog_from,
    labels_from,
    labels_if_given,
    selected_ids,
    table_from,
)
from gzfeatures.cli.options import (
    IdColumn,
    Images,
    Json,
    LabelAsIs,
    LabelsFile,
    MaybeImages,
    MaybeLabels,
    MissingLabel,
    Seed,
    Selection,
    TableFile,
    csv_only,
)
from gzfeatures.cli.reading import reads_images, shown_from
from gzfeatures.cli.several_words import SeveralWords
from gzfeatures.cli.writing import writes
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    import pandas as pd

    from gzfeatures.explore.cells.cell_index import CellIndex
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading

Csv = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        callback=csv_only,
        help="CSV file to write; it can be joined with a catalog.",
    ),
]
Gallery = Annotated[
    Path | None,
    typer.Option(
        "--gallery", help="Gallery of the galaxies to write, .html or .png; needs --images."
    ),
]


def _give(
    frame: pd.DataFrame,
    captions: list[str],
    output: Path | None,
    gallery: Path | None,
    images: ImageSet | None,
    as_json: bool,
    *steps: str,
) -> None:
    """Print galaxies that a search found; write them as CSV and gallery; suggest next steps."""
    if output is not None:
        from gzfeatures.tablefiles.tables import write_csv

        write_csv(frame, output)
    draw_gallery(frame, captions, gallery, images)
    show({"rows": frame.to_dict("records")}, as_json)
    say_given(len(frame), output, gallery, *steps)


def say_given(rows: int, output: Path | None, gallery: Path | None, *steps: str) -> None:
    """Print which files a search wrote, and what the user may do next."""
    if output is not None:
        say(f"{rows} rows written to {output}")
    if gallery is None:
        say_next("--images FOLDER --gallery PAGE.html shows their pictures", *steps)
        return
    say(f"gallery drawn in {gallery}")
    say_next(f"open {gallery}", *steps)


def draw_gallery(
    frame: pd.DataFrame, captions: list[str], gallery: Path | None, images: ImageSet | None
) -> None:
    """Draw a gallery of the first hundred galaxies of a result, if the user asked for one."""
    if gallery is None:
        return
    # import only here: this module imports all readers of images, which takes time
    from gzfeatures.figures.gallery import Gallery, tiles

    if images is None:
        raise typer.BadParameter("a gallery needs --images")
    pictures = tiles(images, zip(frame["galaxy_id"].head(100), captions, strict=False))
    Gallery("Galaxies", "", {gallery.stem: pictures}).write(gallery)


@app.command(
    cls=SeveralWords,
    epilog=(
        "Example: gzfeatures similar table.parquet 100053 --images images/ --gallery similar.png; "
        "gzfeatures similar table.parquet --like 100053 mine.jpg --unlike 100078"
    ),
)
@writes("output", "gallery")
@reads_images
def similar(
    reading: Reading,
    table: TableFile,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID…]", help="Galaxies, each with neighbours of its own."),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            metavar="EXAMPLE…",
            help="Examples asked about together: ids, image files, or a selection (a file of ids).",
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--unlike", metavar="EXAMPLE…", help="Counterexamples, given as --like."),
    ] = None,
    selection: Annotated[
        Path | None,
        typer.Option("--ids", metavar="FILE", help="Selection whose galaxies are examples."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of galaxies to find.")] = 10,
    index: Annotated[
        Path | None,
        typer.Option(
            "--index", help="Index of the table, by 'table index'; searched in its place."
        ),
    ] = None,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    as_json: Json = False,
) -> None:
    """Find the galaxies whose embeddings are nearest to those of given galaxies."""
    from gzfeatures.verbs.explore import similar as similar_galaxies

    like = [*(like or ()), *([] if selection is None else selected_ids(selection))]
    if bool(ids) == bool(like) or (ids and unlike):
        raise typer.BadParameter(
            "give ids of galaxies, or examples with --like", param_hint="ID… or --like"
        )
    if index is not None and like:
        raise typer.BadParameter(
            "an index goes with ids of galaxies, each with its own neighbours; leave it out with "
            "--like, --unlike and --ids",
            param_hint="--index",
        )
    frame = similar_galaxies(
        table, ids or (), k, like=like, unlike=unlike or (), index=index, reading=reading
    )
    if index is not None:
        say(f"index: finds {frame.attrs['recall']:.1%} of the ten nearest, measured when built")
    captions = [f"{rank}" for rank in frame["rank"]]
    if "query" in frame:
        captions = [
            f"{rank} from {query}" for rank, query in zip(captions, frame["query"], strict=True)
        ]
    _give(frame, captions, output, gallery, shown_from(images, reading), as_json)


IndexOfAll = Annotated[
    Path | None,
    typer.Option("--index", help="Index of the table, by 'table index'; its near cells compared."),
]


def _with_index(
    table: Path, selection: Path | None, index: Path | None
) -> tuple[EmbeddingTable, CellIndex | None]:
    """Return a table or some rows of it, and the index of the whole table, if one is given."""
    if index is None:
        return table_from(table, selection), None
    if selection is not None:
        raise typer.BadParameter(
            "an index is of the whole table; leave it out with --ids", param_hint="--index"
        )
    from gzfeatures.explore.cells.cell_index import read_with_index
    from gzfeatures.features.table import EmbeddingTable

    return read_with_index(EmbeddingTable.open(table), index)


def _say_recall(frame: pd.DataFrame, index: Path | None) -> None:
    """Print which share of the true nearest galaxies the index found; nothing without an index.

    The share was measured on a sample of galaxies.
    """
    if index is not None:
        say(f"index: {frame.attrs['recall']:.1%} of the nearest galaxies found, on a sample")


@app.command(
    epilog="Example: gzfeatures odd table.parquet -o odd.csv --images images/ --gallery odd.html"
)
@writes("output", "gallery")
@reads_images
def odd(
    reading: Reading,
    table: TableFile,
    selection: Selection = None,
    index: IndexOfAll = None,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Rank galaxies by how much they differ from the others, the most unusual first."""
    from gzfeatures.explore.anomalies import anomalies as odd_galaxies

    vectors, cells = _with_index(table, selection, index)
    frame = odd_galaxies(vectors, cells=cells, seed=seed, progress=Terminal())
    _say_recall(frame, index)
    captions = [f"score {score:.3f}" for score in frame["score"]]
    _give(frame, captions, output, gallery, shown_from(images, reading), as_json)


@app.command(epilog="Example: gzfeatures duplicates table.parquet -o duplicates.csv")
@writes("output", "gallery")
@reads_images
def duplicates(
    reading: Reading,
    table: TableFile,
    selection: Selection = None,
    index: IndexOfAll = None,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    as_json: Json = False,
) -> None:
    """Find galaxies that appear twice in the table, with two ids."""
    from gzfeatures.explore.duplicates import duplicates as duplicate_galaxies

    vectors, cells = _with_index(table, selection, index)
    frame = duplicate_galaxies(vectors, cells=cells, progress=Terminal())
    _say_recall(frame, index)
    _give(
        frame,
        [f"twin of {twin}" for twin in frame["twin"]],
        output,
        gallery,
        shown_from(images, reading),
        as_json,
        f"gzfeatures fit {quote(table)} --labels LABELS --head svm --group-duplicates",
    )


@app.command(
    epilog=(
        "Example: gzfeatures doubt table.parquet --labels labels.csv -o doubt.csv --next next.csv"
    ),
)
@writes("output", "gallery", "next_")
@reads_images
def doubt(
    reading: Reading,
    table: TableFile,
    labels: LabelsFile,
    head: Annotated[
        str,
        typer.Option("--head", "-H", help="Head that predicts galaxies outside its training set."),
    ] = "svm",
    next_: Annotated[
        Path | None,
        typer.Option(
            "--next",
            callback=csv_only,
            help="CSV file of unlabelled galaxies that should be labelled next.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of galaxies in --next.")] = 50,
    selection: Selection = None,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Find labels that are probably wrong, and the unlabelled galaxies most worth a human look."""
    from gzfeatures.tablefiles.tables import write_csv
    from gzfeatures.verbs.explore import doubt as doubtful
    from gzfeatures.verbs.explore import label_next

    vectors, (labelled, _) = (
        table_from(table, selection),
        labels_from(labels, missing_label, label_as_is, id_column),
    )
    say(str(vectors.grouping))
    frame = doubtful(vectors, labelled, head, seed=seed)
    if next_ is not None:
        queries = label_next(vectors, labelled, head, count, seed=seed)
        write_csv(queries, next_)
    captions = [
        f"{label}, looks {suggested}"
        for label, suggested in zip(frame["label"], frame["suggested"], strict=True)
    ]
    step = f"gzfeatures teach {quote(table)} --images FOLDER --labels mine.csv"
    if next_ is not None:
        say(f"unlabelled galaxies to label next written to {next_}")
    _give(frame, captions, output, gallery, shown_from(images, reading), as_json, step)


@app.command(
    epilog=(
        "Example: gzfeatures explain checkpoint/ 100053 --images images/ --head "
        "heads/svm.skops -o why.html"
    ),
)
@writes("output")
@reads_images
def explain(
    reading: Reading,
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="Checkpoint folder; with --head, any backbone.")
    ],
    images: Images,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Gallery to write: .html or .png.")
    ],
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID…]", help="Galaxies to explain; default: the prototypes."),
    ] = None,
    head: Annotated[
        Path | None, typer.Option("--head", "-H", help="Head to explain, written by 'fit'.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file, for a backbone without weights of its own.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Embedding table from which the prototypes of each class are chosen."),
    ] = None,
    labels: MaybeLabels = None,
    selection: Annotated[
        Path | None,
        typer.Option("--ids", metavar="FILE", help="Selection whose galaxies are explained."),
    ] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Number of prototypes per class.")] = 3,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="grad-cam, integrated-gradients or occlusion; repeat for more. Default: all."
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option("--class", help="Class to explain; default: the most probable class."),
    ] = None,
    layers: Annotated[
        bool,
        typer.Option("--layers", help="Show also what each layer responds to in the first galaxy."),
    ] = False,
    dreams: Annotated[
        bool, typer.Option("--dreams", help="Show also an image that maximises each class.")
    ] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help="Compare each method with the bright part of the image: insertion − deletion.",
        ),
    ] = True,
    seed: Seed = 0,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Show which pixels decide the class that a network, or a head on its embeddings, predicts."""
    from gzfeatures.experiment.figures import Classifier
    from gzfeatures.experiment.figures import explain as explained
    from gzfeatures.ids import as_ids
    from gzfeatures.images.image_set import ImageSet

    named = [*(ids or ()), *([] if selection is None else selected_ids(selection))]
    # without ids, typical galaxies (prototypes) of each class are explained; to choose them takes a
    # table and labels
    explanation = explained(
        Classifier(network, weights, table, head),
        ImageSet.of(images, reading=reading),
        as_ids(named) if named else None,
        labels=labels_if_given(labels, missing_label, label_as_is, id_column),
        per_class=per_class,
        target=class_,
        methods=tuple(method or ()),
        layers=layers,
        dreams=dreams,
        seed=seed,
        measure=measure,
    )
    gallery, verdict = explanation.gallery, explanation.verdict
    # print the main result first: whether the explanations are better than a map of brightness
    if verdict is not None:
        say(verdict.sentence())
    elif measure:
        say("insertion − deletion is not measured: the network gives no class probabilities")
    gallery.write(output)
    show(
        {
            "sections": {
                heading: [picture.name for picture in pictures]
                for heading, pictures in gallery.sections.items()
            },
            **({} if verdict is None else verdict.result()),
        },
        as_json,
    )
    say(f"gallery drawn in {output}")
    say_next(f"open {output}")


@app.command(
    epilog=("Example: gzfeatures audit table.parquet --catalog gz2.csv --images images/ -o audit/"),
)
@writes(folder="output")
@reads_images
def audit(
    reading: Reading,
    table: TableFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for page, numbers and finished steps, which are reused."
        ),
    ],
    catalog: Annotated[
        Path | None,
        typer.Option(help="Catalog with nuisances and positions; its votes are the morphology."),
    ] = None,
    labels: MaybeLabels = None,
    nuisance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Catalog column that the vectors should not know; repeat for more. Default: "
            "redshift, magnitudes, sizes, seeing, sky, survey, camera column by their usual names.",
        ),
    ] = None,
    images: MaybeImages = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Where the table's encoder lies, if its name does not say it."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file of the encoder, if it has none of its own.")
    ] = None,
    sample: Annotated[
        int, typer.Option(min=2, help="Number of galaxies whose images are changed.")
    ] = 200,
    draws: Annotated[
        int, typer.Option(min=19, help="Number of draws of chance for each nuisance.")
    ] = 200,
    selection: Selection = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Measure what an encoder knows that it should not: redshift, seeing, JPEG quality, …."""
    from gzfeatures.audit.audit import AuditOptions
    from gzfeatures.audit.findings import NUMBERS, PAGE
    from gzfeatures.audit.movement import Rerun
    from gzfeatures.verbs.audits import audit as audited

    known = labels_if_given(labels, missing_label, label_as_is, id_column)
    found = audited(
        table_from(table, selection),
        known,
        catalog=None if catalog is None else catalog_from(catalog, id_column),
        images=shown_from(images, reading),
        options=AuditOptions(
            tuple(nuisance or ()), draws, seed, Rerun(backbone, weights, sample=sample)
        ),
        output=output,
        progress=Terminal(),
    )
    say(found.verdict)
    if as_json:
        show(found.asdict(), as_json)
        return
    brief = {
        "nuisances": found.rows(),
        "images that change": [row.asdict() for row in found.movements],
        "near duplicates": found.duplicates.get("pairs"),
        "training galaxies": found.training.sentence,
        "not judged": [f"{what} ({why})" for what, why in found.not_judged],
    }
    show(brief, as_json)
    say(f"page written to {output / PAGE}, numbers to {output / NUMBERS}")
    say_next("open the page in a browser", "audit another layer, view or encoder, and compare")
