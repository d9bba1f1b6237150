"""What this machine computes on, and in which precision; found without importing torch where that is possible."""

from __future__ import annotations

import dataclasses
import platform
import shutil
from pathlib import Path

from gzfeatures.errors import InputError, require_known

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
DEVICES = ("auto", "cpu", "cuda")
RUNTIMES = ("auto", "torch", "openvino")


@dataclasses.dataclass(frozen=True)
class Hardware:
    """Device, precision and library of an extraction.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    precision : {"float32", "bfloat16", "float16", "int8"}
        Arithmetic of the forward pass.
    why : str
        One line: what was chosen and for what reason.
    runtime : {"torch", "openvino"}
        Library that runs the network.
    """

    device: str
    precision: str
    why: str
    runtime: str = "torch"


def choose(device: str = "auto", precision: str = "auto", runtime: str = "auto") -> Hardware:
    """Device, precision and library for this machine.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        auto takes CUDA where it works.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}
        auto takes bfloat16 where the hardware multiplies it natively, else float32 (CPU) or float16
        (CUDA).
    runtime : {"auto", "torch", "openvino"}
        auto is torch, but openvino for int8. OpenVINO and int8 are for CPUs.

    Raises
    ------
    UnknownNameError
        A name is not one of those.
    InputError
        CUDA is asked for and absent, or the three do not go together.
    """
    for kind, name, legal in (
        ("device", device, DEVICES),
        ("precision", precision, PRECISIONS),
        ("runtime", runtime, RUNTIMES),
    ):
        require_known(kind, [name], legal)
    on_cpu = runtime == "openvino" or precision == "int8"
    if on_cpu and device == "cuda":
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
    cuda = device != "cpu" and not on_cpu and _has_cuda()
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
    place, library = "cuda" if cuda else "cpu", "openvino" if on_cpu else "torch"
    if precision != "auto":
        return Hardware(place, precision, f"{precision} on {place}, as asked", library)
    if cuda:
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
        name = torch.cuda.get_device_name()
        chosen = "bfloat16" if native else "float16"
        return Hardware(
            place, chosen, f"{chosen} on cuda: {name} has {'' if native else 'no '}native bfloat16"
        )
    found = next((name for name in ("amx_bf16", "avx512_bf16") if name in cpu_flags()), None)
    if found is None:
        return Hardware(
            place, "float32", "float32 on cpu: this CPU has no native bfloat16", library
        )
    return Hardware(
        place, "bfloat16", f"bfloat16 on cpu: this CPU multiplies it natively ({found})", library
    )


def _has_cuda() -> bool:
    """Whether CUDA works here. Torch is asked only where an NVIDIA driver may be."""
    if not Path("/proc/driver/nvidia").exists() and shutil.which("nvidia-smi") is None:
        return False
    import torch

    return torch.cuda.is_available()


def cpu_flags() -> list[str]:
    """Names of the instruction sets of this CPU, sorted; what little is known of it where the system does not say."""
    if platform.system() != "Linux":
        return [platform.machine(), platform.processor()]
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    said = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return sorted(said.partition(":")[2].split())
