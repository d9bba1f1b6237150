"""Compute embeddings on the nodes of a Ray cluster, which write into one shared folder (store).

Every node must see the store, images and weights files under the same paths. If a node fails,
another node computes the images of its current task again. Stored embeddings stay, so an
interrupted run resumes as on one machine.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import GzError, InputError, OutputError, need
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.store import Store
from gzfeatures.images.decode import reason
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.cpu import Engine
from gzfeatures.networks.extraction.fill import engine_of, filled
from gzfeatures.networks.extraction.jobs.job import Job
from gzfeatures.networks.extraction.spec import Extraction

PART_ROWS = 512
"""Number of images in a worker's task; if its node fails, the whole task is computed again."""


SOCKET_BYTES = 103
"""Longest path of a Unix socket in bytes that every operating system allows."""
LONGEST_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
"""Longest path that Ray appends to its folder for a socket: date, time and process number."""


@contextmanager
def _folder(say: Callable[[str], object]) -> Iterator[str | None]:
    """Yield a short folder path for a new Ray cluster's sockets; None if Ray's default is suitable.

    Batch systems set `$TMPDIR` to long paths, under which no socket can be made. In this case the
    folder lies in /tmp, and is removed afterwards.

    Raises
    ------
    OutputError
        `$TMPDIR` is too long, and no folder can be made in /tmp.
    """
    # read these two variables in Ray's order, to know which folder Ray would choose
    wanted = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(f"{wanted}/ray{LONGEST_SOCKET}")) <= SOCKET_BYTES or os.name != "posix":
        yield None
        return
    try:
        short = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(
            "Ray cannot make its sockets: the path is too long, "
            f"and /tmp cannot be written ({error.strerror})",
            where=f"TMPDIR={wanted}",
            rule=f"have at most {SOCKET_BYTES - len(LONGEST_SOCKET) - len('/ray')} bytes",
            remedy="set RAY_TMPDIR to a short path, or leave --engine ray out",
        ) from None
    with short as place:
        say(f"Ray keeps its sockets in {place}: $TMPDIR is too long a path for them")
        yield place


@contextmanager
def joined(address: str | None, say: Callable[[str], object] = lambda _: None) -> Iterator[Any]:
    """Connect to the Ray cluster at `address`, or start one on this machine and stop it afterwards.

    Parameters
    ----------
    address : str, optional
    say : callable
        Prints one line of text for the user.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    InputError
        No cluster answers at the address.
    OutputError
        No folder with a short path can be made for Ray's sockets.
    """
    ray = need("ray", extra="cluster")
    need("ray.data", extra="cluster").DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    with nullcontext() if address else _folder(say) as place:
        handler = signal.getsignal(signal.SIGTERM)
        options = {"address": address} if address else {"address": "local", "_temp_dir": place}
        try:
            ray.init(log_to_driver=False, include_dashboard=None, logging_level="ERROR", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                "no Ray cluster answers",
                where="--address",
                found=f"{address}: {str(error).splitlines()[0]}",
                remedy="start one with 'ray start --head', or leave the address out",
            ) from None
        finally:
            # Ray replaced the handler of SIGTERM by one that exits with the signal's number;
            # restore the former handler, so that SIGTERM ends the program as without Ray
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)
        try:
            yield ray
        finally:
            ray.shutdown()


def compute(job: Job, todo: npt.NDArray[np.int64], extractions: Sequence[Extraction]) -> None:
    """Compute embeddings on a Ray cluster, whose nodes write them to the common store.

    Parameters
    ----------
    job : Job
        Job with the images and the caches of vectors; the numbers of computed and undecodable
        images are added to it.
    todo : ndarray of int
        Rows of the job's images.
    extractions : sequence of Extraction
        Settings; device, precision and library are chosen here, once for all nodes.

    Raises
    ------
    InputError
        A node has other weights or another version of gzfeatures; or an image is bad and
        `on_bad="raise"`.
    """
    store, device = Store(job.caches[0].folder.parent.resolve()), extractions[0].hardware.device
    on_nodes = [_on_nodes(extraction, store, device) for extraction in extractions]
    with joined(extractions[0].address, job.say) as ray:
        slots = int(ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 1))
        parts = [
            {"rows": todo[start : start + PART_ROWS]} for start in range(0, len(todo), PART_ROWS)
        ]
        job.say(
            f"{len(parts)} parts of {PART_ROWS} images for up to {slots} workers "
            f"on {len(ray.nodes())} Ray nodes"
        )
        done = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
            _Worker,
            fn_constructor_args=(job.images, on_nodes, job.extractors, len(todo) // slots),
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
                    job.undecoded |= {
                        key: InputError(why) for key, why in json.loads(result["bad"]).items()
                    }
                    job.empty.reasons |= json.loads(result["empty"])
                    advance(int(result["rows"]))
            except ray.exceptions.RayTaskError as error:
                # Ray wraps a worker's error in errors of its own; show the user the original error
                cause = error.cause
                while cause is not None and not isinstance(cause, GzError):
                    cause = cause.__cause__
                raise cause or error from None
        job.seconds += time.perf_counter() - start
    # the nodes have already tested whether these images show a galaxy; marking them as tested saves
    # decoding all images again
    job.empty.judged.update(job.digests[todo])
    for row in todo:
        job.empty.name(str(job.images.ids[row]), job.digests[row])
    job.raise_bad()


def _on_nodes(extraction: Extraction, store: Store, device: str) -> Extraction:
    """Return the settings for the nodes: compute locally, and write to the shared store."""
    # fix device, precision and library to those of this machine: nodes with other hardware would
    # choose other values, and their embeddings would differ
    machine = extraction.hardware
    return dataclasses.replace(
        extraction,
        engine="local",
        address=None,
        on_bad="skip",
        progress=False,
        store=store,
        workers=None if device == "cuda" else 1,
        device=device,
        precision=machine.precision,
        runtime=machine.runtime,
    )


class _Worker:
    """Compute embeddings on one cluster node; build its networks once for all its tasks."""

    def __init__(
        self,
        images: ImageSet,
        extractions: Sequence[Extraction],
        extractors: Sequence[Extractor],
        share: int,
    ) -> None:
        self.images, self.extractions = images, extractions
        self.extractors, self.share = extractors, share
        self.engine: Engine | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = np.asarray(batch["rows"][0], dtype=np.int64)
        job = filled(self.extractions, self.images.select(self.images.ids[rows]), self._engine)
        # refuse a node with other weights or another version of gzfeatures: its embeddings would
        # not be comparable with those of the other nodes
        for on_node, expected in zip(job.extractors, self.extractors, strict=True):
            if on_node.fingerprint != expected.fingerprint:
                raise InputError(
                    "a node would compute other vectors",
                    rule="see the same weights and run the same version of gzfeatures",
                    found=f"extractor {on_node.fingerprint[:12]}, not {expected.fingerprint[:12]}",
                )
        bad = {key: reason(error) for key, error in job.undecoded.items()}
        computed = [pending.stored for pending in job.pending]
        return {
            "computed": [computed],
            "rows": [len(rows)],
            "bad": [json.dumps(bad)],
            "empty": [json.dumps(job.empty.reasons)],
        }

    def _engine(self, extractions: Sequence[Extraction], job: Job, images: int) -> Engine:
        """Build the networks in this node's first task; return the same networks in later tasks."""
        # compiling a network saves time only for many images, and a task has few: pass the number
        # of images that this worker will get in all its tasks
        if self.engine is None:
            self.engine = engine_of(extractions, job, max(images, self.share))
        return self.engine
