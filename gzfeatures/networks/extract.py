"""ImageSet + backbones + Store → EmbeddingTables. What is stored is not computed again."""

from __future__ import annotations

import dataclasses
import gc
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures.errors import InputError, unknown
from gzfeatures.features.backbones import DEFAULT, Backbone
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable, Extractor, TableFile
from gzfeatures.features.weights import weights_digest, weights_file
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.picturehash import BYTES, MIDDLE
from gzfeatures.images.views import View
from gzfeatures.networks import hardware
from gzfeatures.networks.job import Job
from gzfeatures.networks.passes import passes

if TYPE_CHECKING:
    from gzfeatures.networks.engine import Engine

ENGINES = ("local", "ray")
SHARED = ("device", "on_bad", "store", "batch_size", "workers", "progress", "engine", "address")
"""What extractions that share one pass over the images have in common."""
PICTURE_HASH = Extractor(
    "picture-hash", "cosine signs", "1", "64 px", 2 * BYTES, View(size=64, crop=MIDDLE), (0.0,) * 3, (1.0,) * 3
)
"""Where hashes of pictures are kept in the store, one whole number below 256 for each byte."""
ROUNDS = 3
"""How often rows that vanish from the store while a table is made (pruned by another process) are computed again."""


def extractor_of(
    backbone: str | Path | Backbone,
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | None = None,
    precision: str = "float32",
    runtime: str = "torch",
    dihedral: bool = False,
) -> Extractor:
    """Everything that decides the vectors; no network is loaded, the weights file is only hashed.

    Parameters
    ----------
    backbone, weights, layer, view, dihedral
        As for `Extraction`.
    precision : {"float32", "bfloat16", "float16", "int8"}
        Arithmetic of the forward pass.
    runtime : {"torch", "openvino"}
        Library that runs it.

    Raises
    ------
    UnknownNameError, MissingFileError, WeightsError
        Unknown backbone or layer; weights that cannot be had.
    InputError
        The view has another number of bands than the network.
    """
    spec = backbone_of(backbone)
    view, layer = view or spec.view, layer or spec.layer
    bands = len(view.bands or "rgb")
    if bands != spec.bands:
        raise InputError("view", where=spec.name, rule=f"have {spec.bands} bands", found=bands)
    path, dim = weights_file(spec, weights), spec.dim
    if path is not None and not path.exists():
        from gzfeatures.networks.load import fetch

        fetch(spec, path)
    if layer != spec.layer:
        from gzfeatures.networks.load import layer_dim

        dim = layer_dim(spec, layer, view.size)
    return Extractor(
        backbone=spec.name,
        architecture=spec.architecture,
        weights=weights_digest(spec, path),
        layer=layer,
        dim=dim,
        view=view,
        mean=spec.mean,
        std=spec.std,
        precision=precision,
        engine=runtime,
        stride_on=spec.stride_on,
        trained_on=spec.trained_on if weights is None else None,
        dihedral=dihedral,
    )


@dataclasses.dataclass(frozen=True)
class Extraction:
    """How images become vectors; `table` keeps the result in memory, `write` streams it to a file.

    Parameters
    ----------
    backbone : str, Path or Backbone
        Name in `BACKBONES`, a fine-tuned checkpoint folder, or a Backbone.
    weights : str or Path, optional
        A file that replaces the backbone's own weights; "none" for a seeded random start.
    layer : str, optional
        Node whose flattened output is the vector; default the backbone's pooled layer. Several joined by + give their
        outputs one after the other.
    view : View, optional
        Pixels the network sees; default the backbone's.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}
        Arithmetic; part of the store's key. auto follows the hardware, see `hardware.choose`.
    device : {"auto", "cpu", "cuda"}
    on_bad : {"raise", "skip"}
        An image that cannot be read is an error, or left out and listed in `skipped`.
    store : Store, optional
        Default `Store.default()`.
    batch_size, workers : int, optional
        Images per forward pass and decoding threads; chosen for the machine by default.
    progress : bool
        Show progress, rate and remaining time on stderr.
    engine : {"local", "ray"}
        Compute here, or on a Ray cluster (see `cluster`).
    address : str, optional
        Ray cluster to join; without it one is started here.
    runtime : {"auto", "torch", "openvino"}
        Library that runs the network on a CPU; part of the store's key. auto is torch, but openvino for int8.
    dihedral : bool
        Mean vector over the 8 symmetries of the square: the galaxy has no up or left. Eight times the work.

    Raises
    ------
    InputError
        A choice is not one of those, or a number is not positive. From `table` and `write`: an image is bad and
        `on_bad="raise"`; what was computed before stays in the store.
    UnknownNameError, MissingFileError, WeightsError, OutputError
        From `table` and `write`: unknown name; weights that cannot be had; a place that cannot be written.
    """

    backbone: str | Path | Backbone = DEFAULT
    weights: str | Path | None = None
    layer: str | None = None
    view: View | None = None
    precision: str = "auto"
    device: str = "auto"
    on_bad: str = "raise"
    store: Store | None = None
    batch_size: int | None = None
    workers: int | None = None
    progress: bool = True
    engine: str = "local"
    address: str | None = None
    runtime: str = "auto"
    dihedral: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.on_bad not in ("raise", "skip"):
            raise InputError("on_bad", rule="be raise or skip", found=self.on_bad)
        for name, number in (("batch size", self.batch_size), ("workers", self.workers)):
            if number is not None and number < 1:
                raise InputError(name, rule="be at least 1", found=number)

    @property
    def hardware(self) -> hardware.Hardware:
        """Device, precision and library, chosen for this machine."""
        return hardware.choose(self.device, self.precision, self.runtime)

    @property
    def extractor(self) -> Extractor:
        """Everything that decides the vectors; no network is loaded."""
        machine = self.hardware
        return extractor_of(
            self.backbone, weights=self.weights, layer=self.layer, view=self.view, precision=machine.precision,
            runtime=machine.runtime, dihedral=self.dihedral,
        )  # fmt: skip

    def table(self, images: ImageSet) -> EmbeddingTable:
        """One row per image that could be read, in the order of `images`."""
        start = time.perf_counter()
        return filled([self], images).table(0, start)

    def write(self, images: ImageSet, path: str | Path) -> TableFile:
        """As `table`, written to Parquet row group by row group: memory does not grow with the number of images."""
        return write_all([self], images, [path])[0]


def write_all(extractions: Sequence[Extraction], images: ImageSet, paths: Sequence[str | Path]) -> list[TableFile]:
    """Several tables from one pass over the images: each is decoded once, and each network run once per view.

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
        They differ in something else; otherwise as `Extraction.write`.
    """
    start = time.perf_counter()
    job = filled(extractions, images)
    return [job.write(number, Path(path), start) for number, path in enumerate(paths)]


def filled(
    extractions: Sequence[Extraction],
    images: ImageSet,
    make: Callable[[Sequence[Extraction], Job, int], Engine] | None = None,
) -> Job:
    """Compute what the store does not have; the job that is handed back gathers the tables.

    Parameters
    ----------
    extractions : sequence of Extraction
    images : ImageSet
    make : callable, optional
        Gives the engine, where one may be at hand already; default `engine_of`.

    Raises
    ------
    InputError
        The extractions differ in what a pass has only one of.
    """
    how = extractions[0]
    for name in SHARED:
        if any(getattr(other, name) != getattr(how, name) for other in extractions):
            raise InputError("extractions in one pass", rule=f"have one {name.replace('_', ' ')}")
    store = how.store or Store.default()
    shelves = [store.shelf(extraction.extractor) for extraction in extractions]
    whole = how.hardware.device == "cuda"
    workers, hashes = how.workers or os.cpu_count() or 1, store.shelf(PICTURE_HASH)
    job = Job(images, shelves, how.on_bad == "raise", workers, how.progress, whole, hashes)
    job.look()
    for _ in range(ROUNDS):
        todo = job.absent()
        if not len(todo):
            break
        if how.engine == "ray":
            from gzfeatures.networks import cluster

            cluster.compute(job, todo, extractions)
        else:
            job.compute(todo, partial(make or engine_of, extractions, job, len(todo)))
            if make is None:
                gc.collect()  # the networks, whose graphs point at each other: shards and tables take their place
    job.describe()
    for shelf in (*shelves, hashes):
        shelf.compact()
    return job


def engine_of(extractions: Sequence[Extraction], job: Job, images: int) -> Engine:
    """Networks of the extractions, ready for so many images on this machine.

    Parameters
    ----------
    extractions : sequence of Extraction
    job : Job
        Theirs: it knows where vectors are kept, and speaks to the user.
    images : int
    """
    from gzfeatures.networks.engine import CpuEngine
    from gzfeatures.networks.forward import TorchForward, ready
    from gzfeatures.networks.gpu import GpuEngine
    from gzfeatures.networks.load import load
    from gzfeatures.networks.vino import VinoForward

    for line in dict.fromkeys(extraction.hardware.why for extraction in extractions):
        job.say(line)
    how, on_cpu, on_gpu = extractions[0], [], []
    for task in passes(job.extractors):
        own, shelf = extractions[task.first], job.shelves[task.first]
        make = partial(load, backbone_of(own.backbone), own.weights, task.extractor.layer, task.extractor.view.size)
        if own.hardware.device == "cuda":
            on_gpu.append((task, ready(make(), task.extractor)))
        else:
            kind = VinoForward if task.extractor.engine == "openvino" else TorchForward
            on_cpu.append((task, kind(make, task.extractor, shelf.folder, job.say)))
    if on_gpu and on_cpu:
        raise InputError("extractions in one pass", rule="run on one device", remedy="name it: --device cpu")
    if on_gpu:
        return GpuEngine(on_gpu, images, batch_size=how.batch_size, say=job.say)
    return CpuEngine(on_cpu, images, batch_size=how.batch_size, say=job.say)


def extract(
    images: ImageSet,
    backbone: str | Path | Backbone = DEFAULT,
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | None = None,
    precision: str = "auto",
    device: str = "auto",
    on_bad: str = "raise",
    store: Store | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    progress: bool = True,
    runtime: str = "auto",
    dihedral: bool = False,
) -> EmbeddingTable:
    """Vectors of images, computed where the store does not have them.

    Parameters
    ----------
    images : ImageSet
        What to look at.
    backbone, weights, layer, view, precision, device, on_bad, store, batch_size, workers, progress, runtime, dihedral
        See `Extraction`, which also lists what is raised.

    Returns
    -------
    EmbeddingTable
        One row per image that could be read, in the order of `images`; `made` says what was computed.
    """
    return Extraction(
        backbone, weights, layer, view, precision, device, on_bad, store, batch_size, workers, progress,
        runtime=runtime, dihedral=dihedral,
    ).table(images)  # fmt: skip
