"""Return tables of embeddings: read stored ones, compute missing ones here or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures.errors import InputError
from gzfeatures.features.backbones import DEFAULT, Backbone
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.fill import filled
from gzfeatures.networks.extraction.jobs.job import Job
from gzfeatures.networks.extraction.jobs.result_tables import table_of, write_table_of
from gzfeatures.networks.extraction.spec import Extraction, description_of
from gzfeatures.progress import Progress

if TYPE_CHECKING:
    from torch import nn

    from gzfeatures.networks.encoders.handed_modules import HandedModule


def compute_table(images: ImageSet, extraction: Extraction) -> EmbeddingTable:
    """Return the embeddings of images as a table in memory.

    Parameters
    ----------
    images : ImageSet
    extraction : Extraction

    Returns
    -------
    EmbeddingTable
        One row per image that could be read, in the order of `images`; `made` says what was
        computed.

    Raises
    ------
    InputError
        An image is bad and `on_bad="raise"`; embeddings computed before stay in the store. Or the
        extraction names no store.
    UnknownNameError, MissingFileError, WeightsError, OutputError
        Unknown name; weights are not available; a folder or file cannot be written.
    """
    start = time.perf_counter()
    return table_of(_filled([extraction], images), 0, start)


def write_table(images: ImageSet, extraction: Extraction, path: str | Path) -> TableFile:
    """Write the embeddings of images to a Parquet file, a block of rows at a time.

    Memory does not grow with the number of images.

    Parameters
    ----------
    images : ImageSet
    extraction : Extraction
    path : str or Path

    Raises
    ------
    InputError, UnknownNameError, MissingFileError, WeightsError, OutputError
        As `compute_table`.
    """
    return write_all([extraction], images, [path])[0]


def write_all(
    extractions: Sequence[Extraction], images: ImageSet, paths: Sequence[str | Path]
) -> list[TableFile]:
    """Write several embedding tables of the same images while reading the images only once.

    Each image is decoded once, and each network runs once for each view (crop and size).

    Parameters
    ----------
    extractions : sequence of Extraction
        They may differ in backbone, weights, layer, view, precision, runtime and symmetries.
    images : ImageSet
    paths : sequence of str or Path
        Where each table is written.

    Raises
    ------
    InputError
        The extractions differ in another setting; otherwise as `compute_table`.
    """
    start = time.perf_counter()
    job = _filled(extractions, images)
    return [write_table_of(job, number, Path(path), start) for number, path in enumerate(paths)]


def _filled(extractions: Sequence[Extraction], images: ImageSet) -> Job:
    if extractions[0].engine == "local":
        return filled(extractions, images)
    # import only here: this module needs Ray, and an extraction on this machine does not
    from gzfeatures.networks.extraction.cluster import compute

    return filled(extractions, images, elsewhere=compute)


def _named(module: HandedModule | nn.Module, name: str | None, view: View | None) -> HandedModule:
    """Return a PyTorch module as HandedModule; refuse a missing name or view (crop, size)."""
    # import only here: handed_modules loads torch, which takes seconds, and few calls need it
    from gzfeatures.networks.encoders.handed_modules import HandedModule

    if isinstance(module, HandedModule):
        return module
    if name is None or view is None:
        raise InputError("a module", rule="have a name and a view", found=(name, view))
    return HandedModule(module, name, view)


def extract(
    images: ImageSet | str | Path,
    backbone: str | Path | Backbone | HandedModule | nn.Module = DEFAULT,
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | str | None = None,
    precision: str = "auto",
    device: str = "auto",
    on_bad: str = "raise",
    store: Store | str | Path | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    progress: Progress | bool = False,
    runtime: str = "auto",
    dihedral: bool = False,
    name: str | None = None,
    store_precision: str = "float32",
) -> EmbeddingTable:
    """Return a table with the embeddings of images; read stored embeddings, compute the missing.

    Parameters
    ----------
    images : ImageSet, str or Path
        Images, or the folder or archive with their files.
    backbone : str, Path, Backbone, HandedModule or nn.Module
        Name in `BACKBONES` or of a classifier of torchvision, a fine-tuned checkpoint folder, an
        encoder of another library (`timm:NAME`, …), or a Backbone. A module takes pixels in [0, 1]
        (n, 3, size, size) and returns vectors (n, dim).
    weights : str or Path, optional
        A file that replaces the backbone's own weights; "none" for a seeded random start.
    layer : str, optional
        Layer whose output is the vector, or several joined by +; default the backbone's.
    view : View or str, optional
        Crop, size and colours of the network's input, such as "size=64,crop=0.5"; default the
        backbone's.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}
        Arithmetic of the network; auto follows the hardware.
    device : {"auto", "cpu", "cuda"}
        Where to compute.
    on_bad : {"raise", "skip"}
        Whether an image that cannot be read is an error, or is left out and listed in `skipped`.
    store : Store, str or Path, optional
        Folder in which vectors are looked up and stored; default the user's, `Store.default()`.
    batch_size, workers : int, optional
        Images per forward pass and decoding threads; chosen for the machine by default.
    progress : Progress or bool
        Shows lines, rate and remaining time; nothing by default. True prints to the terminal.
    runtime : {"auto", "torch", "openvino", "onnxruntime"}
        Library that runs the network on a CPU.
    dihedral : bool
        Average the vector over mirror images and quarter turns: eight times the work.
    name : str, optional
        Name of a module, which also needs a view. Vectors are stored under the name and a hash of
        the module's weights.
    store_precision : {"float32", "float16"}
        Precision in which table and store keep the numbers.

    Returns
    -------
    EmbeddingTable
        One row per image that could be read, in the order of `images`; `made` says what was
        computed.

    Raises
    ------
    InputError
        An image is bad and `on_bad="raise"`; embeddings computed before stay in the store.
    UnknownNameError, MissingFileError, WeightsError, OutputError
        Unknown name; weights are not available; a folder or file cannot be written.

    Examples
    --------
    >>> table = extract("images/", "googlenet-gz2")  # doctest: +SKIP
    >>> table.matrix.shape  # doctest: +SKIP
    """
    if not isinstance(backbone, (str, Path, Backbone)):
        backbone = _named(backbone, name, View.parse(view) if isinstance(view, str) else view)
    elif name is not None:
        raise InputError("name", rule="go with a torch.nn.Module", found=name)
    if isinstance(view, str):
        view = View.parse(view, description_of(backbone, weights).view)
    extraction = Extraction(
        backbone,
        weights,
        layer,
        view,
        precision,
        device,
        on_bad,
        Store.default() if store is None else Store.at(store),
        batch_size,
        workers,
        progress,
        runtime=runtime,
        dihedral=dihedral,
        store_precision=store_precision,
    )
    pictures = images if isinstance(images, ImageSet) else ImageSet.of(images)
    return compute_table(pictures, extraction)
