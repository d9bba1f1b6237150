"""Pools of processes for tests."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processes(count: int, method: str = "fork") -> Iterator[multiprocessing.pool.Pool]:
    """Give a pool whose processes end by themselves.

    A pool of its own accord ends them by SIGTERM, for which a forked process may have the handler
    of a library (Ray's), and then waits for ever.
    """
    pool = multiprocessing.get_context(method).Pool(count)
    try:
        yield pool
    finally:
        pool.close()
        pool.join()
