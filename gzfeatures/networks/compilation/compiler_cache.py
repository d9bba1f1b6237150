"""Keep the files of PyTorch's compiler in a folder that only the user can enter.

PyTorch's own choice is a folder under /tmp with a name that anybody can guess and create first
(`torchinductor_USER`), and what lies there is loaded as code.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gzfeatures.networks.compilation.code_folder import CodeFolder

COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""Environment variable of the compiler's folder; a value set by the user is kept."""


@contextmanager
def compiler_in(workshop: Path) -> Iterator[None]:
    """Let PyTorch's compiler keep its files in a folder, unless the user has chosen another.

    The variable is that of the process: the compiler's own processes inherit it.
    """
    named = os.environ.get(COMPILER_CACHE)
    os.environ[COMPILER_CACHE] = named or str(workshop)
    try:
        yield
    finally:
        if named is None:
            os.environ.pop(COMPILER_CACHE, None)
        else:
            os.environ[COMPILER_CACHE] = named


@contextmanager
def private_compiler(needed: bool = True) -> Iterator[None]:
    """Keep the compiler's files in the user's private folder inside a `with` block.

    Parameters
    ----------
    needed : bool
        Whether anything is compiled at all; otherwise nothing is done.
    """
    if not needed:
        yield
        return
    code = CodeFolder.default()
    with contextlib.ExitStack() as stack:
        workshop = code.workshop
        if code.obstacle() is not None:
            # if the home folder is read-only, use a new folder with mode 0700 and a random name,
            # which nobody can guess and create first
            folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            workshop = Path(stack.enter_context(folder))
        stack.enter_context(compiler_in(workshop))
        yield
