"""What this machine computes on, and in which precision; found without importing torch where that is possible."""

from __future__ import annotations

import dataclasses
import platform
import shutil
from pathlib import Path

from gzfeatures.errors import InputError, unknown

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda")


@dataclasses.dataclass(frozen=True)
class Hardware:
    """Device and precision of an extraction.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the forward pass.
    why : str
        One line: what was chosen and for what reason.
    """

    device: str
    precision: str
    why: str


def choose(device: str = "auto", precision: str = "auto") -> Hardware:
    """Device and precision for this machine.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        auto takes CUDA where it works.
    precision : {"auto", "float32", "bfloat16", "float16"}
        auto takes bfloat16 where the hardware multiplies it natively, else float32 (CPU) or float16 (CUDA).

    Raises
    ------
    UnknownNameError
        A name is not one of those.
    InputError
        CUDA is asked for and absent, or float16 is asked for on a CPU.
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    cuda = device != "cpu" and _has_cuda()
    if device == "cuda" and not cuda:
        raise InputError("no CUDA device is usable", where="--device", found=device, remedy="use --device cpu or auto")
    if precision == "float16" and not cuda:
        raise InputError("float16 needs a CUDA device", where="--precision", remedy="use bfloat16 or float32")
    place = "cuda" if cuda else "cpu"
    if precision != "auto":
        return Hardware(place, precision, f"{precision} on {place}, as asked")
    if cuda:
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
        name = torch.cuda.get_device_name()
        chosen = "bfloat16" if native else "float16"
        return Hardware(place, chosen, f"{chosen} on cuda: {name} has {'' if native else 'no '}native bfloat16")
    found = _cpu_bfloat16()
    if found is None:
        return Hardware(place, "float32", "float32 on cpu: this CPU has no native bfloat16")
    return Hardware(place, "bfloat16", f"bfloat16 on cpu: this CPU multiplies it natively ({found})")


def _has_cuda() -> bool:
    """Whether CUDA works here. Torch is asked only where an NVIDIA driver may be."""
    if not Path("/proc/driver/nvidia").exists() and shutil.which("nvidia-smi") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _cpu_bfloat16() -> str | None:
    """Name of the CPU's bfloat16 instructions, None if it has none."""
    if platform.system() != "Linux":
        return None
    flags = Path("/proc/cpuinfo").read_text("utf-8", "replace").split()
    return next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), None)
