"""Make PyTorch's compiler write its files to a folder that only the user can enter.

By default PyTorch uses a folder in /tmp with a guessable name (`torchinductor_USER`). Another user
could create it first, and PyTorch would load that user's files as code.
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
"""Environment variable with the folder of PyTorch's compiler; the user's own value is respected."""


@contextmanager
def compiler_in(workshop: Path) -> Iterator[None]:
    """In a `with` block, make PyTorch's compiler write to a given folder, unless the user set one.

    An environment variable of this process is set, which processes of the compiler inherit. Headers
    that the compiler would share between networks, in a folder of its own, are not compiled.
    """
    # import only here: PyTorch takes seconds, and a table whose vectors are all stored needs none
    from gzfeatures.networks._compat_torch import no_shared_headers

    named = os.environ.get(COMPILER_CACHE)
    os.environ[COMPILER_CACHE] = chosen_folder() or str(workshop)
    try:
        with no_shared_headers():
            yield
    finally:
        if named is None:
            os.environ.pop(COMPILER_CACHE, None)
        else:
            os.environ[COMPILER_CACHE] = named


def chosen_folder() -> str | None:
    """Return the folder that the user chose for PyTorch's compiler; None if the user chose none.

    Importing torchvision is enough to make newer PyTorch set the variable itself, to its guessable
    folder.
    """
    named = os.environ.get(COMPILER_CACHE)
    if named is None:
        return None
    folder = Path(named)
    temporary = folder.parent == Path(tempfile.gettempdir()).absolute()
    return None if temporary and folder.name.startswith("torchinductor_") else named


@contextmanager
def private_compiler(needed: bool = True) -> Iterator[None]:
    """In a `with` block, make PyTorch's compiler write to a folder that only the user can enter.

    Parameters
    ----------
    needed : bool
        False: change nothing, because nothing will be compiled.
    """
    if not needed:
        yield
        return
    code = CodeFolder.default()
    with contextlib.ExitStack() as stack:
        workshop = code.workshop
        if code.obstacle() is not None:
            # if no private folder can be used (such as in a read-only home), use a temporary one
            # with mode 0700 and a random name, which nobody can guess and create first
            folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            workshop = Path(stack.enter_context(folder))
        stack.enter_context(compiler_in(workshop))
        yield
