"""Use the private parts of PyTorch: the ahead-of-time compiler and its C functions.

Nothing else in the package names them. Where one is gone, `Missing` says which and of what version;
the caller then runs the network eagerly, which is slower and gives the same vectors.
`test_compat_torch.py` warns first.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import inspect
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node, symbolic_trace
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torchvision.models import densenet

RETURNS_TO_PYTORCH = b"aoti_torch_proxy_executor_call_function"
"""Name of a C function that calls Python operators; compiled code with it cannot run alone."""

OPTIONS: dict[str, Any] = {"freezing": True}
"""Options of the compiler: weights are constants, packed for this CPU."""

CONTAINER = ("ModelContainerCreateWithDevice", "ModelContainerDelete", "ModelContainerRun")
"""Functions of `aoti_runtime/interface.h`, without their prefix `AOTInductor`."""

TENSORS = (
    "aoti_torch_create_tensor_from_blob",
    "aoti_torch_dtype_uint8",
    "aoti_torch_device_type_cpu",
    "aoti_torch_get_data_ptr",
    "aoti_torch_delete_tensor_object",
)
"""Functions of `aoti_torch/c/shim.h` that each compiled library exports."""

NORMALISED = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}
"""Batch normalisation that can be folded into the weights of each kind of layer."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Layers that normalise over the images of a batch; their common base class is private."""

CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Convolution layers; their common base class is private."""


ANNOUNCEMENT = "Downloading: "
"""Start of the line by which torch.hub announces a download."""


def announces_on_stderr() -> bool:
    """Return whether torch.hub announces downloads on stderr, as older releases do."""
    return "sys.stderr.write" in inspect.getsource(torch.hub.load_state_dict_from_url)


class Missing(RuntimeError):
    """Raised if the installed PyTorch lacks a part that gzfeatures calls."""

    def __init__(self, part: str) -> None:
        super().__init__(f"PyTorch {torch.__version__} has no {part}")


def compile_library(program: GraphModule, example: torch.Tensor, folder: Path) -> bytes:
    """Compile an exported network for this CPU.

    Parameters
    ----------
    program : GraphModule
        `torch.export.export(…).module()`.
    example : Tensor
        Input whose shape and type are compiled in.
    folder : Path
        Where the compiler may write.

    Returns
    -------
    bytes
        The shared library.

    Raises
    ------
    Missing
        PyTorch has no such compiler, or none with these options.
    RuntimeError
        No C++ compiler, or the network cannot be compiled.
    """
    try:
        from torch._inductor import aot_compile, config
    except ImportError:
        raise Missing("torch._inductor.aot_compile") from None
    # give the compiler an output folder, otherwise it writes to a cache that all processes share
    options = OPTIONS | {"aot_inductor.output_path": str(folder)}
    known = config.get_config_copy()
    for name in options:
        if name not in known:
            raise Missing(f"option {name} of torch._inductor")
    with warnings.catch_warnings():
        # silence PyTorch before 2.7, which warns of options that it leaves out of its own log
        warnings.filterwarnings("ignore", "Skipping serialization of ", UserWarning)
        try:
            return Path(str(aot_compile(program, (example,), options=options))).read_bytes()
        except FileNotFoundError as error:
            # PyTorch before 2.7 starts the compiler without asking whether there is one
            raise RuntimeError(f"{error.filename} is not there") from None


def require_symbols(library: ctypes.CDLL) -> None:
    """Refuse a compiled library that lacks a function which gzfeatures calls.

    Raises
    ------
    Missing
        It was compiled by a PyTorch with another C interface.
    """
    for name in (*(f"AOTInductor{name}" for name in CONTAINER), *TENSORS):
        if not hasattr(library, name):
            raise Missing(f"{name} in its compiled libraries")


LOADERS = ("torch.export", "torch._export.serde.serialize", "torch.export.pt2_archive._package")
"""Loggers of the loader of exported programs."""
_LOADING = threading.Lock()
"""Held while PyTorch's loaders are replaced, because a module has one of each for all threads."""


def require_program_loader() -> None:
    """Refuse a PyTorch whose loader of exported programs cannot be kept from unpickling objects.

    Raises
    ------
    Missing
        Its archives have another form, which older releases read and write.
    """
    try:
        from torch.export.pt2_archive import _package
    except ImportError:
        raise Missing("torch.export.pt2_archive._package") from None
    if not hasattr(torch._C, "_pickle_load_obj") or not hasattr(_package, "pickle"):
        raise Missing("torch._C._pickle_load_obj")


@contextlib.contextmanager
def _without_pickle() -> Iterator[None]:
    """Make torch.export.load raise an error wherever it would unpickle objects of a file.

    It reads members with `weights_only=False`, and falls back to it where `weights_only=True`
    fails; custom objects go to pickle.

    Raises
    ------
    Missing
        PyTorch has no such loader.
    """
    require_program_loader()
    from torch.export.pt2_archive import _package

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("an object of Python is not unpickled")

    real = torch.load

    def load(*words: Any, **options: Any) -> Any:
        return real(*words, **{**options, "weights_only": True})

    closed: list[tuple[Any, str, Any]] = [
        (torch, "load", load),
        (torch._C, "_pickle_load_obj", refuse),
        (_package, "pickle", SimpleNamespace(loads=refuse)),
    ]
    loggers = [logging.getLogger(name) for name in LOADERS]
    with _LOADING:
        levels = [each.level for each in loggers]
        opened = [getattr(place, name) for place, name, _ in closed]
        try:
            for place, name, function in closed:
                setattr(place, name, function)
            # silence PyTorch's loggers, which would print the traceback of an error that the
            # caller reports in one line
            for each in loggers:
                each.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
            for (place, name, _), function in zip(closed, opened, strict=True):
                setattr(place, name, function)


def load_program(archive: bytes) -> torch.export.ExportedProgram:
    """Load a program of torch.export without unpickling anything but tensors.

    Parameters
    ----------
    archive : bytes
        A .pt2 file whose operators, sizes and guards were checked (`exported_programs.harmless`).

    Raises
    ------
    Missing
        PyTorch has no such loader.
    Exception
        Whatever PyTorch raises on a damaged file.
    """
    with _without_pickle():
        return torch.export.load(io.BytesIO(archive))


def fold_batch_norms(network: nn.Module) -> GraphModule:
    """Fold each batch normalisation into the weights of the layer before it.

    The same as `torch.fx.experimental.optimization.fuse`, to the bit, by PyTorch's documented
    functions alone.

    Parameters
    ----------
    network : nn.Module
        In eval mode, traceable; it is not changed.

    Returns
    -------
    GraphModule
        Computes the same up to rounding, with fewer layers.
    """
    # copy the network first: tracing shares its layers, and the caller converts the result to
    # another precision
    traced = symbolic_trace(copy.deepcopy(network))
    modules: dict[str, nn.Module] = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        layer, norm = _layer_before(node, modules), modules.get(str(node.target))
        # leave all other nodes as they are: only a batch normalisation that directly follows a
        # convolution or linear layer can be folded into weights
        if layer is None or norm is None:
            continue
        fold: Any = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        before = node.args[0]
        folded = modules[before.target] = fold(layer, norm)
        parent, _, name = before.target.rpartition(".")
        setattr(traced.get_submodule(parent), name, folded)
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _layer_before(node: Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    """Return the layer whose weights can absorb a node's batch normalisation, or None."""
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, Node) or before.op != "call_module":
        return None
    layer, norm = modules[str(before.target)], modules[str(node.target)]
    # compare types exactly, because a subclass may compute something else
    if NORMALISED.get(type(layer)) is not type(norm):
        return None
    # without running statistics, a layer normalises over the batch, which fixed weights cannot do;
    # and if a second layer reads the values before normalisation, folding would change its input
    return layer if norm.track_running_stats and len(before.users) == 1 else None


def is_dense_block(module: nn.Module) -> bool:
    """Return whether a module is a dense block of torchvision's DenseNet (a private class)."""
    return isinstance(module, nn.ModuleDict) and type(module).__module__ == densenet.__name__
