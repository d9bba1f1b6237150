"""Define the command `extract`, which computes embedding tables."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures import outputs
from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import images_of
from gzfeatures.cli.options import (
    Device,
    IdColumn,
    Json,
    MaybeImages,
    Petrosian,
    PixelScale,
    Selection,
    Source,
    parquet_only,
)
from gzfeatures.cli.reading import reads_images
from gzfeatures.cli.slurm_script import array_script, part_of
from gzfeatures.cli.writing import Given, writes
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.features.extractor import Extractor
    from gzfeatures.features.table import TableFile as WrittenTable
    from gzfeatures.images.reading import Reading
    from gzfeatures.images.view import View
    from gzfeatures.networks.extraction.spec import Extraction


MOST_LINES = 10
"""Number of images without a galaxy that are printed, one line each."""


def view_of(backbone: str, weights: str | None, text: str | None) -> View | None:
    """Return the backbone's view (crop and size of images), changed as --view says."""
    from gzfeatures.images.view import View
    from gzfeatures.networks.extraction.spec import description_of

    return None if text is None else View.parse(text, description_of(backbone, weights).view)


def _say_findings(extractions: list[Extraction]) -> None:
    """Try each encoder on a few images, and print the results, before embeddings are computed."""
    from gzfeatures.networks.extraction.foreign import check

    for extraction in extractions:
        spec, findings = check(extraction)
        for finding in findings:
            say(f"check {spec.name}: {finding}")


def _one_table(arguments: Given) -> list[Path]:
    """Return the path of the table to write; no path if the command will write several tables.

    The names of several tables contain the sha256 of their settings, which is not known yet.
    """
    several = any(len(arguments[name] or ()) > 1 for name in ("backbone", "layer", "view"))
    return [] if several else [arguments["output"]]


@app.command(epilog="Example: gzfeatures extract images/ -o table.parquet")
@writes("output", beside=_one_table, known=False)
@reads_images
def extract(
    context: typer.Context,
    reading: Reading,
    source: Source,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=parquet_only,
            help="Embedding table to write (Parquet); a folder for several tables.",
        ),
    ],
    images: MaybeImages = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Name from 'list backbones', a checkpoint folder, timm:NAME, zoobot:NAME, "
                "hf:FOLDER, onnx:FILE, torch:FILE.pt2, or a TOML file; repeat for more. Default: "
                "googlenet-gz2."
            )
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file, or 'none' for random weights.")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Layer of the network, or several joined by +; repeat for more tables."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(
            help="Pixels that the network sees, e.g. size=128,crop=0.566,grey=true; repeat for "
            "more."
        ),
    ] = None,
    pixel_scale: PixelScale = None,
    petrosian: Petrosian = None,
    dihedral: Annotated[
        bool,
        typer.Option(
            "--dihedral", help="Average the embeddings over mirror images and quarter turns."
        ),
    ] = False,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"],
        typer.Option(help="Numerical precision of the network."),
    ] = "auto",
    store_precision: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="Precision of numbers in table and store; float16 halves the bytes."),
    ] = "float32",
    runtime: Annotated[
        Literal["auto", "torch", "openvino", "onnxruntime"],
        typer.Option(help="Library that runs the network on a CPU."),
    ] = "auto",
    device: Device = "auto",
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Compute on this machine, or on a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster; default: start one on this machine."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Try the network on a few images first, and print what is found."
        ),
    ] = False,
    on_bad: Annotated[
        Literal["raise", "skip"],
        typer.Option(help="At a bad image, stop, or skip and list the image."),
    ] = "raise",
    selection: Selection = None,
    id_column: IdColumn = None,
    part: Annotated[
        str | None,
        typer.Option(help="Compute a part of the images alone, K/N: the K-th of N equal parts."),
    ] = None,
    slurm: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Compute nothing; print a SLURM array script with this number of tasks, which "
            "share one store.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the embedding of every image with a backbone, and write the embedding table.

    Several backbones, layers or views give a table for every combination; each image is still
    decoded once.
    """
    from gzfeatures.features.backbones import DEFAULT
    from gzfeatures.features.store import Store
    from gzfeatures.networks.extraction.extract import write_all
    from gzfeatures.networks.extraction.spec import Extraction

    cached = Store.default()
    if slurm is not None:
        if part is not None:
            raise typer.BadParameter("it is set in the script, for each task", param_hint="--part")
        typer.echo(array_script(context, slurm, cached.root), nl=False)
        return
    extractions = [
        Extraction(
            name,
            weights=weights,
            layer=node,
            view=view_of(name, weights, text),
            dihedral=dihedral,
            precision=precision,
            store_precision=store_precision,
            runtime=runtime,
            device=device,
            engine=engine,
            address=address,
            on_bad=on_bad,
            store=cached,
            progress=Terminal(),
        )
        for name, node, text in itertools.product(
            backbone or (DEFAULT,), layer or (None,), view or (None,)
        )
    ]
    paths = [output]
    if len(extractions) > 1:
        paths = [output / _file_name(each.extractor) for each in extractions]
    # check the outputs only now: names of several tables contain a sha256 of settings known now
    outputs.allow(paths, output if len(paths) > 1 else None)
    if check:
        _say_findings(extractions)
    crops = (pixel_scale, petrosian)
    image_set = images_of(source, images, on_bad, id_column, reading, crops, selection)
    if part is not None:
        image_set = image_set.part(*part_of(part))
    tables = write_all(extractions, image_set, paths)
    rows = [_table_row(table, with_extractor=as_json) for table in tables]
    say_how_many(rows[0]["nothing_shown"])
    brief = [key for key in rows[0] if key not in ("nothing_shown", "framing")]
    result = rows[0] if len(rows) == 1 else {"tables": rows}
    show(result, as_json, hide=("nothing_shown", "framing", "table"), columns=brief)
    _say_written(output, extractions[0], max(row["seconds"] for row in rows))


def _say_written(output: Path, extraction: Extraction, seconds: float) -> None:
    """Print where the embedding table is, what to do next, and how a long run could be faster."""
    from gzfeatures.networks.hardware import int8_hint

    hint = int8_hint(extraction.hardware, seconds)
    if hint is not None:
        say(hint)
    say(f"{'tables' if output.is_dir() else 'table'} written to {output}")
    table = quote(output / "TABLE" if output.is_dir() else output)
    say_next(*steps_of_table(table))


def steps_of_table(table: str) -> tuple[str, str]:
    """Return the commands that a user may want next with an embedding table."""
    return (
        f"gzfeatures map {table} -o map.html",
        f"gzfeatures fit {table} --labels LABELS --head svm --head logistic",
    )


def _table_row(table: WrittenTable, with_extractor: bool) -> dict[str, Any]:
    """Return size and seconds of a written table, and its omitted galaxies, to be printed."""
    row: dict[str, Any] = {
        "rows": len(table),
        "dim": table.extractor.dim,
        **dataclasses.asdict(table.made),
        "skipped": [{"id": name, "reason": reason} for name, reason in table.skipped],
        "nothing_shown": pairs(table.nothing_shown),
        "table": table.path,
    }
    row |= {"framing": table.framing} if table.framing else {}
    # add the extractor's settings only for scripts (--json): a person would have to read dozens
    return {**row, "extractor": table.extractor.asdict()} if with_extractor else row


def pairs(listed: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return pairs of a galaxy's id and why its image shows no galaxy, as JSON values."""
    return [{"id": name, "reason": reason} for name, reason in listed]


def say_how_many(empty: Sized) -> None:
    """Print how many images show no galaxy, if they are too many to be listed."""
    if len(empty) > MOST_LINES:
        say(f"warning: {len(empty)} images in all show no galaxy (--json lists them)")


def _file_name(extractor: Extractor) -> str:
    """Return a unique and readable file name for one of several embedding tables."""
    network = f"{Path(extractor.backbone).name}-{extractor.layer}"
    name = f"{network}-{extractor.view.size}px-{extractor.fingerprint[:8]}.parquet"
    return name.replace("/", "_").replace(":", "-")
