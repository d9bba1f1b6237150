"""Suppress the warnings of image decoders; a lock lets only one thread do so at a time."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_locks = [threading.RLock()]


def _renew() -> None:
    """Make a new lock after a fork, because nobody in the new process releases the old lock."""
    _locks[0] = threading.RLock()


os.register_at_fork(after_in_child=_renew)


@contextmanager
def without_warnings(*errors: type[Warning]) -> Iterator[None]:
    """Ignore warnings while an image is decoded; raise only warnings of the types `errors`.

    A lock lets only one thread at a time run the `with` block.
    """
    with _locks[0], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in errors:
            warnings.simplefilter("error", kind)
        yield
