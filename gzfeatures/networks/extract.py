"""ImageSet + backbone + Store → EmbeddingTable. What is stored is not computed again."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures.errors import InputError, unknown
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable, Extractor, TableFile
from gzfeatures.features.weights import weights_digest, weights_file
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.views import View
from gzfeatures.networks import hardware
from gzfeatures.networks.job import Job

if TYPE_CHECKING:
    from gzfeatures.networks.engine import Engine

ENGINES = ("local", "ray")
ROUNDS = 3
"""How often rows that vanish from the store while a table is made (pruned by another process) are computed again."""


def extractor_of(
    backbone: str | Path | Backbone,
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | None = None,
    precision: str = "float32",
) -> Extractor:
    """Everything that decides the vectors; no network is loaded, the weights file is only hashed.

    Parameters
    ----------
    backbone, weights, layer, view
        As for `extract`.
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the forward pass.

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
        stride_on=spec.stride_on,
        trained_on=spec.trained_on if weights is None else None,
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
        Node whose flattened output is the vector; default the backbone's pooled layer.
    view : View, optional
        Pixels the network sees; default the backbone's.
    precision : {"auto", "float32", "bfloat16", "float16"}
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

    Raises
    ------
    InputError
        A choice is not one of those, or a number is not positive. From `table` and `write`: an image is bad and
        `on_bad="raise"`; what was computed before stays in the store.
    UnknownNameError, MissingFileError, WeightsError, OutputError
        From `table` and `write`: unknown name; weights that cannot be had; a place that cannot be written.
    """

    backbone: str | Path | Backbone = "resnet50"
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

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.on_bad not in ("raise", "skip"):
            raise InputError("on_bad", rule="be raise or skip", found=self.on_bad)
        for name, number in (("batch size", self.batch_size), ("workers", self.workers)):
            if number is not None and number < 1:
                raise InputError(name, rule="be at least 1", found=number)

    @property
    def extractor(self) -> Extractor:
        """Everything that decides the vectors; no network is loaded."""
        machine = hardware.choose(self.device, self.precision)
        return extractor_of(
            self.backbone, weights=self.weights, layer=self.layer, view=self.view, precision=machine.precision
        )

    def table(self, images: ImageSet) -> EmbeddingTable:
        """One row per image that could be read, in the order of `images`."""
        start = time.perf_counter()
        return self.filled(images).table(start)

    def write(self, images: ImageSet, path: str | Path) -> TableFile:
        """As `table`, written to Parquet row group by row group: memory does not grow with the number of images."""
        start = time.perf_counter()
        return self.filled(images).write(Path(path), start)

    def filled(self, images: ImageSet, make: Callable[[int], Engine] | None = None) -> Job:
        """Compute what the store does not have; the job that is handed back gathers the table.

        Parameters
        ----------
        images : ImageSet
        make : callable, optional
            Gives the engine for a number of images, where one is at hand already.
        """
        machine = hardware.choose(self.device, self.precision)
        extractor = extractor_of(
            self.backbone, weights=self.weights, layer=self.layer, view=self.view, precision=machine.precision
        )
        shelf = (self.store or Store.default()).shelf(extractor)
        job = Job(images, extractor, shelf, self.on_bad == "raise", self.workers or os.cpu_count() or 1, self.progress)
        job.look()
        for _ in range(ROUNDS):
            todo = job.absent()
            if not len(todo):
                break
            if self.engine == "ray":
                from gzfeatures.networks import cluster

                cluster.compute(job, todo, self, machine)
            else:
                job.compute(todo, partial(make or partial(self._engine, job, machine), len(todo)))
        shelf.compact()
        return job

    def _engine(self, job: Job, machine: hardware.Hardware, images: int) -> Engine:
        from gzfeatures.networks.engine import Engine
        from gzfeatures.networks.load import load

        job.say(machine.why)
        network = load(backbone_of(self.backbone), self.weights, job.extractor.layer, job.extractor.view.size)
        return Engine(network, job.extractor, machine.device, images, batch_size=self.batch_size, say=job.say)


def extract(
    images: ImageSet,
    backbone: str | Path | Backbone = "resnet50",
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
) -> EmbeddingTable:
    """Vectors of images, computed where the store does not have them.

    Parameters
    ----------
    images : ImageSet
        What to look at.
    backbone, weights, layer, view, precision, device, on_bad, store, batch_size, workers, progress
        See `Extraction`, which also lists what is raised.

    Returns
    -------
    EmbeddingTable
        One row per image that could be read, in the order of `images`; `made` says what was computed.
    """
    return Extraction(
        backbone, weights, layer, view, precision, device, on_bad, store, batch_size, workers, progress
    ).table(images)
