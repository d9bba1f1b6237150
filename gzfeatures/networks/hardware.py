"""Choose device, precision and library to run networks on this machine."""

from __future__ import annotations

import ctypes
import dataclasses
import platform
import shutil
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from gzfeatures.errors import InputError, require_known

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
DEVICES = ("auto", "cpu", "cuda")
INT8_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni")
LONG_SECONDS = 60.0
"""Least duration in s of an extraction after which int8 is advised: int8 must first calibrate."""
RUNTIMES = ("auto", "torch", "openvino", "onnxruntime")


@dataclasses.dataclass(frozen=True)
class Hardware:
    """Store the device, precision and library with which a network computes embeddings.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    precision : {"float32", "bfloat16", "float16", "int8"}
        Arithmetic of the forward pass.
    why : str
        The choice and its reason, in one line.
    runtime : {"torch", "openvino", "onnxruntime"}
        Library that runs the network.
    """

    device: str
    precision: str
    why: str
    runtime: str = "torch"


def choose(device: str = "auto", precision: str = "auto", runtime: str = "auto") -> Hardware:
    """Choose device, precision and library to run networks on this machine.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        auto takes CUDA where it works.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}
        auto takes bfloat16 where the hardware multiplies it natively, else float32 (CPU) or float16
        (CUDA).
    runtime : {"auto", "torch", "openvino", "onnxruntime"}
        auto is torch, but openvino for int8. OpenVINO and int8 are for CPUs.

    Raises
    ------
    UnknownNameError
        A name is not in these lists.
    InputError
        CUDA is requested and absent, or the three settings exclude each other.
    """
    for kind, name, legal in (
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
        ("runtime", runtime, RUNTIMES),
    ):
        require_known(kind, [name], legal)
    on_cpu = runtime == "openvino" or precision == "int8"
    _require_cpu_settings(device, precision, runtime)
    cuda = device != "cpu" and not on_cpu and _has_cuda()
    _require_device(device, precision, cuda)
    place, library = "cuda" if cuda else "cpu", "openvino" if on_cpu else "torch"
    if runtime == "onnxruntime":
        library = runtime
    if precision != "auto":
        return Hardware(place, precision, f"{precision} on {place}, as asked", library)
    # `auto` chooses a precision that the hardware multiplies natively, because it is the fastest
    chosen, why = _native_on_cuda() if cuda else _native_on_cpu()
    return Hardware(place, chosen, why, library)


def _require_cpu_settings(device: str, precision: str, runtime: str) -> None:
    """Refuse OpenVINO or int8 on a GPU, and int8 in torch."""
    if (runtime == "openvino" or precision == "int8") and device == "cuda":
        raise InputError(
            "openvino and int8 are for CPUs",
            where="--device",
            found=device,
            remedy="use --device cpu",
        )
    if precision == "int8" and runtime == "torch":
        raise InputError(
            "int8 runs in OpenVINO only",
            where="--precision",
            rule="be auto, bfloat16 or float32 in torch",
        )


def _require_device(device: str, precision: str, cuda: bool) -> None:
    """Refuse the device cuda or the precision float16 if the networks will run on the CPU."""
    if device == "cuda" and not cuda:
        raise InputError(
            "no CUDA device is usable",
            where="--device",
            found=device,
            remedy="use --device cpu or auto",
        )
    if precision == "float16" and not cuda:
        raise InputError(
            "float16 needs a CUDA device", where="--precision", remedy="use bfloat16 or float32"
        )


def _native_on_cuda() -> tuple[str, str]:
    """Return the fastest precision of the CUDA device, and the reason as a line of text."""
    import torch

    native = torch.cuda.is_bf16_supported(including_emulation=False)
    name = torch.cuda.get_device_name()
    chosen = "bfloat16" if native else "float16"
    return chosen, f"{chosen} on cuda: {name} has {'' if native else 'no '}native bfloat16"


def _native_on_cpu() -> tuple[str, str]:
    """Return the fastest precision of this CPU, and the reason as a line of text."""
    flags = cpu_flags()
    instruction = next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), None)
    if instruction is None:
        return "float32", "float32 on cpu: this CPU has no native bfloat16"
    return "bfloat16", f"bfloat16 on cpu: this CPU multiplies it natively ({instruction})"


def int8_hint(used: Hardware, seconds: float) -> str | None:
    """Return a line that advises int8 after a long run; None if int8 would not help.

    Parameters
    ----------
    used : Hardware
        Hardware settings of the run.
    seconds : float
        Duration of the run.

    Returns
    -------
    str, optional
        None after a short run, on a GPU, after int8, and on CPUs without 8-bit instructions.
    """
    instruction = next((name for name in INT8_INSTRUCTIONS if name in cpu_flags()), None)
    if used.device != "cpu" or used.precision == "int8" or seconds < LONG_SECONDS:
        return None
    if instruction is None:
        return None
    return (
        f"this CPU multiplies 8-bit integers natively ({instruction}): --precision int8 is faster "
        "for a survey; its vectors differ from these, so heads are fitted anew"
    )


def _has_cuda() -> bool:
    """Return whether torch can use a CUDA device."""
    # importing torch takes seconds, so first check that an NVIDIA driver is installed
    if not Path("/proc/driver/nvidia").exists() and shutil.which("nvidia-smi") is None:
        return False
    import torch

    return torch.cuda.is_available()


def cpu_flags() -> list[str]:
    """Return the instruction sets of this CPU, sorted; outside Linux, the CPU's name."""
    if platform.system() != "Linux":
        return [platform.machine(), platform.processor()]
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    # Linux writes "flags" for x86 CPUs, and "Features" for ARM CPUs
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return sorted(flags.partition(":")[2].split())


def load_newest_tbb() -> None:
    """Load the newest TBB (a threading library) before OpenVINO loads an older one.

    A process can load only one library with this name. With OpenVINO's older one,
    scikit-learn-intelex could not be imported, and support vector machines would be several times
    slower. OpenVINO also works with the newer one.
    """
    try:
        libraries = [each for each in files("tbb") or () if each.name == "libtbb.so.12"]
    except PackageNotFoundError:
        # scikit-learn-intelex needs the newest TBB, and is always installed with the package tbb:
        # if tbb is missing, so is scikit-learn-intelex, and OpenVINO may load its own TBB
        return
    if libraries:
        ctypes.CDLL(str(libraries[0].locate()))
