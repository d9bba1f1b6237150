"""Define the commands `plan`, which measures what an extraction costs, and `export`.

`plan` helps to choose a larger machine; `export` writes a head as an ONNX file for other programs.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import images_of
from gzfeatures.cli.options import Device, IdColumn, Json, MaybeImages, Selection, Source
from gzfeatures.cli.reading import reads_images
from gzfeatures.cli.verbs.extraction import view_of
from gzfeatures.cli.writing import writes
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.images.reading import Reading


@app.command(epilog="Example: gzfeatures plan images/ --backbone googlenet-gz2 --tasks 16")
@writes()
@reads_images
def plan(
    reading: Reading,
    source: Source,
    images: MaybeImages = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help="As for 'extract'; repeat for more. Default: googlenet-gz2."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file, or 'none' for random weights.")
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer of the network; repeat for more tables.")
    ] = None,
    view: Annotated[
        list[str] | None, typer.Option(help="Pixels that the network sees; repeat for more.")
    ] = None,
    dihedral: Annotated[
        bool, typer.Option("--dihedral", help="Average over mirror images and quarter turns.")
    ] = False,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"],
        typer.Option(help="Numerical precision of the network."),
    ] = "auto",
    runtime: Annotated[
        Literal["auto", "torch", "openvino"],
        typer.Option(help="Library that runs the network on a CPU."),
    ] = "auto",
    device: Device = "auto",
    seconds: Annotated[
        float, typer.Option(min=1, help="How long to measure, after loading and compiling.")
    ] = 20,
    tasks: Annotated[
        int, typer.Option(min=1, help="Machines like this one that share the images.")
    ] = 1,
    selection: Selection = None,
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Measure an extraction on some of the images; print its hours, disk, memory and node hours."""
    from gzfeatures.features.backbones import DEFAULT
    from gzfeatures.networks.extraction.spec import Extraction
    from gzfeatures.networks.extraction_cost import measure

    image_set = images_of(source, images, "skip", id_column, reading, selection=selection)
    extractions = [
        Extraction(
            name,
            weights=weights,
            layer=node,
            view=view_of(name, weights, text),
            dihedral=dihedral,
            precision=precision,
            runtime=runtime,
            device=device,
        )
        for name, node, text in itertools.product(
            backbone or (DEFAULT,), layer or (None,), view or (None,)
        )
    ]
    say(f"measuring for {seconds:.0f} s, after the networks are loaded")
    cost = measure(image_set, extractions, seconds).asdict(tasks)
    say(
        f"{cost['images']:,} images take about {cost['hours']:.2g} hours"
        + (f" on {tasks} machines like this one" if tasks > 1 else "")
        + f", {cost['disk_gb']:.2g} GB of disk and {cost['memory_gb']:.2g} GB of memory"
    )
    show(cost, as_json)
    place = "" if images is None else f" --images {quote(images)}"
    given = [("backbone", each) for each in backbone or ()] + [
        ("layer", each) for each in layer or ()
    ]
    given += [("view", each) for each in view or ()] + ([("weights", weights)] if weights else [])
    chosen = "".join(f" --{name} {quote(each)}" for name, each in given)
    say_next(f"gzfeatures extract {quote(source)}{place}{chosen} -o table.parquet")


@app.command(epilog="Example: gzfeatures export heads/svm.skops -o model.onnx --check-on images/")
@writes("output")
@reads_images
def export(
    reading: Reading,
    head: Annotated[
        Path, typer.Argument(metavar="HEAD", help="Head written by 'fit', or googlenet-gz2.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .onnx.")],
    from_: Annotated[
        Literal["pixels", "vectors"],
        typer.Option("--from", help="What the graph takes: pixels of the view, or vectors."),
    ] = "pixels",
    check_on: Annotated[
        Path | None,
        typer.Option(
            help="Images or embedding table on which the file is compared with the head; "
            "default: 500 simulated galaxies."
        ),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(help="Head of googlenet-gz2: zhu-5class (default) or votes-37."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Where the backbone lies, if its name does not say: as for 'extract'."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file of the backbone, if not its own.")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Compute the backbone in 8-bit integers, one picture at a time."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a head as an ONNX file that gives class, probabilities, class set and familiarity_p."""
    from gzfeatures.experiment.prediction import TABLES
    from gzfeatures.verbs.portable import export as export_file

    galaxies: Any = check_on
    if check_on is not None and check_on.suffix not in TABLES:
        galaxies = images_of(check_on, None, "skip", reading=reading)
    written = export_file(
        head,
        output,
        from_=from_,
        check_on=galaxies,
        scheme=scheme,
        backbone=backbone,
        weights=weights,
        int8=int8,
        progress=Terminal(),
    )
    rows = [dataclasses.asdict(each) for each in written.agreements]
    # keep the share of values within the tolerance out of the printed table: it matters for heads
    # with steps only
    for row in () if as_json else rows:
        del row["within"]
    result = {
        "file": str(output),
        "from": written.source,
        "megabytes": round(written.megabytes, 3),
        "galaxies": written.galaxies,
        "agreements": rows,
        "model_card": written.summary,
    }
    show(result, as_json, hide=("model_card",))
    say(f"{head} written to {output}, compared on {written.galaxies} {written.origin}")
    takes = "my-images/" if from_ == "pixels" else "TABLE"
    say_next(f"gzfeatures predict {quote(output)} {takes} -o classes.csv")
