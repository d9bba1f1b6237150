"""Fit only the output layer of a network, to convergence; all other layers stay frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.ids import Ids
from gzfeatures.networks.extraction.network_crops import dihedral_views
from gzfeatures.networks.inference.probabilities import HALF, normalised
from gzfeatures.networks.models import architectures
from gzfeatures.networks.setup.pixel_cache import PixelCache
from gzfeatures.networks.setup.targets import Target

STRENGTHS = tuple(10 ** (-4 + step / 2) for step in range(9))
"""Values C of the penalty |W − W₀|² / (2 C n) on weights W, n galaxies; strongest penalty first."""

FOLDS = 5
MOST_ROWS = 8000
"""Mirrored and turned copies of the training images are added up to this number of images."""
MOST_NUMBERS = 30_000_000
"""Most numbers in the matrix of features for double precision and all folds; else two folds."""


@dataclasses.dataclass(frozen=True)
class Teaching:
    """Collect the training galaxies, their targets, and the settings to fit an output layer.

    Parameters
    ----------
    cache : PixelCache
        Pixels of the training galaxies, cropped and resized as the network needs them.
    ids : Ids
        Shape (n,).
    targets : ndarray of float32
        Shape (n, k).
    target : Target
    class_weights : Tensor, optional
    smoothing : float
        Label smoothing.
    groups : mapping of str to str
        Galaxy id → group; all galaxies of a group are in one fold of the cross-validation.
    mean, std : tuple of float
        Normalisation of each band.
    turns : bool
        Use mirrored and turned copies too, if galaxies are few.
    seed : int
        Seed of the folds.
    precision : str
        Arithmetic of the network.
    """

    cache: PixelCache
    ids: Ids
    targets: npt.NDArray[np.float32]
    target: Target
    class_weights: torch.Tensor | None
    smoothing: float
    groups: Mapping[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    turns: bool
    seed: int
    precision: str

    @property
    def copies(self) -> int:
        """Return the number of turned and mirrored copies of each galaxy to use, 1 to 8."""
        return max(1, min(8, MOST_ROWS // len(self.ids))) if self.turns else 1

    def folds(self) -> npt.NDArray[np.intp]:
        """Return each galaxy's cross-validation fold, (n,); galaxies of one group share a fold."""
        # spread classes evenly over folds; for vote fractions, a galaxy's class is its largest
        # fraction. The number 77 makes the folds independent of other draws with the same seed
        order = np.random.default_rng([self.seed, 77]).permutation(len(self.ids))
        code = np.nan_to_num(self.targets, nan=-1.0).argmax(1)
        fold_of: dict[str, int] = {}
        fold = np.zeros(len(self.ids), dtype=np.intp)
        for row in order[np.argsort(code[order], kind="stable")]:
            name = str(self.ids[row])
            key = f"group {self.groups[name]}" if name in self.groups else f"id {name}"
            fold[row] = fold_of.setdefault(key, len(fold_of) % FOLDS)
        return fold


def probe(network: nn.Module, teaching: Teaching, device: str) -> dict[str, float]:
    """Fit a network's output layer in place; all other layers stay frozen.

    L-BFGS minimises the training loss plus a penalty. The penalty is on the distance from the
    present output layer if that was trained on the same classes, and from zero otherwise. Its
    strength gives the least loss on galaxies left out, by cross-validation within the training
    galaxies.

    Parameters
    ----------
    network : nn.Module
        Network whose output layer is fitted, from its present weights; left in eval mode.
    teaching : Teaching
    device : {"cpu", "cuda"}
        Where the features are computed.

    Returns
    -------
    dict
        `strength` (C), `held_out_loss` (of galaxies left out) and `training_loss`.
    """
    layer: Any = network.get_submodule(architectures.output_layer(network))
    vectors = _vectors(network.to(device), layer, teaching)
    n = len(vectors)
    # use double precision, in which L-BFGS converges further, except for a very large matrix
    single = vectors.double() if vectors.numel() <= MOST_NUMBERS else vectors
    # standardise the features (axis 2), so that one penalty suits any scale; convert the output
    # layer so that its logits stay the same
    across = tuple(axis for axis in range(single.ndim) if axis != 2)
    mean, std = single.mean(across), single.std(across).clamp(min=1e-6)
    shape = (-1, *(1,) * (single.ndim - 3))
    single = (single - mean.view(shape)) / std.view(shape)
    first = layer.weight.detach().cpu().to(single.dtype).flatten(1)
    anchor, bias = first * std, layer.bias.detach().cpu().to(single.dtype) + first @ mean
    problem = _Problem(network, teaching, anchor, bias)
    fold = torch.from_numpy(teaching.folds())
    truth = torch.from_numpy(teaching.targets).to(single.dtype)
    sums = np.zeros(len(STRENGTHS))
    wide = single.numel() > MOST_NUMBERS
    for left_out in range(min(2 if wide else FOLDS, int(fold.max()) + 1)):
        rest, part = fold != left_out, fold == left_out
        if not rest.any() or not part.any():
            continue
        solution, worse = (anchor, bias), 0
        values = np.full(len(STRENGTHS), np.inf)
        for place, strength in enumerate(STRENGTHS):
            # to compare penalties, half of the copies, few steps and a loose tolerance are enough
            solution = problem.solve(
                single[rest][:, ::2], truth[rest], strength, solution, 40, 1e-4
            )
            values[place] = float(problem.loss(single[part][:, :1], truth[part], solution))
            worse = worse + 1 if place and values[place] > values[:place].min() else 0
            if worse == 3:  # the loss falls, then rises: weaker penalties will not help
                break
        sums += np.where(np.isfinite(values), values, values[np.isfinite(values)].max() * 2) * int(
            part.sum()
        )
    # fit with the chosen penalty on all galaxies: each fold left some out
    place = int(sums.argmin())
    weight, bias = problem.solve(single, truth, STRENGTHS[place], (anchor, bias))
    trained = float(problem.loss(single[:, :1], truth, (weight, bias)))
    with torch.no_grad():
        # convert back to raw features: W(x − mean)/std + b = (W/std)x + b − (W/std)mean
        raw = weight / std
        layer.weight.copy_(raw.view_as(layer.weight))
        layer.bias.copy_(bias - raw @ mean)
    return {
        "strength": STRENGTHS[place],
        "held_out_loss": float(sums[place] / n),
        "training_loss": trained,
    }


_Solution = tuple[torch.Tensor, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class _Problem:
    network: nn.Module
    teaching: Teaching
    anchor: torch.Tensor
    bias: torch.Tensor

    def loss(self, vectors: torch.Tensor, truth: torch.Tensor, solution: _Solution) -> torch.Tensor:
        """Return the mean loss of an output layer; features (n, copies, d, …), targets (n, k)."""
        weight, bias = solution
        flat = vectors.flatten(0, 1)
        raw = torch.einsum("nd...,kd->nk...", flat, weight) + bias.view(-1, *(1,) * (flat.ndim - 2))
        logits = architectures.from_output_layer(self.network, raw)
        weights = self.teaching.class_weights
        class_weights = None if weights is None else weights.to(logits.dtype)
        targets = truth.repeat_interleave(vectors.shape[1], 0)
        return self.teaching.target.loss(logits, targets, class_weights, self.teaching.smoothing)

    def solve(
        self,
        vectors: torch.Tensor,
        truth: torch.Tensor,
        strength: float,
        begin: _Solution,
        iterations: int = 200,
        tolerance: float = 1e-6,
    ) -> _Solution:
        """Return the weights (k, d) and biases (k,) with the least sum of loss and penalty."""
        weight, bias = (part.clone().requires_grad_() for part in begin)
        optimizer = torch.optim.LBFGS(
            [weight, bias],
            max_iter=iterations,
            tolerance_grad=tolerance,
            tolerance_change=tolerance / 1000,
            line_search_fn="strong_wolfe",
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            penalty = ((weight - self.anchor) ** 2).sum() / (2 * strength * len(vectors))
            # penalise the bias only a little, to keep it finite for a class without galaxies
            total = (
                self.loss(vectors, truth, (weight, bias))
                + penalty
                + 1e-4 * ((bias - self.bias) ** 2).sum()
            )
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return weight.detach(), bias.detach()


def _vectors(network: nn.Module, layer: nn.Module, teaching: Teaching) -> torch.Tensor:
    """Return features that enter the output layer, shape (n galaxies, augmented copies, d, …)."""
    caught: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float().cpu()))
    device = next(network.parameters()).device
    half = HALF.get(teaching.precision)
    rows = teaching.cache.rows(teaching.ids)
    parts = []
    network.eval()
    try:
        # use no_grad, not inference_mode: the solver needs gradients, which that mode rules out
        with (
            torch.no_grad(),
            torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None),
        ):
            for start in range(0, len(rows), 256):
                pixels = (
                    teaching.cache.batch(rows[start : start + 256]).to(device).float().div_(255)
                )
                for view in dihedral_views(pixels)[: teaching.copies]:
                    network(normalised(view, teaching.mean, teaching.std))
                parts.append(torch.stack(caught, 1))
                caught.clear()
    finally:
        hook.remove()
    return torch.cat(parts)


def clear_output(network: nn.Module) -> None:
    """Set a network's output layer to zero, so that every class is equally probable.

    A penalty on the distance from zero then shrinks the weights. A convolution keeps its random
    weights: the ReLU after it has no slope at zero, so it could not learn.
    """
    layer: Any = network.get_submodule(architectures.output_layer(network))
    if not isinstance(layer, nn.Linear):
        return
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
