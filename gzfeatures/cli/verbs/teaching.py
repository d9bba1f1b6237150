"""Define the commands `teach`, a web page to label galaxies, and `find`, a search by words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import catalog_from, table_from
from gzfeatures.cli.options import IdColumn, Json, MaybeImages, Seed, Selection, TableFile
from gzfeatures.cli.reading import reads_images, shown_from
from gzfeatures.cli.verbs.experiments import Upgrade, Uri, tracking_at
from gzfeatures.cli.verbs.explore import Csv, Gallery, draw_gallery, say_given
from gzfeatures.cli.writing import writes
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.images.reading import Reading
    from gzfeatures.tracking.later.campaigns import CampaignRecord


@app.command(
    epilog="Example: gzfeatures teach table.parquet --images images/ --labels mine.csv",
)
@writes("labels", known=False)
@reads_images
def teach(
    reading: Reading,
    table: TableFile,
    labels: Annotated[
        Path,
        typer.Option(
            "--labels", help="Label file (CSV) that is made, or continued: every click is kept."
        ),
    ] = Path("labels.csv"),
    images: MaybeImages = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="Coordinates that 'map' wrote (.map.parquet); default: new."),
    ] = None,
    catalog: Annotated[
        Path | None,
        typer.Option(help="Catalog whose columns can colour the map; ra and dec show the sky."),
    ] = None,
    id_column: IdColumn = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 = any free one.")
    ] = 0,
    selection: Selection = None,
    seed: Seed = 0,
    tracking_uri: Uri = None,
    upgrade: Upgrade = False,
    as_json: Json = False,
) -> None:
    """Serve a page on 127.0.0.1 on which galaxies are labelled and heads learn from the labels."""
    import json

    from gzfeatures.teaching.answers_file import AnswersFile
    from gzfeatures.verbs.teaching import teach as serve

    shown = shown_from(images, reading)
    recorder = _recorder(labels, tracking_uri, upgrade)
    try:
        serve(
            table_from(table, selection),
            shown,
            labels,
            map=map_,
            catalog=None if catalog is None else catalog_from(catalog, id_column),
            port=port,
            seed=seed,
            say=say,
            on_round=recorder,
            progress=Terminal(),
            widget=False,
        )
    finally:
        if recorder is not None:
            recorder.close()
        if as_json:
            answers = AnswersFile(labels).answers.values()
            rounds = len({answer.round for answer in answers})
            typer.echo(json.dumps({"labels": len(answers), "rounds": rounds}))
    say_next(f"gzfeatures fit {quote(table)} --labels {quote(labels)} --head svm --head logistic")


def _recorder(labels: Path, uri: str | None, upgrade: bool) -> CampaignRecord | None:
    """Open the MLflow record of rounds of labelling; if impossible, say so and return None."""
    from gzfeatures.errors import OutputError
    from gzfeatures.tracking.connection import without_mlflow

    if lacking := without_mlflow():
        say(f"rounds are not recorded: {lacking}")
        return None
    from gzfeatures.tracking.later.campaigns import CampaignRecord

    try:
        return CampaignRecord(tracking_at(uri, upgrade), f"teach {labels.stem}", say)
    except OutputError as error:
        # go on without a record: hours of labelling must not be lost because a server fails
        say(f"rounds are not recorded: {error}")
        return None


@app.command(
    epilog=(
        'Example: gzfeatures find table.parquet "edge-on, no bulge, odd: ring" -o found.csv '
        "--images images/ --gallery found.html"
    ),
)
@writes("output", "gallery")
@reads_images
def find(
    reading: Reading,
    table: TableFile,
    words: Annotated[
        str,
        typer.Argument(
            metavar="WORDS", help="Answers of the decision tree, joined by commas, and, or, not."
        ),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="Number of galaxies to list.")] = 20,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Catalog with votes of some galaxies, for tables of a backbone without a head.",
        ),
    ] = None,
    selection: Selection = None,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Rank the galaxies of a table by words such as "edge-on, no bulge" or "spiral, not bar"."""
    from gzfeatures.tablefiles.tables import write_csv
    from gzfeatures.verbs.teaching import find as found

    votes = None if labels is None else catalog_from(labels, id_column)
    frame = found(table_from(table, selection), words, k, labels=votes)
    say(f"ranked by {frame.attrs['words']}")
    if seen := int(frame["seen"].sum()):
        say(f"{seen} of {len(frame)} galaxies trained the backbone: it is too sure of them")
    if output is not None:
        write_csv(frame, output)
    captions = [f"{score:.2f}" for score in frame["score"]]
    draw_gallery(frame, captions, gallery, shown_from(images, reading))
    show(
        {"galaxies": frame.to_dict("records"), "words": frame.attrs["words"]},
        as_json,
        hide=("words",),
    )
    say_given(len(frame), output, gallery)
