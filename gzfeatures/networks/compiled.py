"""Compiled: a network that PyTorch compiled ahead of time for this CPU, which lanes run side by side.

PyTorch's own way to call it holds the interpreter's lock during the whole forward pass: lanes wait for each other, and
decoders for them. Here it is called through the C interface that AOTInductor keeps stable (`aoti_runtime/interface.h`
and `aoti_torch/c/shim.h` of PyTorch's headers), without the lock.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import tempfile
import weakref
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gzfeatures.files import written_whole
from gzfeatures.networks.passes import Pixels, Vectors

Handle = ctypes.c_void_p
DIGEST = hashlib.sha256().digest_size
"""Bytes at the end of a file that tell whether the others are whole: half a library would end the process."""


def compile_ahead(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write the library that computes `network` for inputs like `example`; the thread count is compiled in.

    Parameters
    ----------
    network : nn.Module
        Gives float32 vectors, shape (n, dim), contiguous.
    example : Tensor
        uint8 pixels, shape (n, size, size, bands).
    path : Path

    Raises
    ------
    RuntimeError
        No C++ compiler, or the network cannot be compiled.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of GPUs that are not there
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        program = torch.export.export(network, (example,))
        options = {"freezing": True, "aot_inductor.output_path": folder}
        library = Path(str(torch._inductor.aot_compile(program.module(), (example,), options=options))).read_bytes()
    if b"aoti_torch_proxy_executor_call_function" in library:  # goes back to PyTorch, which is not reached from C
        raise RuntimeError("the network has an operator that compiled code cannot call")
    with written_whole(path) as temporary:
        temporary.write_bytes(library + hashlib.sha256(library).digest())


class Compiled:
    """A library of `compile_ahead`, loaded.

    Parameters
    ----------
    path : Path
        The library: machine code, to be trusted like a program.
    lanes : int
        Threads that may call it at once.
    dim : int
        Length of a vector.

    Raises
    ------
    RuntimeError
        The library is damaged or cannot be loaded.
    """

    def __init__(self, path: Path, lanes: int, dim: int) -> None:
        whole = path.read_bytes()
        if hashlib.sha256(whole[:-DIGEST]).digest() != whole[-DIGEST:]:
            raise RuntimeError(f"{path.name} is damaged")
        # a copy of its own: what was checked is what runs, and nobody changes it while it is mapped
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(whole[:-DIGEST])
            try:
                self._library = ctypes.CDLL(str(copy))
            except OSError as error:
                raise RuntimeError(f"{path.name} cannot be loaded: {error}") from None
        self._dim, self._container, count = dim, Handle(), ctypes.c_size_t(lanes)
        self._do("ModelContainerCreateWithDevice", ctypes.byref(self._container), count, b"cpu", None)
        weakref.finalize(self, self._library.AOTInductorModelContainerDelete, self._container)

    def __call__(self, pixels: Pixels) -> Vectors:
        """Vectors (n, dim) of pixels of the shape it was compiled for.

        Raises
        ------
        RuntimeError
            The network fails.
        """
        pixels, (given, result, data) = np.ascontiguousarray(pixels), (Handle(), Handle(), Handle())
        shape = (ctypes.c_int64 * pixels.ndim)(*pixels.shape)
        strides = (ctypes.c_int64 * pixels.ndim)(*pixels.strides)
        lib, one = self._library, ctypes.c_size_t(1)
        lib.aoti_torch_create_tensor_from_blob(
            Handle(pixels.ctypes.data), ctypes.c_int64(pixels.ndim), shape, strides, ctypes.c_int64(0),
            lib.aoti_torch_dtype_uint8(), lib.aoti_torch_device_type_cpu(), 0, ctypes.byref(given),
        )  # fmt: skip
        # the pixels are handed over, the vectors handed back
        self._do("ModelContainerRun", self._container, ctypes.byref(given), one, ctypes.byref(result), one, None, None)
        lib.aoti_torch_get_data_ptr(result, ctypes.byref(data))
        view = ctypes.cast(data, ctypes.POINTER(ctypes.c_float))
        vectors = np.ctypeslib.as_array(view, (len(pixels), self._dim)).copy()
        lib.aoti_torch_delete_tensor_object(result)
        return vectors

    def _do(self, name: str, *arguments: object) -> None:
        if getattr(self._library, f"AOTInductor{name}")(*arguments):
            raise RuntimeError("compiled network fails; its own message stands above")
