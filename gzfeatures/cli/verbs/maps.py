"""Define the command `map`, which draws a map (UMAP) of an embedding table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gzfeatures.brief import wrapped
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import catalog_from, labels_if_given, table_from
from gzfeatures.cli.options import (
    IdColumn,
    Json,
    LabelAsIs,
    MaybeImages,
    MaybeLabels,
    MissingLabel,
    Seed,
    Selection,
    TableFile,
)
from gzfeatures.cli.reading import reads_images, shown_from
from gzfeatures.cli.writing import Given, writes
from gzfeatures.errors import InputError
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    import pandas as pd

    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.ids import Ids
    from gzfeatures.images.reading import Reading
    from gzfeatures.maps.umap import Map, MapOptions


MEANING = """trustworthiness: how near the neighbours on the map are in the vectors; 1 is best
knn preservation: share of the nearest in the vectors that stay nearest on the map
silhouette: how far a class keeps to itself on the map, from -1 to 1; 0 is mixed"""
"""Explanation of a map's quality numbers, printed below these numbers."""


def _by_stem(paths: list[Path] | None) -> dict[str, Path]:
    """Return files by their name without ending, or by their whole path if names repeat."""
    paths = paths or []
    unique = len({path.stem for path in paths}) == len(paths)
    return {path.stem if unique else str(path): path for path in paths}


def _offered(
    catalog: Catalog | None, names: list[str] | None, mapped: Ids | None, all_: Ids
) -> pd.DataFrame | None:
    """Return the catalog columns that can colour a map, and which galaxies are new on it."""
    import pandas as pd

    from gzfeatures.ids import among
    from gzfeatures.maps.columns import offered

    columns = None if catalog is None else offered(catalog, names)
    if mapped is None:
        return columns
    placed = pd.DataFrame({"galaxy_id": all_, "placed": ~among(all_, mapped)})
    if columns is None:
        return placed
    # galaxies that the catalog lacks have missing values: as floats, whole numbers would lose
    # digits, and booleans would become texts
    kinds = pd.api.types
    exact = {
        str(name): values.convert_dtypes()
        for name, values in columns.items()
        if kinds.is_integer_dtype(values) or kinds.is_bool_dtype(values)
    }
    return columns.assign(**exact).merge(placed, how="right", on="galaxy_id")


def _mapped(
    table: EmbeddingTable,
    labels: Labels | None,
    options: MapOptions,
    further_seeds: int,
) -> Map:
    """Compute a new map of an embedding table; maps of further seeds measure its stability."""
    from gzfeatures.maps.umap import project

    first = options.seed + 1
    seeds = range(first, first + further_seeds)
    return project(table, labels, options, progress=Terminal(), stability_seeds=seeds)


def _mapped_beside(
    paths: list[Path] | None, labels: Labels | None, options: MapOptions
) -> dict[str, Map]:
    """Compute a map of each further table, which the page aligns with the first by Procrustes."""
    from gzfeatures.features.table import EmbeddingTable

    named = _by_stem(paths)
    return {
        name: _mapped(EmbeddingTable.read(path), labels, options, 0) for name, path in named.items()
    }


def _coordinates(page: Path) -> Path:
    """Return the path of the coordinate file beside a map page, `PAGE.map.parquet`."""
    return page.with_suffix(".map.parquet")


def _beside(arguments: Given) -> list[Path]:
    if arguments["output"].suffix.lower() not in (".html", ".htm"):
        raise InputError("map", where=arguments["output"], rule="end in .html")
    return [_coordinates(arguments["output"])]


@app.command(
    "map",
    epilog=(
        "Example: gzfeatures map table.parquet --labels labels.csv --images images/ "
        "--catalog gz2.csv --predictions svm.csv -o map.html"
    ),
)
@writes("output", "figure", beside=_beside)
@reads_images
def map_(
    reading: Reading,
    table: TableFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="HTML page to write; coordinates are written next to it, as .map.parquet.",
        ),
    ],
    labels: MaybeLabels = None,
    images: MaybeImages = None,
    catalog: Annotated[
        Path | None, typer.Option(help="Catalog whose columns can colour the map.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Catalog column to offer as colours; repeat for more. Default: all."),
    ] = None,
    predictions: Annotated[
        list[Path] | None, typer.Option(help="Predictions to offer as colours; repeat for more.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Another table; its map is aligned with the first; repeat for more."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="Existing map (.parquet) into which the galaxies are placed."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Figure for a paper to write: .png, .pdf or .svg.")
    ] = None,
    kind: Annotated[
        Literal["points", "images", "density"], typer.Option(help="Content of the figure.")
    ] = "points",
    width: Annotated[
        Literal["column", "page"],
        typer.Option(help="Width of the figure: a column or a page of a journal."),
    ] = "column",
    neighbours: Annotated[
        int, typer.Option(min=2, help="Number of neighbours in UMAP (n_neighbors).")
    ] = 15,
    min_dist: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Smallest distance between galaxies on the map (min_dist)."
        ),
    ] = 0.1,
    dimensions: Annotated[
        int, typer.Option(min=2, max=3, help="Number of dimensions of the map.")
    ] = 2,
    metric: Annotated[
        Literal["euclidean", "cosine"], typer.Option(help="Distance between embeddings.")
    ] = "euclidean",
    supervised: Annotated[
        bool,
        typer.Option("--supervised", help="Let the labels pull the galaxies of a class together."),
    ] = False,
    stability: Annotated[
        int, typer.Option(min=0, help="Number of further seeds, to measure how stable the map is.")
    ] = 0,
    sky: Annotated[
        bool,
        typer.Option("--sky", help="Show the galaxies on the sky too; --catalog has ra and dec."),
    ] = False,
    selection: Selection = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Draw the UMAP of a table, with thumbnails, in one offline HTML page."""
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.experiment.prediction import answers_of
    from gzfeatures.maps.figures import write_figure
    from gzfeatures.maps.umap import Map, MapOptions

    class_labels = labels_if_given(labels, missing_label, label_as_is, id_column)
    vectors = table_from(table, selection)
    options = MapOptions(
        seed=seed,
        n_neighbors=neighbours,
        min_dist=min_dist,
        dimensions=dimensions,
        metric=metric,
        supervised=supervised,
    )
    # place galaxies on the old map, if there is one, so that both share coordinates and can be
    # compared
    old = None if into is None else Map.read(into)
    fresh = (
        _mapped(vectors, class_labels, options, stability) if old is None else old.place(vectors)
    )
    coordinates = fresh.write(_coordinates(output))
    chart = fresh if old is None else old.joined(fresh)
    source = None if catalog is None else catalog_from(catalog, id_column)
    columns = _offered(source, column, None if old is None else old.ids, chart.ids)
    others = _mapped_beside(beside, class_labels, options)
    approaches = {name: Predictions.read(path) for name, path in _by_stem(predictions).items()}
    shown_images = shown_from(images, reading)
    page = chart.write_html(
        output,
        class_labels,
        shown_images,
        predictions=approaches,
        catalog=columns,
        others=others,
        answers=answers_of(vectors),
        sky=sky,
        progress=Terminal(),
    )
    # turn and scale the other maps onto the first, so that a galaxy has a similar place in all
    if figure is not None:
        laid = {name: other.aligned(chart) for name, other in others.items()}
        maps = {table.stem: chart, **laid} if laid else chart
        write_figure(
            figure, maps, kind, labels=class_labels, images=shown_images, width=width, seed=seed
        )
    _say_written(chart, coordinates, page, figure, as_json)


def _say_written(
    chart: Map, coordinates: Path, page: Path, figure: Path | None, as_json: bool
) -> None:
    """Print the quality of a map and its meaning, the written files, and what to do next."""
    show({"rows": len(chart.ids), **chart.quality, "coordinates": coordinates}, as_json)
    if not as_json:
        typer.echo(wrapped(MEANING))
    if figure is not None:
        say(f"figure written to {figure}")
    say(f"map written to {page}")
    say_next(f"open {page} in a browser")
