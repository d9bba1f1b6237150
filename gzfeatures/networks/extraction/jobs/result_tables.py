"""Read the stored embeddings of a job's images as tables, in memory or in a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gzfeatures.features.table import EmbeddingTable, Made, TableFile
from gzfeatures.features.table_writer import GROUP_ROWS, writer
from gzfeatures.images.decode import reason
from gzfeatures.networks.extraction.jobs.job import Job


def table_of(job: Job, number: int, began: float) -> EmbeddingTable:
    """Return an embedding table of all readable images, in memory.

    Parameters
    ----------
    job : Job
        Job whose missing embeddings have been computed.
    number : int
        Index of the table among the job's tables.
    began : float
        Value of `time.perf_counter` when the extraction began.
    """
    kept = job.good()
    ids, digests = job.images.ids[kept], job.digests[kept]
    return EmbeddingTable(
        ids,
        digests,
        job.caches[number].vectors(digests),
        job.extractors[number],
        _skipped(job),
        _made(job, number, len(kept), began),
        job.hashes.of(digests),
        job.images.kind,
        job.empty.listed(ids, digests),
        _framing(job),
    )


def write_table_of(job: Job, number: int, path: Path, began: float) -> TableFile:
    """Write an embedding table of all readable images to a file, a block of rows at a time."""
    kept = job.good()
    ids, digests = job.images.ids[kept], job.digests[kept]
    with writer(
        path,
        job.extractors[number],
        _skipped(job),
        pictures=job.hashes.cache is not None,
        kind=job.images.kind,
        nothing_shown=job.empty.listed(ids, digests),
        framing=_framing(job),
    ) as append:
        for first in range(0, len(kept), GROUP_ROWS):
            part = slice(first, first + GROUP_ROWS)
            vectors = job.caches[number].vectors(digests[part])
            append(ids[part], digests[part], vectors, job.hashes.of(digests[part]))
    return TableFile(path, _made(job, number, len(kept), began))


def _framing(job: Job) -> dict[str, Any] | None:
    """Return how the crop around each galaxy was chosen, to be recorded in the table."""
    return None if job.images.framing is None else job.images.framing.asdict()


def _skipped(job: Job) -> tuple[tuple[str, str], ...]:
    # list id and reason of each bad image only; the error's remedy would not help readers of a
    # table
    reasons = {row: reason(error) for row, error in job.unread.items()}
    for row, key in enumerate(job.digests):
        if key in job.undecoded:
            reasons[row] = reason(job.undecoded[key])
    return tuple((str(job.images.ids[row]), reasons[row]) for row in sorted(reasons))


def _made(job: Job, number: int, rows: int, began: float) -> Made:
    computed = job.pending[number].stored
    rate = computed / job.seconds if computed else 0.0
    return Made(computed, rows - min(computed, rows), time.perf_counter() - began, rate)
