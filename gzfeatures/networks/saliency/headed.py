"""Join a head to its network, so that the head's probabilities can be explained by pixels.

A head (a support vector machine, boosted trees, …) has no gradient that PyTorch could compute. Its
slope is therefore measured by small steps, so that methods that need gradients work too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Probabilities: TypeAlias = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]
"""Function from vectors, shape (n, dim), to probabilities, shape (n, k)."""

STEP = 0.1
"""Step for measuring the slope of a head, in units of a vector's mean absolute entry."""


class Headed(nn.Module):
    """Join a network and a head into one module, with gradients through both.

    Parameters
    ----------
    network : nn.Module
        Returns embeddings, shape (n, dim).
    head : callable
        Function from embeddings to probabilities. Its gradient is measured by steps forward and
        back along dim random orthogonal directions: exact where the head is smooth, and an average
        over the neighbourhood where its output jumps, as for trees.
    seed : int
        Seed of the random directions.
    """

    def __init__(self, network: nn.Module, head: Probabilities, *, seed: int = 0) -> None:
        super().__init__()
        self.network, self.head, self.seed = network, head, seed
        self._directions: npt.NDArray[np.float32] | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the head's class probabilities of images, shape (n, classes)."""
        probabilities: torch.Tensor = _HeadFunction.apply(self.network(images), self)
        return probabilities

    def slope(
        self, vector: npt.NDArray[np.float32], weight: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32]:
        """Return the gradient (dim,) of a weighted sum of class probabilities, at one embedding."""
        dim = len(vector)
        # slopes along `dim` orthogonal directions determine the gradient. Random directions change
        # all entries of the vector at once: if only one changed, a tree's output often would not
        if self._directions is None or len(self._directions) != dim:
            square = np.random.default_rng(self.seed).standard_normal((dim, dim)).astype(np.float32)
            self._directions = np.linalg.qr(square)[0] * np.float32(np.sqrt(dim))
        # central differences: their error is only of second order in the step
        step = STEP * float(np.abs(vector).mean() or 1.0)
        offsets = step * self._directions
        rise = (self.head(vector + offsets) - self.head(vector - offsets)) @ weight
        return np.asarray(rise @ self._directions / (2 * step * dim), dtype=np.float32)


class _HeadFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor, headed: Headed) -> torch.Tensor:
        ctx.headed = headed
        ctx.save_for_backward(vectors)
        return torch.as_tensor(
            np.asarray(headed.head(vectors.detach().float().cpu().numpy())), device=vectors.device
        )

    @staticmethod
    def backward(ctx: Any, *weights: torch.Tensor) -> tuple[torch.Tensor, None]:
        (vectors,) = ctx.saved_tensors
        pairs = zip(vectors.float().cpu().numpy(), weights[0].double().cpu().numpy(), strict=True)
        slopes = np.stack([ctx.headed.slope(*pair) for pair in pairs])
        return torch.as_tensor(slopes).to(vectors), None
