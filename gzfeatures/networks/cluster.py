"""The same extraction on Ray: workers on any node fill one store, from which the table is gathered as ever.

The store has to lie where every node sees it under the same path, and so do images and weights files. A part that is
lost with its node is computed again by another; whatever was stored stays, so a broken run resumes like a local one.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import GzError, InputError, need
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.store import Store
from gzfeatures.images.imageset import ImageSet
from gzfeatures.networks.engine import Engine
from gzfeatures.networks.extract import Extraction
from gzfeatures.networks.hardware import Hardware
from gzfeatures.networks.job import Job
from gzfeatures.networks.load import load

PART_ROWS = 512
"""Images handed to a worker at a time: what is computed again when its node is lost."""


@contextmanager
def joined(address: str | None) -> Iterator[Any]:
    """Ray connected to the cluster at `address`, or to one started here; what was started is stopped.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    InputError
        No cluster answers at the address.
    """
    ray = need("ray", extra="cluster")
    need("ray.data", extra="cluster").DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    before = ray.is_initialized()
    try:
        if not before:
            ray.init(address=address or "local", log_to_driver=False, include_dashboard=None, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            "no Ray cluster answers", where="--address", found=f"{address}: {str(error).splitlines()[0]}",
            remedy="start one with 'ray start --head', or leave the address out",
        ) from None  # fmt: skip
    try:
        yield ray
    finally:
        if not before:
            ray.shutdown()


def compute(job: Job, todo: npt.NDArray[np.int64], extraction: Extraction, machine: Hardware) -> None:
    """Fill the store with the vectors of `todo`, on the cluster at `extraction.address` or a local one.

    Parameters
    ----------
    job : Job
        Whose images and shelf; told what was computed and what could not be decoded.
    todo : ndarray of int
        Rows of the job's images.
    extraction : Extraction
        How.
    machine : Hardware
        Device and precision, chosen once for all nodes.

    Raises
    ------
    InputError
        A node hashes the weights to something else; an image is bad and `on_bad="raise"`.
    """
    own = dataclasses.replace(
        extraction, engine="local", address=None, on_bad="skip", progress=False, workers=None,
        store=Store(job.shelf.folder.parent.resolve()), precision=machine.precision, device=machine.device,
    )  # fmt: skip
    with joined(extraction.address) as ray:
        slots = int(ray.cluster_resources().get("GPU" if machine.device == "cuda" else "CPU", 1))
        parts = [{"rows": todo[start : start + PART_ROWS]} for start in range(0, len(todo), PART_ROWS)]
        job.say(f"{len(parts)} parts of {PART_ROWS} images for up to {slots} workers on {len(ray.nodes())} Ray nodes")
        done = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
            _Worker,
            fn_constructor_args=(job.images, own, job.extractor, len(todo) // slots),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(slots, len(parts))),
            num_gpus=1 if machine.device == "cuda" else None,
            num_cpus=None if machine.device == "cuda" else 1,
        )
        start = time.perf_counter()
        with job.counted(len(todo), job.extractor.backbone) as advance:
            try:
                for result in done.iter_rows():
                    job.computed += int(result["computed"])
                    job.undecoded |= {key: InputError(why) for key, why in json.loads(result["bad"]).items()}
                    advance(int(result["rows"]))
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                while cause is not None and not isinstance(cause, GzError):
                    cause = cause.__cause__
                raise cause or error from None
        job.seconds += time.perf_counter() - start
    job.judge()


class _Worker:
    """Extracts parts on one node; the network is made once."""

    def __init__(self, images: ImageSet, extraction: Extraction, extractor: Extractor, share: int) -> None:
        self.images, self.extraction, self.extractor, self.share = images, extraction, extractor, share

    @cached_property
    def engine(self) -> Engine:
        own, extractor = self.extraction, self.extractor
        network = load(backbone_of(own.backbone), own.weights, extractor.layer, extractor.view.size)
        return Engine(network, extractor, own.device, self.share, batch_size=own.batch_size, say=_unheard)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = np.asarray(batch["rows"][0], dtype=np.int64)
        job = self.extraction.filled(self.images.select(self.images.ids[rows]), lambda _: self.engine)
        if job.extractor.fingerprint != self.extractor.fingerprint:
            raise InputError(
                "a node would compute other vectors",
                rule="see the same weights and run the same version of gzfeatures",
                found=f"extractor {job.extractor.fingerprint[:12]}, not {self.extractor.fingerprint[:12]}",
            )
        bad = {key: error.message for key, error in job.undecoded.items()}
        return {"computed": [job.computed], "rows": [len(rows)], "bad": [json.dumps(bad)]}


def _unheard(line: str) -> None:
    """What a worker says of its machine; the driver has no place for as many voices."""
