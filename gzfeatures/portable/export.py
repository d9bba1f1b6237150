"""Write a head as one ONNX file, from pixels or vectors to its predictions, and check it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, OutputError, need
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.files import written_whole
from gzfeatures.heads.head import Head
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.portable.backbone_graph import PortableBackbone
from gzfeatures.portable.agreement import (
    GALAXIES,
    Agreement,
    Expected,
    agreements,
    require_agreement,
    require_agreement_int8,
)
from gzfeatures.portable.check_galaxies import SIMULATED, pixels_of, simulated_pixels, spaced
from gzfeatures.portable.graph_builder import IR_VERSION, OPSET
from gzfeatures.portable.head_graph import VECTORS, head_graph
from gzfeatures.portable.model_file import with_metadata
from gzfeatures.portable.model_summary import SummaryFacts, model_summary
from gzfeatures.portable.quantisation import BATCH, quantised
from gzfeatures.progress import SILENT, Progress

Source = Literal["pixels", "vectors"]
CALIBRATION, CALIBRATION_SEED = 100, 1
"""Simulated galaxies that calibrate 8-bit integers, and their seed: others than are judged."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Hold the options of an export: input of the file, precision, galaxies for its check.

    Parameters
    ----------
    source : {"pixels", "vectors"}
        What the graph takes: 8-bit pixels of the head's view, or vectors of its backbone.
    check_on : ImageSet or EmbeddingTable, optional
        Galaxies to check the file on; by default simulated ones.
    backbone, weights : str or Path, optional
        Where the backbone lies, if its name does not say.
    int8 : bool
        Compute the backbone in 8-bit integers.
    galaxies : int
        Most galaxies to check on.
    progress : Progress
    """

    source: Source = "pixels"
    check_on: ImageSet | EmbeddingTable | None = None
    backbone: str | Path | None = None
    weights: str | Path | None = None
    int8: bool = False
    galaxies: int = GALAXIES
    progress: Progress = SILENT


@dataclasses.dataclass(frozen=True)
class Exported:
    """Hold path and size of an exported file, and the result of its check.

    Parameters
    ----------
    path : Path
    source : str
    megabytes : float
    galaxies : int
        Galaxies that it was checked on.
    origin : str
        Which they are.
    agreements : tuple of Agreement
    summary : str
        The model card inside.
    """

    path: Path
    source: str
    megabytes: float
    galaxies: int
    origin: str
    agreements: tuple[Agreement, ...]
    summary: str


@dataclasses.dataclass(frozen=True, eq=False)
class _Galaxies:
    """Hold the galaxies on which an exported file is checked: its input, and their vectors."""

    rows: npt.NDArray[Any]
    vectors: npt.NDArray[np.float32]
    origin: str


def export_head(head: Head, path: Path, options: ExportOptions) -> Exported:
    """Write a head as an ONNX file, after checking that both predict the same.

    Parameters
    ----------
    head : Head
    path : Path
        File to write.
    options : ExportOptions

    Raises
    ------
    MissingExtraError, InputError, WeightsError, OutputError
        onnx, onnxscript or onnxruntime is not installed; the head or its backbone has no form in
        ONNX; a runtime says something else of a galaxy; the file does not fit 2 GB. Nothing is
        written then.
    """
    need("onnxruntime", extra="onnx")
    if path.suffix != ".onnx":
        raise OutputError("exported file", where=path, rule="end in .onnx")
    _require_int8(head, options)
    backbone, model = None, head_graph(head)
    if options.source == "pixels" or not isinstance(options.check_on, EmbeddingTable):
        backbone = PortableBackbone.of(head.extractors[0], options.backbone, options.weights)
    galaxies = _galaxies(head, backbone, options)
    if options.source == "pixels" and backbone is not None:
        model = joined(_backbone_graph(backbone, options), model)
    options.progress.say(f"checking {len(galaxies.rows)} galaxies")
    found = _agreements(model, head, galaxies, options)
    if options.int8:
        require_agreement_int8(found, path)
    else:
        require_agreement(found, head, path)
    licence = "that of the backbone" if backbone is None else backbone.licence
    batch, count = _batch(options), len(galaxies.rows)
    facts = SummaryFacts(
        options.source, options.int8, batch, count, galaxies.origin, found, licence
    )
    summary = model_summary(head, facts)
    data = with_metadata(model, _fields(head, facts), summary).SerializeToString()
    with written_whole(path) as temporary:
        temporary.write_bytes(data)
    size = len(data) / 1e6
    return Exported(path, options.source, size, count, galaxies.origin, tuple(found), summary)


def _batch(options: ExportOptions) -> int | None:
    return BATCH if options.int8 else None


def _backbone_graph(backbone: PortableBackbone, options: ExportOptions) -> Any:
    """Return the ONNX graph of a backbone, with 8-bit weights if the options ask for that."""
    options.progress.say("writing the backbone as a graph")
    base = backbone.graph(OPSET, _batch(options))
    if not options.int8:
        return base
    options.progress.say("measuring ranges for 8-bit integers")
    view = backbone.extractor.view
    return quantised(base, simulated_pixels(view, CALIBRATION, CALIBRATION_SEED))


def _agreements(
    model: Any, head: Head, galaxies: _Galaxies, options: ExportOptions
) -> list[Agreement]:
    return agreements(
        model.SerializeToString(),
        head,
        galaxies.rows,
        Expected.of(head, galaxies.vectors),
        fixed=_batch(options),
        few=options.source == "pixels",
    )


def _fields(head: Head, facts: SummaryFacts) -> dict[str, Any]:
    """Return the metadata of an exported file, without its model card."""
    return {
        "source": facts.source,
        "head": head.record(),
        "classes": list(head.classes),
        "view": head.extractors[0].view.asdict(),
        "int8": facts.int8,
        "checked": {
            "galaxies": facts.galaxies,
            "origin": facts.origin,
            "agreements": [dataclasses.asdict(each) for each in facts.agreements],
        },
    }


def joined(base: Any, top: Any) -> Any:
    """Return one ONNX model that runs a backbone and then a head; it outputs the vectors too."""
    onnx = need("onnx", extra="onnx")
    # tensors of both graphs may have equal names, so prefix those of the head; names of inputs and
    # outputs are public and stay
    top = onnx.compose.add_prefix(top, "head/", rename_inputs=False, rename_outputs=False)
    base.ir_version = top.ir_version = IR_VERSION
    for node in top.graph.node:
        for number, name in enumerate(node.input):
            if name == VECTORS:
                node.input[number] = "head/vectors"
    top.graph.input[0].name = "head/vectors"
    outputs = [each.name for each in top.graph.output]
    model = onnx.compose.merge_models(
        base, top, io_map=[(VECTORS, "head/vectors")], outputs=outputs
    )
    # the first output is the layer that is read if this file is used as a backbone, so put the
    # vectors first
    vectors = next(each for each in base.graph.output if each.name == VECTORS)
    rest = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([vectors, *rest])
    return model


def _require_int8(head: Head, options: ExportOptions) -> None:
    if not options.int8:
        return
    if options.source == "vectors":
        raise InputError("8-bit integers", rule="go with a backbone, that is with --from pixels")
    if head.target != "classes":
        raise InputError(
            "8-bit integers are judged by the classes of galaxies",
            rule="go with a head on classes",
            found=head.target,
        )


def _galaxies(head: Head, backbone: PortableBackbone | None, options: ExportOptions) -> _Galaxies:
    """Return the galaxies to check the file on, as pixels or vectors, whichever it reads."""
    source, most = options.check_on, options.galaxies
    extractor = head.extractors[0]
    if isinstance(source, EmbeddingTable):
        if options.source == "pixels":
            raise InputError(
                "a graph of pixels is checked on images", rule="be images", found="a table"
            )
        if source.extractor.fingerprint != extractor.fingerprint:
            raise InputError(
                "table comes from another extractor",
                where=source.extractor.backbone,
                rule=f"be of {extractor.backbone}, {extractor.fingerprint[:12]}",
            )
        rows = source.matrix[spaced(len(source), most)]
        if not len(rows):
            raise InputError("table to check the file on", rule="have rows")
        return _Galaxies(rows, rows, "galaxies of the table given")
    if backbone is None:
        raise InputError("vectors to check the file on", rule="be a table")
    if source is None:
        pixels = simulated_pixels(extractor.view, most, progress=options.progress)
        origin = SIMULATED
    else:
        pixels, origin = pixels_of(source, extractor.view, most), "galaxies of the images given"
    vectors = backbone.vectors(pixels)
    return _Galaxies(pixels if options.source == "pixels" else vectors, vectors, origin)
