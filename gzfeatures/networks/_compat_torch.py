"""Call undocumented functions of PyTorch: ahead-of-time compiler, C interface, program loader.

No other module calls undocumented functions. If a PyTorch release lacks one, the error `Missing`
names it, and the caller runs the network uncompiled: slower, with the same embeddings.
`test_compat_torch.py` fails as soon as a new release lacks one of these functions.
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
"""A C function that calls Python operators; compiled code with this name in it needs Python."""

OPTIONS: dict[str, Any] = {"freezing": True}
"""Compiler options: weights become constants, stored in the layout that suits this CPU."""

HEADERS = ("aot_inductor.precompile_headers", "cpp_cache_precompile_headers")
"""Settings of newer PyTorch: compile the C++ headers once (300 MB), for all later networks."""

CONTAINER = ("ModelContainerCreateWithDevice", "ModelContainerDelete", "ModelContainerRun")
"""C functions of PyTorch's header `aoti_runtime/interface.h`, without the prefix `AOTInductor`."""

TENSORS = (
    "aoti_torch_create_tensor_from_blob",
    "aoti_torch_dtype_uint8",
    "aoti_torch_device_type_cpu",
    "aoti_torch_get_data_ptr",
    "aoti_torch_delete_tensor_object",
)
"""C functions of PyTorch's header `aoti_torch/c/shim.h` that each compiled library exports."""

NORMALISED = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}
"""For each type of layer, the batch normalisation that can be merged into the layer's weights."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Layers that normalise over a batch, listed because their common base class is private."""

CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Convolution layers, listed because their common base class is private."""


ANNOUNCEMENT = "Downloading: "
"""First words of the line that torch.hub prints before a download."""


def announces_on_stderr() -> bool:
    """Return whether torch.hub prints "Downloading" to stderr, as older PyTorch does."""
    return "sys.stderr.write" in inspect.getsource(torch.hub.load_state_dict_from_url)


class Missing(RuntimeError):
    """Report that the installed PyTorch lacks a function that gzfeatures calls."""

    def __init__(self, part: str) -> None:
        super().__init__(f"PyTorch {torch.__version__} has no {part}")


def compile_library(program: GraphModule, example: torch.Tensor, folder: Path) -> bytes:
    """Compile an exported network for this CPU; return the machine code as bytes.

    Parameters
    ----------
    program : GraphModule
        `torch.export.export(…).module()`.
    example : Tensor
        Input whose shape and type are compiled in.
    folder : Path
        Folder to which the compiler may write.

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
    # without this folder, the compiler writes to a cache that all processes share
    options = OPTIONS | {"aot_inductor.output_path": str(folder)}
    known = config.get_config_copy()
    for name in options:
        if name not in known:
            raise Missing(f"option {name} of torch._inductor")
    try:
        return Path(str(aot_compile(program, (example,), options=options))).read_bytes()
    except FileNotFoundError as error:
        # before version 2.7, PyTorch does not check whether a C++ compiler is installed: say here
        # that it is missing
        raise RuntimeError(f"{error.filename} is not there") from None


@contextlib.contextmanager
def no_shared_headers() -> Iterator[None]:
    """In a `with` block, let PyTorch's compiler share no compiled headers between networks.

    They lie in `/tmp/torchinductor_USER`, wherever the compiler's own folder is, and are compiled
    into a network as found: another user could create the folder first and put code into it.
    """
    try:
        from torch._inductor import config
    except ImportError:
        yield  # a PyTorch without compiler compiles no headers either
        return
    known = config.get_config_copy()
    with config.patch({name: False for name in HEADERS if name in known}):
        yield


@contextlib.contextmanager
def harmless_warnings_hidden() -> Iterator[None]:
    """Hide warnings that PyTorch gives while it exports and compiles a network, and that a user
    can ignore."""
    with warnings.catch_warnings():
        # PyTorch before 2.7 warns that its own log lacks some compiler options; the compiled code
        # is not affected
        warnings.filterwarnings("ignore", "Skipping serialization of ", UserWarning)
        # on Python 3.13.0, PyTorch warns that its checks (guards) before each run of a network are
        # slow; the compiled library runs without these checks
        warnings.filterwarnings("ignore", "Guards may run slower on Python ", RuntimeWarning)
        yield


def require_symbols(library: ctypes.CDLL) -> None:
    """Refuse compiled code that lacks a C function which gzfeatures calls.

    Raises
    ------
    Missing
        Another PyTorch, with another C interface, compiled the code.
    """
    for name in (*(f"AOTInductor{name}" for name in CONTAINER), *TENSORS):
        if not hasattr(library, name):
            raise Missing(f"{name} in its compiled libraries")


LOADERS = ("torch.export", "torch._export.serde.serialize", "torch.export.pt2_archive._package")
"""Loggers that PyTorch uses while it loads exported programs."""
_LOADING = threading.Lock()
"""Lock held while PyTorch's loading functions are replaced, because this affects all threads."""


def require_program_loader() -> None:
    """Refuse a PyTorch that could unpickle Python objects while it loads an exported program.

    Raises
    ------
    Missing
        PyTorch is too old: its archives have another form.
    """
    try:
        from torch.export.pt2_archive import _package
    except ImportError:
        raise Missing("torch.export.pt2_archive._package") from None
    if not hasattr(torch._C, "_pickle_load_obj") or not hasattr(_package, "pickle"):
        raise Missing("torch._C._pickle_load_obj")


@contextlib.contextmanager
def _without_pickle() -> Iterator[None]:
    """In a `with` block, make torch.export.load raise an error instead of unpickling objects.

    torch.export.load reads some files of an archive with `weights_only=False`, and others too if
    `weights_only=True` fails for them. It also passes custom objects to pickle.

    Raises
    ------
    Missing
        PyTorch has no loader of exported programs.
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
            # hide PyTorch's log of the traceback: the caller reports the same error in one line
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
        PyTorch has no loader of exported programs.
    Exception
        The file is damaged; PyTorch raises errors of many types.
    """
    with _without_pickle():
        return torch.export.load(io.BytesIO(archive))


def fold_batch_norms(network: nn.Module) -> GraphModule:
    """Merge each batch normalisation of a network into the weights of the layer before it.

    The result equals that of `torch.fx.experimental.optimization.fuse` to the bit, but only
    documented functions of PyTorch are called.

    Parameters
    ----------
    network : nn.Module
        Network in eval mode that torch.fx can trace; it is not changed.

    Returns
    -------
    GraphModule
        Network with fewer layers and the same output up to rounding.
    """
    # trace a copy: the result shares layers with the network that was traced, and the caller
    # changes their precision, which must not change the original network
    traced = symbolic_trace(copy.deepcopy(network))
    modules: dict[str, nn.Module] = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        layer, norm = _layer_before(node, modules), modules.get(str(node.target))
        # only a batch normalisation directly after a convolution or linear layer can be merged;
        # leave all other nodes unchanged
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
    """Return the layer into whose weights a node's batch normalisation can be merged, or None."""
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, Node) or before.op != "call_module":
        return None
    layer, norm = modules[str(before.target)], modules[str(node.target)]
    # compare types exactly, because a subclass may compute something else
    if NORMALISED.get(type(layer)) is not type(norm):
        return None
    # without running statistics, the mean comes from each batch, so fixed weights cannot replace
    # it; if a second layer reads the values before normalisation, merging would change its input
    return layer if norm.track_running_stats and len(before.users) == 1 else None


def is_dense_block(module: nn.Module) -> bool:
    """Return whether a module is a dense block of torchvision's DenseNet (a private class)."""
    return isinstance(module, nn.ModuleDict) and type(module).__module__ == densenet.__name__
