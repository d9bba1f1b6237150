"""Write a head, with or without its backbone, as one ONNX file, after checking its predictions."""

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
"""Number and seed of simulated galaxies on which int8 ranges are measured; not used for checks."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Store the options for an ONNX file: input, precision, and galaxies to check its predictions.

    Parameters
    ----------
    source : {"pixels", "vectors"}
        Input of the ONNX file: cropped and resized images (8-bit pixels), or embeddings.
    check_on : ImageSet or EmbeddingTable, optional
        Galaxies on which the file is compared with the head; by default simulated galaxies.
    backbone, weights : str or Path, optional
        Backbone and its weights file, if the backbone's name in the head does not suffice.
    int8 : bool
        Compute the backbone in 8-bit integers.
    galaxies : int
        Largest number of galaxies for the comparison.
    progress : Progress
        Shows the steps of the export.
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
    """Store the result of an export: path and size of the ONNX file, agreement with the head.

    Parameters
    ----------
    path : Path
        The ONNX file.
    source : str
        Input of the file: "pixels" or "vectors" (embeddings).
    megabytes : float
        Size of the file.
    galaxies : int
        Number of galaxies on which file and head were compared.
    origin : str
        Where these galaxies come from, in words.
    agreements : tuple of Agreement
        Differences from the head, for each library and batch size.
    summary : str
        Model card in the file.
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
    """Store the galaxies on which an ONNX file must predict what its head predicts.

    The file reads images or embeddings, the head reads embeddings.
    """

    rows: npt.NDArray[Any]
    vectors: npt.NDArray[np.float32]
    origin: str


def export_head(head: Head, path: Path, options: ExportOptions) -> Exported:
    """Write a head as an ONNX file, after checking that head and file predict the same.

    Parameters
    ----------
    head : Head
        Head to export.
    path : Path
        File to write.
    options : ExportOptions
        Input and precision of the file, and galaxies for the comparison.

    Raises
    ------
    MissingExtraError, InputError, WeightsError, OutputError
        onnx, onnxscript or onnxruntime is not installed; the head or its backbone cannot be written
        as ONNX; predictions of the file differ from the head's; or the file would exceed 2 GB. In
        these cases no file is written.
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
    """Return the ONNX graph of a backbone, in 8-bit integers if the options ask for it."""
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
    """Return the metadata to store in an ONNX file as a dict, without the model card."""
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
    """Join the ONNX graphs of a backbone and a head; the joined graph also outputs embeddings."""
    onnx = need("onnx", extra="onnx")
    # tensors of the two graphs may have equal names: put "head/" before the names in the head's
    # graph, except inputs and outputs, which programs address by name
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
    # make the embedding the first output: if this file is used as a backbone, gzfeatures reads the
    # first output
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
    """Return galaxies on which head and ONNX file are compared, as pixels or as embeddings."""
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
