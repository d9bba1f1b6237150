"""The same extraction on Ray: workers on any node fill one store, from which the table is gathered as ever.

The store has to lie where every node sees it under the same path, and so do images and weights files. A part that is
lost with its node is computed again by another; whatever was stored stays, so a broken run resumes like a local one.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import GzError, InputError, need
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.store import Store
from gzfeatures.images.imageset import ImageSet
from gzfeatures.networks.engine import Engine
from gzfeatures.networks.fill import engine_of, filled
from gzfeatures.networks.job import Job
from gzfeatures.networks.spec import Extraction

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


def compute(job: Job, todo: npt.NDArray[np.int64], extractions: Sequence[Extraction]) -> None:
    """Fill the store with the vectors of `todo`, on the cluster at the extractions' address or a local one.

    Parameters
    ----------
    job : Job
        Whose images and shelf; told what was computed and what could not be decoded.
    todo : ndarray of int
        Rows of the job's images.
    extractions : sequence of Extraction
        How; device, precision and library are chosen here, once for all nodes.

    Raises
    ------
    InputError
        A node hashes the weights to something else; an image is bad and `on_bad="raise"`.
    """
    store, device = Store(job.shelves[0].folder.parent.resolve()), extractions[0].hardware.device
    own = [
        dataclasses.replace(
            each, engine="local", address=None, on_bad="skip", progress=False, store=store,
            workers=None if device == "cuda" else 1,
            device=device, precision=each.hardware.precision, runtime=each.hardware.runtime,
        )
        for each in extractions
    ]  # fmt: skip
    with joined(extractions[0].address) as ray:
        slots = int(ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 1))
        parts = [{"rows": todo[start : start + PART_ROWS]} for start in range(0, len(todo), PART_ROWS)]
        job.say(f"{len(parts)} parts of {PART_ROWS} images for up to {slots} workers on {len(ray.nodes())} Ray nodes")
        done = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
            _Worker,
            fn_constructor_args=(job.images, own, job.extractors, len(todo) // slots),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(slots, len(parts))),
            num_gpus=1 if device == "cuda" else None,
            num_cpus=None if device == "cuda" else 1,
        )
        start = time.perf_counter()
        with job.counted(len(todo), "images on the cluster") as advance:
            try:
                for result in done.iter_rows():
                    for rows, stored in zip(job.pending, result["computed"], strict=True):
                        rows.stored += int(stored)
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

    def __init__(
        self, images: ImageSet, extractions: Sequence[Extraction], extractors: Sequence[Extractor], share: int
    ) -> None:
        self.images, self.extractions, self.extractors, self.share = images, extractions, extractors, share
        self.engine: Engine | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = np.asarray(batch["rows"][0], dtype=np.int64)
        job = filled(self.extractions, self.images.select(self.images.ids[rows]), self._engine)
        for here, there in zip(job.extractors, self.extractors, strict=True):
            if here.fingerprint != there.fingerprint:
                raise InputError(
                    "a node would compute other vectors",
                    rule="see the same weights and run the same version of gzfeatures",
                    found=f"extractor {here.fingerprint[:12]}, not {there.fingerprint[:12]}",
                )
        bad = {key: error.message for key, error in job.undecoded.items()}
        computed = [pending.stored for pending in job.pending]
        return {"computed": [computed], "rows": [len(rows)], "bad": [json.dumps(bad)]}

    def _engine(self, extractions: Sequence[Extraction], job: Job, images: int) -> Engine:
        """The networks, made for the first part and kept; each worker has its share of all images to do."""
        if self.engine is None:
            self.engine = engine_of(extractions, job, max(images, self.share))
        return self.engine
