"""Define the verb `find`, which ranks galaxies by words of the Galaxy Zoo decision tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gzfeatures.cli.console import app, say, show
from gzfeatures.cli.inputs import catalog_from
from gzfeatures.cli.options import IdColumn, Json, MaybeImages, TableFile
from gzfeatures.cli.reading import reads_images, shown_from
from gzfeatures.cli.verbs.explore import Csv, Gallery, draw_gallery
from gzfeatures.cli.writing import writes

if TYPE_CHECKING:
    from gzfeatures.images.reading import Reading


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
    frame = found(table, words, k, labels=votes)
    say(f"ranked by {frame.attrs['words']}")
    if seen := int(frame["seen"].sum()):
        say(f"{seen} of {len(frame)} galaxies trained the backbone: it is too sure of them")
    if output is not None:
        say(f"{len(frame)} rows written to {write_csv(frame, output)}")
    captions = [f"{score:.2f}" for score in frame["score"]]
    draw_gallery(frame, captions, gallery, shown_from(images, reading))
    show({"galaxies": frame.to_dict("records"), "words": frame.attrs["words"]}, as_json)
