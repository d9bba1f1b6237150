"""Quiet: readers that tell of damage by warnings, kept from warning. Python's filters belong to all threads at once."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_locks = [threading.RLock()]


def _renew() -> None:
    """A lock that another thread holds during a fork is never released in the child."""
    _locks[0] = threading.RLock()


os.register_at_fork(after_in_child=_renew)


@contextmanager
def without_warnings(*errors: type[Warning]) -> Iterator[None]:
    """One thread at a time, with warnings ignored and those named raised."""
    with _locks[0], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in errors:
            warnings.simplefilter("error", kind)
        yield
