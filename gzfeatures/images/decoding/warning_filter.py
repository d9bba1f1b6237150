"""Run readers without their warnings, under one lock, as Python's filters serve all threads."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_locks = [threading.RLock()]


def _renew() -> None:
    """Make a new lock in a forked child, where a lock held by another thread is never released."""
    _locks[0] = threading.RLock()


os.register_at_fork(after_in_child=_renew)


@contextmanager
def without_warnings(*errors: type[Warning]) -> Iterator[None]:
    """Ignore warnings in one thread at a time, and raise those that are named."""
    with _locks[0], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in errors:
            warnings.simplefilter("error", kind)
        yield
