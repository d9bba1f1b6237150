"""Run networks compiled for this CPU in parallel threads, without Python's global lock.

PyTorch's own call of a compiled network holds the interpreter's lock (GIL) during the whole forward
pass, so that all other threads wait. This module calls the network without the lock, through the
stable C interface of AOTInductor (`aoti_runtime/interface.h` and `aoti_torch/c/shim.h` in PyTorch's
headers).
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.networks._compat_torch import (
    RETURNS_TO_PYTORCH,
    compile_library,
    harmless_warnings_hidden,
    require_symbols,
)
from gzfeatures.networks.compilation.compiler_cache import compiler_in

Handle = ctypes.c_void_p


def compile_ahead(network: nn.Module, example: torch.Tensor, workshop: Path) -> bytes:
    """Compile a network to machine code for inputs shaped like `example`; return the code's bytes.

    Parameters
    ----------
    network : nn.Module
        Returns float32 vectors, shape (n, dim), contiguous.
    example : Tensor
        uint8 pixels, shape (n, size, size, bands).
    workshop : Path
        Private folder for files the compiler reuses; `$TORCHINDUCTOR_CACHE_DIR` replaces it.

    Returns
    -------
    bytes
        A shared library.

    Raises
    ------
    RuntimeError
        No C++ compiler, no way to compile in this PyTorch, or the network cannot be compiled.
    """
    # hide the compiler's warning of a missing GPU: the code is compiled for the CPU
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with (
        torch.no_grad(),
        tempfile.TemporaryDirectory() as folder,
        compiler_in(workshop),
        harmless_warnings_hidden(),
    ):
        program = torch.export.export(network, (example,))
        library = compile_library(program.module(), example, Path(folder))
    if RETURNS_TO_PYTORCH in library:
        raise RuntimeError("the network has an operator that compiled code cannot call")
    return library


class Compiled:
    """Load machine code from `compile_ahead` into this process, and run it as a function.

    Parameters
    ----------
    library : bytes
        Machine code. It can do anything, so it must be from `code_folder`.
    workers : int
        Number of threads that may call it in parallel.
    dim : int
        Length of a vector.

    Raises
    ------
    RuntimeError
        The library cannot be loaded, or lacks a function.
    """

    def __init__(self, library: bytes, workers: int, dim: int) -> None:
        try:
            self._library = _loaded(library)
        except OSError as error:
            raise RuntimeError(f"compiled network cannot be loaded: {error}") from None
        require_symbols(self._library)
        self._dim, self._container, count = dim, Handle(), ctypes.c_size_t(workers)
        self._do(
            "ModelContainerCreateWithDevice", ctypes.byref(self._container), count, b"cpu", None
        )
        weakref.finalize(self, self._library.AOTInductorModelContainerDelete, self._container)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return embeddings (n, dim) of pixels in the shape for which the network was compiled.

        Raises
        ------
        RuntimeError
            The compiled network reports an error.
        """
        pixels = np.ascontiguousarray(pixels)
        tensor, result, data = Handle(), Handle(), Handle()
        shape = (ctypes.c_int64 * pixels.ndim)(*pixels.shape)
        strides = (ctypes.c_int64 * pixels.ndim)(*pixels.strides)
        lib, one = self._library, ctypes.c_size_t(1)
        lib.aoti_torch_create_tensor_from_blob(
            Handle(pixels.ctypes.data),
            ctypes.c_int64(pixels.ndim),
            shape,
            strides,
            ctypes.c_int64(0),
            lib.aoti_torch_dtype_uint8(),
            lib.aoti_torch_device_type_cpu(),
            0,
            ctypes.byref(tensor),
        )
        # the compiled network frees `tensor` itself, but not `result`: that is freed below
        self._do(
            "ModelContainerRun",
            self._container,
            ctypes.byref(tensor),
            one,
            ctypes.byref(result),
            one,
            None,
            None,
        )
        lib.aoti_torch_get_data_ptr(result, ctypes.byref(data))
        view = ctypes.cast(data, ctypes.POINTER(ctypes.c_float))
        vectors = np.ctypeslib.as_array(view, (len(pixels), self._dim)).copy()
        lib.aoti_torch_delete_tensor_object(result)
        return vectors

    def _do(self, name: str, *arguments: object) -> None:
        if getattr(self._library, f"AOTInductor{name}")(*arguments):
            raise RuntimeError("compiled network fails; its own message stands above")


_libraries: dict[bytes, ctypes.CDLL] = {}
"""Machine code loaded in this process, by its SHA-256; loaded code cannot be unloaded."""
_loading = threading.Lock()


def _loaded(library: bytes) -> ctypes.CDLL:
    """Load machine code from bytes; return code that was already loaded from equal bytes, if any.

    Raises
    ------
    OSError
        The bytes are no library for this machine, or memory is full.
    """
    digest = hashlib.sha256(library).digest()
    # load equal code only once, because its memory is not freed before the process ends
    with _loading:
        if digest not in _libraries:
            _libraries[digest] = _mapped(library)
        return _libraries[digest]


def _mapped(library: bytes) -> ctypes.CDLL:
    """Load machine code from a private copy, which no other user can change."""
    # outside Linux, write the copy to a new private folder, where no other user can replace it;
    # delete the folder after loading, if the system allows it
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / "library.so"
            copy.write_bytes(library)
            return ctypes.CDLL(str(copy))
    # import only here, because fcntl exists on Unix only
    import fcntl

    # on Linux, use a file in memory without a name, closed to any further writing. The descriptor
    # stays open: the loader identifies libraries by their path /proc/self/fd/NUMBER, and would
    # confuse a later library with this one if the number were used again
    descriptor = os.memfd_create("gzfeatures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(library)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    except BaseException:
        os.close(descriptor)
        raise
