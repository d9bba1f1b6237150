"""Define the command `table`, which imports, exports, joins, slices, indexes … tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import images_of, labels_if_given, table_from
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
    parquet_only,
)
from gzfeatures.cli.reading import reads_images
from gzfeatures.cli.verbs.extraction import steps_of_table
from gzfeatures.cli.writing import writes

if TYPE_CHECKING:
    from gzfeatures.features.extractor import Extractor
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.images.reading import Reading

table = typer.Typer(
    help="Import, export, join, slice, repair, compare and describe embedding tables.",
    epilog="Example: gzfeatures table import vectors.parquet -o table.parquet",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(table, name="table")

Written = Annotated[
    Path,
    typer.Option(
        "--output", "-o", callback=parquet_only, help="Embedding table to write (Parquet)."
    ),
]
OnBad = Annotated[
    Literal["raise", "skip"],
    typer.Option(help="At a galaxy that cannot be used, stop, or leave it out."),
]


def _show(
    written: EmbeddingTable, path: Path, as_json: bool, steps: Sequence[str] = (), **more: Any
) -> None:
    """Print size and path of an embedding table that was written, and what to do next."""
    skipped = [{"id": name, "reason": reason} for name, reason in written.skipped]
    row = {"rows": len(written), "dim": written.dim, "table": path, "skipped": skipped}
    show({**row, **more}, as_json, hide=("table",))
    say(f"table written to {path}")
    say_next(*(steps or steps_of_table(quote(path))))


@table.command("import", epilog="Example: gzfeatures table import zoobot.csv -o table.parquet")
@writes("output", verb="table import")
@reads_images
def import_(
    reading: Reading,
    vectors: Annotated[
        Path,
        typer.Argument(
            metavar="VECTORS",
            help="File of vectors: Parquet, Feather, CSV, npz, npy, HDF5, AnnData, Lance.",
        ),
    ],
    output: Written,
    id_column: IdColumn = None,
    vector: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column or array of the vectors; feat_* for feat_0, feat_1, …; default: the only "
            "one.",
        ),
    ] = None,
    ids_file: Annotated[
        Path | None,
        typer.Option(help="Ids for a file that has none (.npy): a text file, one id a line."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Name of the encoder; heads read tables imported under the same name."),
    ] = None,
    images: MaybeImages = None,
    on_bad: OnBad = "raise",
    as_json: Json = False,
) -> None:
    """Turn vectors that another program wrote into an embedding table."""
    from gzfeatures.features.exchange.table_import import VectorSource, import_table

    source = VectorSource(vectors, id_column, vector, ids_file, encoder, on_bad)
    image_set = None if images is None else images_of(images, None, on_bad, None, reading)
    imported = import_table(source, image_set)
    imported.write(output)
    if encoder is None:
        say(
            "the encoder has no name: heads of this table read no vectors of another file; "
            "--encoder NAME gives it one"
        )
    _show(imported, output, as_json, column=imported.extractor.layer)


@table.command("export", epilog="Example: gzfeatures table export table.parquet -o table.h5ad")
@writes("output", verb="table export")
def export(
    source: TableFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .npz, .h5ad, .csv or .lance.")
    ],
    format_: Annotated[
        Literal["npz", "h5ad", "lance", "csv"] | None,
        typer.Option("--format", help="Format; default: by the name of the file."),
    ] = None,
    selection: Selection = None,
    as_json: Json = False,
) -> None:
    """Write an embedding table for NumPy, AnnData, Lance or a spreadsheet."""
    from gzfeatures.features.exchange.table_export import export_table

    whole = table_from(source, selection)
    export_table(whole, output, format_)
    _show(whole, output, as_json, (f"gzfeatures table import {quote(output)} -o back.parquet",))


@table.command(
    "join", epilog="Example: gzfeatures table join north.parquet south.parquet -o all.parquet"
)
@writes("output", verb="table join")
def join_tables(
    tables: Annotated[
        list[Path], typer.Argument(metavar="TABLE…", help="Embedding tables of one extractor.")
    ],
    output: Written,
    as_json: Json = False,
) -> None:
    """Join tables of one extractor: the galaxies of all of them in one table."""
    from gzfeatures.features.exchange.table_join import read_joined

    joined = read_joined(tables)
    joined.write(output)
    _show(joined, output, as_json)


@table.command(
    "slice", epilog="Example: gzfeatures table slice table.parquet --ids some.txt -o some.parquet"
)
@writes("output", verb="table slice")
def slice_(
    source: TableFile,
    ids: Annotated[
        Path,
        typer.Option("--ids", help="Galaxies to keep: a text file, one id a line, or a catalog."),
    ],
    output: Written,
    on_bad: OnBad = "raise",
    as_json: Json = False,
) -> None:
    """Take the rows of some galaxies from a table."""
    from gzfeatures.features.exchange.table_join import sliced
    from gzfeatures.features.exchange.vector_files import ids_of_file

    part = sliced(source, ids_of_file(ids), on_bad)
    part.write(output)
    _show(part, output, as_json)


@table.command(
    "repair",
    epilog="Example: gzfeatures table repair polars.parquet --like table.parquet -o whole.parquet",
)
@writes("output", verb="table repair")
def repair(
    source: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="Parquet that another program wrote of a table."),
    ],
    output: Written,
    like: Annotated[
        Path | None,
        typer.Option(
            help="A whole table of the same extractor, some galaxies in common; default: the store."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring back a table whose metadata polars, DuckDB or pandas lost."""
    from gzfeatures.features.exchange.table_repair import repair_table
    from gzfeatures.features.store import Store

    repaired = repair_table(source, like or Store.default())
    for name in repaired.left_out:
        say(f"column {name} is left out: it is no part of an embedding table")
    repaired.table.write(output)
    evidence = {"backbone": repaired.table.extractor.backbone, "evidence": repaired.evidence}
    _show(repaired.table, output, as_json, **evidence)


@table.command(
    "compare",
    epilog=(
        "Example: gzfeatures table compare one.parquet other.parquet --labels labels.csv "
        "--figure maps.png"
    ),
)
@writes("figure", verb="table compare")
def compare_two(
    one: TableFile,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="Table of the same galaxies by another encoder.")
    ],
    labels: MaybeLabels = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Figure to write, .png, .pdf or .svg: the maps of both tables, the second aligned "
            "with the first."
        ),
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="Number of nearest neighbours.")] = 10,
    selection: Selection = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Compare two encoders: shared neighbours, alignment, classes that differ, aligned maps."""
    import dataclasses

    from gzfeatures.explore.class_differences import class_differences
    from gzfeatures.explore.table_similarity import compare_tables

    tables = [table_from(path, selection) for path in (one, other)]
    known = labels_if_given(labels, missing_label, label_as_is, id_column)
    similarity = compare_tables(tables[0], tables[1], k=neighbours, seed=seed)
    names = {"backbone": tables[0].extractor.backbone, "other": tables[1].extractor.backbone}
    result: dict[str, Any] = names | dataclasses.asdict(similarity)
    if known is not None:
        rows = class_differences(tables[0], tables[1], known, k=neighbours, seed=seed)
        result["classes"] = [row.asdict() for row in rows]
    if figure is not None:
        from gzfeatures.maps.side_by_side import write_side_by_side
        from gzfeatures.progress import Terminal

        disparity = write_side_by_side(
            tables[0], tables[1], figure, known, seed=seed, progress=Terminal()
        )
        result["map_disparity"] = disparity
    show(result, as_json)
    if figure is not None:
        say(f"maps of both tables drawn in {figure}")
        say_next(f"open {figure}")
    else:
        say_next("--labels LABELS names the classes that differ, --figure FILE draws both maps")


@table.command("index", epilog="Example: gzfeatures table index table.parquet -o table.index")
@writes("output", verb="table index")
def index_(
    source: TableFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Index to write, as large as the vectors.")
    ],
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Order the vectors of a table by cells, so that 'similar --index' reads a few cells of it."""
    from gzfeatures.explore.cells.index_building import build_index
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.progress import Terminal

    built = build_index(EmbeddingTable.open(source), output, seed=seed, progress=Terminal())
    result = {"cells": built.cells, "searched": built.probes, "recall": built.recall}
    show({**result, "index": output}, as_json, hide=("index",))
    say(f"index written to {output}")
    say_next(f"gzfeatures similar {quote(source)} ID --index {quote(output)}")


@table.command("info", epilog="Example: gzfeatures table info table.parquet")
@writes()
def info(source: TableFile, as_json: Json = False) -> None:
    """Print what an embedding table holds, and where its vectors come from."""
    from gzfeatures.features.exchange.table_import import UNKNOWN_FILE
    from gzfeatures.features.table import EmbeddingTable

    opened = EmbeddingTable.open(source)
    images = described = known = 0
    for part in opened.batches():
        images += int((part.digests != UNKNOWN_FILE).sum())
        described += 0 if part.pictures is None else int(part.pictures.any(1).sum())
        known += len(part.seen_ids)
    extractor = opened.extractor
    result = {
        "rows": len(opened),
        "dim": extractor.dim,
        **_origin(extractor),
        "image_digests": images,
        "picture_hashes": described,
        "trained_on": known if extractor.trained_on is not None else None,
        "skipped": len(opened.skipped),
        "nothing_shown": len(opened.nothing_shown),
        "catalog": opened.kind or None,
        "fingerprint": extractor.fingerprint,
        "extractor": extractor.asdict(),
    }
    show(result, as_json, hide=("extractor",))
    say_next(*steps_of_table(quote(source)))


def _origin(extractor: Extractor) -> dict[str, Any]:
    """Return which backbone, weights, layer and crop a table's embeddings come from, as texts."""
    if extractor.is_imported:
        return {
            "backbone": extractor.backbone,
            "origin": extractor.weights,
            "layer": extractor.layer,
        }
    return {
        "backbone": extractor.backbone,
        "origin": f"extracted with weights {extractor.weights[:16]}",
        "layer": extractor.layer,
        "view": f"{extractor.view.size} px, crop {extractor.view.crop:g}",
        "precision": extractor.precision,
        "engine": extractor.engine,
    }
