"""Engine: one network made ready for one machine; uint8 pixels in, float32 vectors out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.features.table import Extractor


class Engine:
    """A network in eval mode behind its normalisation.

    Parameters
    ----------
    network : nn.Module
        From `load.load` with a layer.
    extractor : Extractor
        Says normalisation and precision.
    device : {"cpu", "cuda"}
    """

    def __init__(self, network: nn.Module, extractor: Extractor, device: str) -> None:
        self.device = torch.device(device)
        self.network = _Normalised(network, extractor).eval().to(self.device).to(memory_format=torch.channels_last)

    def vectors(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Vectors of images (n, size, size, bands) uint8; float32, shape (n, dim)."""
        with torch.inference_mode():
            result = self.network(torch.from_numpy(pixels).to(self.device))
        return np.asarray(result.cpu().numpy(), dtype=np.float32)


class _Normalised(nn.Module):
    """Network that takes uint8 pixels, channels last."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, extractor: Extractor) -> None:
        super().__init__()
        self.dtype = getattr(torch, extractor.precision)
        self.network = network.to(self.dtype)
        self.register_buffer("mean", torch.tensor(extractor.mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(extractor.std).reshape(-1, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = pixels.permute(0, 3, 1, 2).float().div(255).sub(self.mean).div(self.std)
        vectors: torch.Tensor = self.network(images.to(self.dtype))
        return vectors.float()
