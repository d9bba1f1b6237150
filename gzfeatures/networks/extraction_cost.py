"""Measure on some of the images how much time, memory and disk all embeddings will need."""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from gzfeatures import user_folders
from gzfeatures.errors import NETWORK, InputError, require_packages
from gzfeatures.features.store import Store
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.jobs.result_tables import write_table_of
from gzfeatures.networks.extraction.spec import Extraction

if TYPE_CHECKING:
    from gzfeatures.networks.extraction.cpu import Engine
    from gzfeatures.networks.extraction.jobs.job import Job

SECONDS = 20.0
"""Default duration of the measurement, in seconds."""
FIRST, LEAST = 32, 64
"""Number of images in the first sample, and least number in the second, larger sample."""
BYTES_PER_IMAGE = 600
"""Memory in bytes for the id, digest and file position of an image."""


@dataclasses.dataclass(frozen=True)
class ExtractionCost:
    """Store how much time, memory and disk space the embeddings of all images will need.

    Parameters
    ----------
    images : int
        All images of the source.
    loading_seconds : float
        Seconds from the start of the process to the first embedding, if networks are already
        compiled.
    seconds_per_image : float
        Time for reading, decoding, networks and writing.
    bytes_per_image : float
        Disk space of one image's embeddings in the store and in the tables.
    memory : int
        Largest memory of the process, in bytes.
    measured : int
        Number of measured images.
    """

    images: int
    loading_seconds: float
    seconds_per_image: float
    bytes_per_image: float
    memory: int
    measured: int

    def seconds(self, tasks: int = 1) -> float:
        """Return the seconds until `tasks` machines like this one have embedded all images.

        Examples
        --------
        >>> ExtractionCost(1000, 10.0, 0.1, 8.0, 0, 64).seconds(tasks=4)
        35.0
        """
        return self.loading_seconds + self.images * self.seconds_per_image / tasks

    def asdict(self, tasks: int = 1) -> dict[str, Any]:
        """Return the cost as a dictionary for JSON, if `tasks` machines share the images."""
        hours = self.seconds(tasks) / 3600
        return {
            "images": self.images,
            "images_per_second": 1 / self.seconds_per_image,
            "loading_seconds": self.loading_seconds,
            "tasks": tasks,
            "hours": hours,
            "node_hours": hours * tasks,
            "disk_gb": self.images * self.bytes_per_image / 1e9,
            "memory_gb": self.memory / 1e9,
            "measured_images": self.measured,
        }


def measure(
    images: ImageSet, extractions: Sequence[Extraction], seconds: float = SECONDS
) -> ExtractionCost:
    """Embed a sample of the images in a temporary store; return the cost of embedding all images.

    If compiling is worthwhile for all images, the network is compiled first, and the extraction
    reuses the code.

    Parameters
    ----------
    images : ImageSet
        All images of the planned extraction.
    extractions : sequence of Extraction
        Settings of the planned extraction; their store and progress are not used, and a bad image
        is left out.
    seconds : float
        About how long to measure, after loading and compiling.

    Raises
    ------
    InputError
        No image of the sample can be read; otherwise as `extract.write_all`.
    """
    require_packages("measuring an extraction", *NETWORK)
    # each process of an extraction imports these modules once, which takes seconds: import them
    # before measuring the seconds per image
    from gzfeatures.networks.extraction.fill import engine_of, filled

    loaded = time.time() - psutil.Process().create_time()
    built: list[float] = []

    def make(wanted: Sequence[Extraction], job: Job, _: int) -> Engine:
        start = time.perf_counter()
        engine = engine_of(wanted, job, len(images))
        built.append(time.perf_counter() - start)
        return engine

    def extracted(count: int) -> tuple[float, float, int]:
        part = _sample(images, count)
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            store = Store(Path(folder) / "store")
            wanted = [
                dataclasses.replace(each, store=store, progress=False, on_bad="skip")
                for each in extractions
            ]
            start = time.perf_counter()
            job = filled(wanted, part, make)
            for number in range(len(wanted)):
                write_table_of(job, number, Path(folder) / f"{number}.parquet", start)
            taken = time.perf_counter() - start
            size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
            return taken, size, len(job.good())

    taken, _, count = extracted(FIRST)
    if not count or not built:
        raise InputError("no image of the sample can be read", rule="be measured on some images")
    rate = max(taken - built[0], 1e-3) / count
    taken, size, count = extracted(max(LEAST, int(seconds / rate)))
    # the first images of a process are slow, so this sample may be too small: take a larger one
    measured = max(taken - built[-1], 1e-3)
    if measured < seconds / 2 and count < len(images):
        taken, size, count = extracted(int(count * seconds / measured))
    per_image = max(taken - built[-1], 1e-9) / count
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return ExtractionCost(
        len(images),
        loaded + built[-1],
        per_image,
        size / count,
        memory + BYTES_PER_IMAGE * len(images),
        count,
    )


def _sample(images: ImageSet, count: int) -> ImageSet:
    """Return `count` images stored one after another, from the middle of all image files."""
    # archives decompress neighbouring images together, so a sample of scattered images would look
    # slower than the extraction
    order = images.file_order()
    first = max(0, (len(images) - count) // 2)
    return images.select(images.ids[np.sort(order[first : first + count])])


def _scratch() -> Path:
    folder = user_folders.scratch()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
