"""Verbs for looking: map, similar, odd, duplicates, doubt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gzfeatures.cli.console import Json, LabelsFile, MaybeImages, MaybeLabels, Seed, TableFile, app, say, show

if TYPE_CHECKING:
    import pandas as pd

Csv = Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write; a catalog can be joined with it.")]
Gallery = Annotated[Path | None, typer.Option("--gallery", help="Pictures as .html or .png; needs --images.")]


def _give(
    frame: pd.DataFrame,
    captions: list[str],
    output: Path | None,
    gallery: Path | None,
    images: Path | None,
    as_json: bool,
) -> None:
    """Write the CSV and the gallery of a verb, print its first rows."""
    from gzfeatures.galaxies.tables import write_csv
    from gzfeatures.results.showcase import write_showcase

    if output is not None:
        say(f"{len(frame)} rows written to {write_csv(frame, output)}")
    if gallery is not None:
        if images is None:
            raise typer.BadParameter("a gallery needs --images")
        tiles = list(zip(frame["galaxy_id"].head(100), captions, strict=False))
        say(f"gallery drawn in {write_showcase(gallery, {gallery.stem: tiles}, images)}")
    show({"rows": frame.to_dict("records")}, as_json)


@app.command(
    "map",
    epilog="Example: gzfeatures map table.parquet --labels labels.csv --images images/ -o map.html",
)
def map_(
    table: TableFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML to write; coordinates go beside it.")],
    labels: MaybeLabels = None,
    images: MaybeImages = None,
    catalog: Annotated[Path | None, typer.Option(help="Catalog whose columns can colour the map.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Also a figure for a paper: .png, .pdf or .svg.")] = None,
    kind: Annotated[Literal["points", "images", "density"], typer.Option(help="What the figure shows.")] = "points",
    neighbours: Annotated[int, typer.Option(min=2, help="UMAP's n_neighbors.")] = 15,
    supervised: Annotated[bool, typer.Option("--supervised", help="Let the labels pull classes together.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw the UMAP of a table, with thumbnails, in one offline HTML."""
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.galaxies.catalog import Catalog
    from gzfeatures.galaxies.labelfile import read_labels
    from gzfeatures.results.mapfigures import write_figure
    from gzfeatures.results.maps import project

    known = None if labels is None else read_labels(labels)[0]
    chart = project(EmbeddingTable.read(table), known, seed=seed, n_neighbors=neighbours, supervised=supervised)
    coordinates = chart.write(output.with_suffix(".parquet"))
    columns = None if catalog is None else Catalog.read(catalog).frame
    say(f"map written to {chart.write_html(output, labels=known, images=images, catalog=columns)}")
    if figure is not None:
        say(f"figure written to {write_figure(figure, chart, kind, labels=known, images=images, seed=seed)}")
    show({"rows": len(chart.ids), **chart.quality, "coordinates": coordinates}, as_json)


@app.command(
    epilog="Example: gzfeatures similar table.parquet 100053 --images images/ --gallery similar.png",
)
def similar(
    table: TableFile,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Galaxies asked about.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours of each.")] = 10,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    as_json: Json = False,
) -> None:
    """Find the galaxies that look most like these."""
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.results.neighbours import similar as similar_galaxies

    frame = similar_galaxies(EmbeddingTable.read(table), ids, k)
    captions = [f"{rank} from {query}" for rank, query in zip(frame["rank"], frame["query"], strict=True)]
    _give(frame, captions, output, gallery, images, as_json)


@app.command(epilog="Example: gzfeatures odd table.parquet -o odd.csv --images images/ --gallery odd.html")
def odd(
    table: TableFile,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Rank galaxies from the oddest to the most ordinary."""
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.results.oddity import odd as odd_galaxies

    frame = odd_galaxies(EmbeddingTable.read(table), seed=seed)
    _give(frame, [f"score {score:.3f}" for score in frame["score"]], output, gallery, images, as_json)


@app.command(epilog="Example: gzfeatures duplicates table.parquet -o duplicates.csv")
def duplicates(
    table: TableFile,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    as_json: Json = False,
) -> None:
    """Find galaxies that stand in the table twice."""
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.results.neighbours import duplicates as duplicate_galaxies

    frame = duplicate_galaxies(EmbeddingTable.read(table))
    _give(frame, [f"twin of {twin}" for twin in frame["twin"]], output, gallery, images, as_json)


@app.command(
    epilog="Example: gzfeatures doubt table.parquet --labels labels.csv -o doubt.csv --next next.csv",
)
def doubt(
    table: TableFile,
    labels: LabelsFile,
    head: Annotated[str, typer.Option("--head", "-H", help="Head that judges what it was not fitted on.")] = "svm",
    next_: Annotated[Path | None, typer.Option("--next", help="CSV of unlabelled galaxies worth a look next.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many of those.")] = 50,
    output: Csv = None,
    images: MaybeImages = None,
    gallery: Gallery = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find labels that are probably wrong, and the galaxies most worth a human look."""
    import numpy as np

    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.galaxies.labelfile import read_labels
    from gzfeatures.galaxies.splits import Split
    from gzfeatures.galaxies.tables import write_csv
    from gzfeatures.heads.fit import fit
    from gzfeatures.heads.outofsample import out_of_sample
    from gzfeatures.results.doubt import doubt as doubtful
    from gzfeatures.results.doubt import next_looks

    vectors, (known, _) = EmbeddingTable.read(table), read_labels(labels)
    frame = doubtful(known, out_of_sample(vectors, known, head, seed=seed))
    frame = frame[frame["doubtful"]]
    if next_ is not None:
        both = np.isin(vectors.ids, known.ids)
        fitted = fit(vectors, known, head, split=Split(vectors.ids[both], none := known.ids[:0], none), seed=seed)
        open_ = vectors.select(vectors.ids[~both])
        looks = next_looks(fitted.predict(open_), open_, count)
        say(f"unlabelled galaxies to look at written to {write_csv(looks, next_)}")
    captions = [f"{said}, looks {seen}" for said, seen in zip(frame["label"], frame["suggested"], strict=True)]
    _give(frame, captions, output, gallery, images, as_json)
