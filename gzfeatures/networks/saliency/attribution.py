"""Compute pixel attributions of a class, the maps of a layer, and images that maximise a class.

Attribution is captum's. A head (a support vector machine, boosted trees, …) has no gradient that
torch could follow: it follows the network as a function whose slope is measured by small steps, so
that every method works through it, down to the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion
from torch import nn
from torch.utils.hooks import RemovableHandle

from gzfeatures.errors import InputError, unknown
from gzfeatures.networks.models.ensemble import NetworkEnsemble
from gzfeatures.networks.models.load import Features

METHODS = ("grad-cam", "integrated-gradients", "occlusion")
Probabilities: TypeAlias = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]
"""Function from vectors, shape (n, dim), to probabilities, shape (n, k)."""

COARSEST = 6
"""Fewest pixels per side of maps that still locate features in the image."""

STEP = 0.1
"""Step for measuring the slope of a head, in units of a vector's mean absolute entry."""


class Headed(nn.Module):
    """Join a network and a head, so that gradients pass through both.

    Parameters
    ----------
    network : nn.Module
        Gives vectors, shape (n, dim).
    head : callable
        Probabilities of vectors. Its slope is the mean of paired steps along dim random directions
        at right angles: exact where the head is smooth, and an average over the neighbourhood where
        it is made of steps, as trees are.
    seed : int
        Of the directions.
    """

    def __init__(self, network: nn.Module, head: Probabilities, *, seed: int = 0) -> None:
        super().__init__()
        self.network, self.head, self.seed = network, head, seed
        self._directions: npt.NDArray[np.float32] | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return probabilities, shape (n, k)."""
        probabilities: torch.Tensor = _HeadFunction.apply(self.network(images), self)
        return probabilities

    def slope(
        self, vector: npt.NDArray[np.float32], weight: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float32]:
        """Return the slope of the weighted sum of probabilities at a vector, shape (dim,)."""
        dim = len(vector)
        # dim random orthogonal directions determine the slope, and prefer no axis
        if self._directions is None or len(self._directions) != dim:
            square = np.random.default_rng(self.seed).standard_normal((dim, dim)).astype(np.float32)
            self._directions = np.linalg.qr(square)[0] * np.float32(np.sqrt(dim))
        # the error of central differences is of second order in the step
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


def saliency(
    network: nn.Module,
    images: torch.Tensor,
    target: int | Sequence[int],
    *,
    method: str = "grad-cam",
    steps: int = 32,
    patch: int = 16,
    batch_size: int = 64,
) -> npt.NDArray[np.float32]:
    """Compute how much each pixel contributes to a class score.

    Parameters
    ----------
    network : nn.Module
        Ends in classes, or a `Headed` one.
    images : Tensor
        Normalised float32, shape (n, bands, height, width).
    target : int or sequence of int
        Class code, of all or of each image.
    method : {"grad-cam", "integrated-gradients", "occlusion"}
        Grad-CAM on the last maps of the network (Selvaraju+2017, doi:10.1109/ICCV.2017.74, eq. 1
        and 2), ≥ 0; maps coarser than 6 pixels a side say little of where, and are passed over if
        there are finer ones; integrated gradients from empty sky, summed over bands
        (Sundararajan+2017, arXiv:1703.01365, eq. 3); occlusion, what the output loses when a square
        around the pixel is covered by sky (Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53,
        section 4.2), the mean of all squares that cover it. The sky of an image is the median of
        its outermost pixels in each band.
    steps : int
        Of the integral.
    patch : int
        Side of a covered square in pixels; squares lie half a side apart.
    batch_size : int
        Images pushed through the network at a time.

    Returns
    -------
    ndarray of float32
        Shape (n, height, width); positive where the pixel raises the score.

    Raises
    ------
    UnknownNameError
        No such method.
    InputError
        The network has no maps (Grad-CAM), or the square does not fit the image (occlusion).
    """
    if method not in METHODS:
        raise unknown("method of explanation", method, METHODS)
    side = min(images.shape[2:])
    if method == "occlusion" and not 1 <= patch <= side:
        raise InputError("covered square", rule=f"have a side in 1…{side} px", found=patch)
    if method == "grad-cam" and isinstance(network, NetworkEnsemble):
        # each member has maps of its own; the last member's alone would explain a third of three
        maps = [saliency(member, images, target, method=method) for member in network.members]
        return np.asarray(np.mean(maps, axis=0), dtype=np.float32)
    _require_one_network(network, method)
    network.eval()
    layer = _telling(_feature_maps(network, images[:1])) if method == "grad-cam" else None
    codes = np.broadcast_to(np.asarray(target), len(images))
    attributions = np.empty((len(images), *images.shape[2:]), dtype=np.float32)
    for row, code in enumerate(codes.tolist()):
        image = images[row : row + 1].clone().requires_grad_()
        # cover with empty sky instead of black, because another level would create an edge
        sky = _empty_images(images[row : row + 1])
        if layer is not None:
            cam = LayerGradCam(network, layer).attribute(image, code, relu_attributions=True)
            attribution = LayerAttribution.interpolate(cam, tuple(images.shape[2:]), "bilinear")
        elif method == "occlusion":
            bands, jump = images.shape[1], max(1, patch // 2)
            square, steps_apart = (bands, patch, patch), (bands, jump, jump)
            covered = Occlusion(network).attribute(
                image, square, steps_apart, sky, code, perturbations_per_eval=batch_size
            )
            # all bands are covered together, so one band is enough
            attribution = covered[:, :1]
        else:
            attribution = IntegratedGradients(network).attribute(
                image, sky, code, n_steps=steps, internal_batch_size=batch_size
            )
        attributions[row] = attribution.detach().sum(1)[0].float().cpu().numpy()
    return attributions


def _require_one_network(network: nn.Module, method: str) -> None:
    """Refuse Grad-CAM of a head that reads the vectors of several members of an ensemble."""
    layers = getattr(getattr(network, "network", None), "layers", ())
    if method == "grad-cam" and any(layer.startswith("members.") for layer in layers):
        raise InputError(
            "Grad-CAM of a head on an ensemble",
            rule="have the maps of one network",
            found=f"{len(layers)} members",
            remedy="use integrated-gradients or occlusion",
        )


def _empty_images(images: torch.Tensor) -> torch.Tensor:
    """Return images of empty sky, at the median of the outermost pixels."""
    rim = torch.cat([images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)], dim=2)
    return rim.median(2).values[:, :, None, None].expand_as(images)


def _feature_maps(network: nn.Module, image: torch.Tensor) -> list[tuple[str, nn.Module, int]]:
    """Return name, module and side of all maps of a network, in the order of computation."""
    # maps have shape (n, channels, height, width) with more than one pixel per side
    feature_maps: list[tuple[str, nn.Module, int]] = []

    def watched(name: str, module: nn.Module) -> RemovableHandle:
        def keep(_module: nn.Module, _inputs: object, out: object) -> None:
            if isinstance(out, torch.Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1:
                feature_maps.append((name, module, out.shape[2]))

        return module.register_forward_hook(keep)

    hooks = [watched(name, module) for name, module in network.named_modules() if name]
    try:
        with torch.inference_mode():
            network.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not feature_maps:
        raise InputError(
            "network without maps",
            rule="have convolutions",
            remedy="use integrated-gradients or occlusion",
        )
    return feature_maps


def _telling(feature_maps: list[tuple[str, nn.Module, int]]) -> nn.Module:
    """Return the last module whose maps have at least `COARSEST` pixels per side, if possible."""
    finest = min(COARSEST, max(side for *_, side in feature_maps))
    return [module for _, module, side in feature_maps if side >= finest][-1]


def map_layers(network: nn.Module, image: torch.Tensor) -> list[str]:
    """Return the last layer for each size of a network's maps, largest maps first.

    Raises
    ------
    InputError
        The network has no maps.
    """
    last = {side: name for name, _, side in _feature_maps(network, image)}
    return [last[side] for side in sorted(last, reverse=True)]


def activations(network: nn.Module, images: torch.Tensor, layer: str) -> npt.NDArray[np.float32]:
    """Return the maps of a layer, shape (n, channels, height, width).

    Raises
    ------
    UnknownNameError
        The network has no such node.
    InputError
        The node gives no maps.
    """
    with torch.inference_mode():
        (out,) = Features(network.eval(), layer).body(images).values()
    if out.ndim != 4:
        raise InputError(
            "activations",
            where=layer,
            rule="be maps (n, channels, height, width)",
            found=tuple(out.shape),
        )
    return np.asarray(out.float().cpu().numpy())


def dream(
    network: nn.Module,
    target: int,
    shape: tuple[int, int, int],
    *,
    steps: int = 200,
    rate: float = 0.05,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Return the image that a class scores highest, found by gradient ascent on its logit.

    Simonyan+2014, arXiv:1312.6034, eq. 1. The image is shifted by a few pixels at every step and
    kept smooth, without which the ascent ends in noise.

    Parameters
    ----------
    network : nn.Module
        Ends in classes.
    target : int
        Class code.
    shape : (bands, height, width)
        Of the image.
    steps, rate : int, float
        Of Adam.
    seed : int
        Of the start and the shifts.

    Returns
    -------
    ndarray of float32
        Normalised image, of `shape`, each value in [−2.5, 2.5].
    """
    network.eval()
    random = torch.Generator().manual_seed(seed)
    image = (0.1 * torch.randn(1, *shape, generator=random)).requires_grad_()
    adam = torch.optim.Adam([image], lr=rate)
    for _ in range(steps):
        across, down = (int(n) for n in torch.randint(-4, 5, (2,), generator=random))
        logit = network(torch.roll(image, (down, across), (2, 3)))[0, target]
        # one loss for roughness, brightness and the logit, with signs for gradient descent
        rough = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
        adam.zero_grad()
        (rough + 0.01 * image.square().mean() - logit).backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(-2.5, 2.5)
    return np.asarray(image.detach()[0].numpy())
