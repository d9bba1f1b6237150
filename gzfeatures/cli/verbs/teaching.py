"""Define the verb `teach`, which serves a page on which heads are taught."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gzfeatures.cli.console import app, say
from gzfeatures.cli.options import Json, MaybeImages, Seed, TableFile
from gzfeatures.cli.reading import reads_images, shown_from
from gzfeatures.cli.writing import writes
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.images.reading import Reading


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
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 = any free one.")
    ] = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Serve a page on 127.0.0.1 on which galaxies are labelled and heads learn from the labels."""
    import json

    from gzfeatures.teaching.answers_file import AnswersFile
    from gzfeatures.verbs.teaching import teach as serve

    shown = shown_from(images, reading)
    try:
        serve(table, shown, labels, map=map_, port=port, seed=seed, say=say, progress=Terminal())
    finally:
        if as_json:
            answers = AnswersFile(labels).answers.values()
            rounds = len({answer.round for answer in answers})
            typer.echo(json.dumps({"labels": len(answers), "rounds": rounds}))
