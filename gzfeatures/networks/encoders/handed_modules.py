"""Use a torch.nn.Module that the user passes in Python as a backbone."""

from __future__ import annotations

import copy
import dataclasses
import hashlib

import torch
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.features.backbones import Backbone
from gzfeatures.images.view import View

OUTPUT = "output"
"""Layer name for the output of a user's module, which is one vector per image."""


@dataclasses.dataclass(frozen=True, eq=False)
class HandedModule:
    """Store a user's PyTorch module with a name, and crop, size and normalisation of its images.

    Parameters
    ----------
    module : nn.Module
        Takes float images (n, bands, size, size) with values in [0, 1], or normalised by `mean` and
        `std`; returns vectors (n, dim). It is copied, and run in eval mode.
    name : str
        Name under which embeddings are stored, together with a hash of the weights and printed
        layers. Two modules that differ only in their code need two names.
    view : View
        Crop, size and colours of its input images.
    mean, std : tuple of float
        One number for each band.

    Raises
    ------
    InputError
        The name is empty, or the module does not return a vector for each of two test images.
    """

    module: nn.Module
    name: str
    view: View
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("name of a module", rule="not be empty")

    def describe(self) -> Backbone:
        """Return the backbone for this module; run it once to measure its embedding length."""
        bands, side = len(self.mean), self.view.size
        network = self.build()
        with torch.inference_mode():
            output = network(torch.zeros(2, bands, side, side))
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2:
            raise InputError(
                "output of the module",
                where=self.name,
                rule="be vectors (n, dim)",
                found=getattr(output, "shape", type(output).__name__),
            )
        return Backbone(
            name=self.name,
            architecture=f"module:{self.name}",
            weights=None,
            layer=OUTPUT,
            dim=int(output.shape[1]),
            view=self.view,
            mean=self.mean,
            std=self.std,
            licence="the caller's",
            source="handed over in Python",
        )

    def build(self) -> nn.Module:
        """Return a copy of the user's module in eval mode on the CPU."""
        return copy.deepcopy(self.module).cpu().float().eval()

    @property
    def digest(self) -> str:
        """Return the SHA-256 digest of the module's weights and `repr`, which lists its layers."""
        digest = hashlib.sha256(repr(self.module).encode())
        for name, value in sorted(self.module.state_dict().items()):
            tensor = value.detach().cpu().contiguous()
            digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
