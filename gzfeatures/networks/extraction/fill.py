"""Compute the embeddings of images that are not yet stored on disk, and store them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import NETWORK, InputError, require_packages
from gzfeatures.features.extractor import Extractor
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.picture_hash import BYTES, MIDDLE
from gzfeatures.images.view import View
from gzfeatures.networks.compilation.compiler_cache import private_compiler
from gzfeatures.networks.extraction.jobs.job import Job
from gzfeatures.networks.extraction.plan import ForwardPlan, plan_forwards
from gzfeatures.networks.extraction.spec import Extraction
from gzfeatures.progress import handed

if TYPE_CHECKING:
    from torch import nn

    from gzfeatures.networks.extraction.cpu import Engine

SHARED = ("device", "on_bad", "store", "batch_size", "workers", "progress", "engine", "address")
"""Settings that must be equal for several extractions that share one reading of the images."""
PICTURE_HASH = Extractor(
    "picture-hash",
    "cosine signs",
    "1",
    "64 px",
    2 * BYTES,
    View(size=64, crop=MIDDLE),
    (0.0,) * 3,
    (1.0,) * 3,
)
"""Key (extractor) under which the store keeps picture hashes, as vectors of one number per byte."""
ROUNDS = 3
"""Most attempts to compute embeddings, if another process deletes stored ones in the meantime."""

Compute = Callable[[Job, npt.NDArray[np.int64], Sequence[Extraction]], None]
"""Function that computes vectors of some images of a job, and writes them to the store."""
Make = Callable[[Sequence[Extraction], Job, int], "Engine"]
"""Function that builds the networks for several extractions and a given number of images."""


def filled(
    extractions: Sequence[Extraction],
    images: ImageSet,
    make: Make | None = None,
    elsewhere: Compute | None = None,
) -> Job:
    """Compute and store missing embeddings; return the Job, from which tables can be read.

    Parameters
    ----------
    extractions : sequence of Extraction
    images : ImageSet
    make : callable, optional
        Returns the engine (CPU or GPU) with its networks; default `engine_of`.
    elsewhere : callable, optional
        Function that computes the embeddings on other machines; default: on this machine.

    Raises
    ------
    InputError
        The extractions differ in a setting that must be equal, or name no store.
    """
    how = extractions[0]
    for name in SHARED:
        if any(getattr(other, name) != getattr(how, name) for other in extractions):
            raise InputError("extractions in one pass", rule=f"have one {name.replace('_', ' ')}")
    if how.store is None:
        raise InputError(
            "extraction without a store",
            where=how.extractor.backbone,
            rule="name the folder that keeps its vectors",
            remedy="give store=Store(folder), or Store.default() for the user's own",
        )
    store = how.store
    caches = [store.vectors_of(extraction.extractor) for extraction in extractions]
    whole = how.hardware.device == "cuda"
    workers, hashes = how.workers or os.cpu_count() or 1, store.vectors_of(PICTURE_HASH)
    progress = handed(how.progress)
    job = Job(images, caches, how.on_bad == "raise", workers, progress, whole, hashes)
    # vectors are stored under the digests (sha256) of the images, so digests come first
    job.hash_images()
    for _ in range(ROUNDS):
        todo = job.absent()
        if not len(todo):
            break
        # require PyTorch only here: if all vectors are stored already, no network has to run
        require_packages("extracting vectors", *NETWORK)
        # a store without write permission must fail now, not after hours of computing
        for cache in caches:
            cache.require_writable()
        if elsewhere is not None:
            elsewhere(job, todo, extractions)
        else:
            # on a GPU, long extractions compile networks in the first batch; the compiler's files
            # are machine code, so put them in a folder that no other user can change
            with private_compiler(how.hardware.device == "cuda"):
                job.compute(todo, partial(make or engine_of, extractions, job, len(todo)))
            if make is None:
                # Python frees networks only in a garbage collection, because their objects refer to
                # each other; free them before the tables need the memory
                gc.collect()
    job.describe()
    job.find_empty()
    # merge small files of vectors (shards): each file costs time whenever the store is opened
    for cache in (*caches, hashes):
        cache.compact()
    return job


def engine_of(extractions: Sequence[Extraction], job: Job, images: int) -> Engine:
    """Build the networks of several extractions, ready to run on this machine's CPU or GPUs.

    Parameters
    ----------
    extractions : sequence of Extraction
    job : Job
        Job of these extractions, through which lines are printed.
    images : int
    """
    from gzfeatures.networks.compilation.code_folder import CodeFolder
    from gzfeatures.networks.encoders.described import described
    from gzfeatures.networks.extraction.cpu import CpuEngine
    from gzfeatures.networks.extraction.foreign import SoundEncoder, shown
    from gzfeatures.networks.extraction.forward import TorchForward, ready
    from gzfeatures.networks.extraction.gpu import GpuEngine
    from gzfeatures.networks.extraction.openvino import OpenVinoForward
    from gzfeatures.networks.models.load import load

    for line in dict.fromkeys(extraction.hardware.why for extraction in extractions):
        job.say(line)
    how, on_cpu = extractions[0], []
    on_gpu: list[tuple[ForwardPlan, nn.Module]] = []
    # one plan runs a network once for all extractions that differ only in the layer they read
    for task in plan_forwards(job.extractors):
        extraction = extractions[task.first]
        spec = described(extraction.backbone, extraction.weights)
        cuda = extraction.hardware.device == "cuda"
        if spec.kind:
            job.say(shown(spec, task.extractor))
            encoder = SoundEncoder(extraction.backbone, spec, task.extractor)
            if cuda:
                on_gpu.append((task, encoder.body()))
            else:
                on_cpu.append((task, encoder.forward(job.say)))
            continue
        view, layer = task.extractor.view, task.extractor.layer
        make = partial(load, spec, extraction.weights, layer, view.size)
        if cuda:
            on_gpu.append((task, ready(make(), task.extractor)))
        else:
            forward = OpenVinoForward if task.extractor.engine == "openvino" else TorchForward
            on_cpu.append((task, forward(make, task.extractor, CodeFolder.default(), job.say)))
    if on_gpu and on_cpu:
        raise InputError(
            "extractions in one pass", rule="run on one device", remedy="name it: --device cpu"
        )
    if on_gpu:
        return GpuEngine(on_gpu, images, batch_size=how.batch_size, say=job.say)
    return CpuEngine(on_cpu, images, batch_size=how.batch_size, say=job.say)
