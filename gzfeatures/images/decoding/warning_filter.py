"""Suppress warnings of image decoders, in one thread at a time."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_locks = [threading.RLock()]


def _renew() -> None:
    """Make a new lock in a forked process, where nobody would release another thread's lock."""
    _locks[0] = threading.RLock()


os.register_at_fork(after_in_child=_renew)


@contextmanager
def without_warnings(*errors: type[Warning]) -> Iterator[None]:
    """Ignore warnings in one thread at a time, but raise the warnings in `errors`."""
    with _locks[0], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in errors:
            warnings.simplefilter("error", kind)
        yield
