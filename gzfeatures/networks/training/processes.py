"""Find the first of the processes that train together: it alone writes files and messages."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
import torch.distributed

from gzfeatures.progress import SILENT, Progress, handed


def wait_for_all() -> bool:
    """Wait until all processes of a training arrive here; return True in the first process.

    Some strategies run the caller's script in every process: then every process makes this call.
    """
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not together:
        return True
    torch.distributed.barrier()
    return torch.distributed.get_rank() == 0


def is_first() -> bool:
    """Return True if this process is the first, or the only one, of a training run."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def speaker(progress: Progress | bool) -> Callable[[str], object]:
    """Return a function that shows messages to the user, in the first process only."""
    return handed(progress).say if is_first() else SILENT.say
