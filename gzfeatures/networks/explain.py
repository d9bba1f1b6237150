"""Explain: which pixels a class rests on, through a network's own classes or through a head on its vectors.

A head (a support vector machine, boosted trees, …) has no gradient that torch could follow. It enters as a function
from vectors to a score, and either pixels are covered and the score is asked again (occlusion: exact for any head), or
its slope at the vector is measured by small steps in all directions and carried on to the pixels by the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from gzfeatures.errors import InputError, unknown
from gzfeatures.networks.load import _Features

METHODS = ("grad-cam", "integrated-gradients", "occlusion")
Score: TypeAlias = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]
"""Vectors, shape (n, dim), → a number per row, such as the probability of one class."""


def saliency(
    network: nn.Module,
    images: torch.Tensor,
    target: int | None = None,
    *,
    head: Score | None = None,
    method: str = "grad-cam",
    steps: int = 32,
    patch: int = 16,
    batch_size: int = 64,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """How much each pixel speaks for a class.

    Parameters
    ----------
    network : nn.Module
        In eval mode. Without a head it ends in classes; with one it gives the vectors the head reads.
    images : Tensor
        Normalised float32, shape (n, bands, height, width); 0 is the mean colour.
    target : int, optional
        Class code, without a head.
    head : callable, optional
        Score of vectors, for instance `lambda v: estimator.predict_proba(v)[:, code]`.
    method : {"grad-cam", "integrated-gradients", "occlusion"}
        Grad-CAM on the last maps of the network (Selvaraju+2017, doi:10.1109/ICCV.2017.74, eq. 1 and 2), ≥ 0;
        integrated gradients from the mean colour, summed over bands (Sundararajan+2017, arXiv:1703.01365, eq. 3);
        occlusion, the score lost when a square around the pixel is covered by the mean colour (Zeiler & Fergus 2014,
        doi:10.1007/978-3-319-10590-1_53, section 4.2), the mean of all squares that cover it.
    steps : int
        Of the integral.
    patch : int
        Side of a covered square in pixels; squares lie half a side apart.
    batch_size : int
        Images at a time.
    seed : int
        Of the directions in which a head's slope is measured.

    Returns
    -------
    ndarray of float32
        Shape (n, height, width); positive speaks for the class.

    Raises
    ------
    UnknownNameError
        No such method.
    InputError
        Both or neither of `target` and `head`, or the network has no maps (Grad-CAM).
    """
    if method not in METHODS:
        raise unknown("method of explanation", method, METHODS)
    if (target is None) == (head is None):
        raise InputError("an explanation", rule="have either a target class or a head")
    network.eval()
    if method == "occlusion":
        return _occlusion(network, images, target, head, patch, batch_size)
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        slope = _slope(network, batch, target, head, seed)
        parts.append(
            _grad_cam(network, batch, slope) if method == "grad-cam" else _integrated(network, batch, slope, steps)
        )
    return torch.cat(parts).numpy().astype(np.float32)


def _scores(network: nn.Module, images: torch.Tensor, target: int | None, head: Score | None) -> torch.Tensor:
    """Probability of the target class, or the head's score, of each image."""
    with torch.inference_mode():
        out = network(images)
        if head is None:
            return torch.softmax(out.double(), 1)[:, target].cpu()
        return torch.as_tensor(np.asarray(head(out.float().cpu().numpy()), dtype=np.float64))


def _slope(
    network: nn.Module, images: torch.Tensor, target: int | None, head: Score | None, seed: int, directions: int = 512
) -> torch.Tensor:
    """Slope of the score over the network's output, shape (n, dim): of a head by paired steps in random directions."""
    with torch.no_grad():
        vectors = network(images)
    if head is None:
        return functional.one_hot(torch.full((len(images),), int(target or 0)), vectors.shape[1]).to(vectors)
    rng = np.random.default_rng(seed)
    ways = rng.standard_normal((directions, vectors.shape[1])).astype(np.float32)
    slopes = []
    for vector in vectors.float().cpu().numpy():
        step = 0.1 * float(np.abs(vector).mean() or 1.0)
        rise = np.asarray(head(vector + step * ways)) - np.asarray(head(vector - step * ways))
        slopes.append((rise[:, None] * ways).mean(0) / (2 * step))
    return torch.as_tensor(np.stack(slopes)).to(vectors)


def _grad_cam(network: nn.Module, images: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    seen: list[torch.Tensor] = []

    def keep(_module: nn.Module, _given: object, out: object) -> None:
        if isinstance(out, torch.Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1 and out.requires_grad:
            seen.append(out)

    hooks = [module.register_forward_hook(keep) for module in network.modules() if not list(module.children())]
    try:
        score = (network(images.clone().requires_grad_()) * slope).sum()
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise InputError("Grad-CAM", rule="have a network with maps", remedy="use integrated-gradients or occlusion")
    maps = seen[-1]
    weights = torch.autograd.grad(score, maps)[0].mean((2, 3), keepdim=True)
    cam = functional.relu((weights * maps).sum(1, keepdim=True))
    return functional.interpolate(cam, images.shape[2:], mode="bilinear", align_corners=False)[:, 0].detach().cpu()


def _integrated(network: nn.Module, images: torch.Tensor, slope: torch.Tensor, steps: int) -> torch.Tensor:
    total = torch.zeros_like(images)
    for step in range(steps):
        part = (images * ((step + 0.5) / steps)).requires_grad_()  # midpoints: the error falls with the square of steps
        total += torch.autograd.grad((network(part) * slope).sum(), part)[0]
    return (images * total / steps).sum(1).detach().cpu()


def _occlusion(
    network: nn.Module, images: torch.Tensor, target: int | None, head: Score | None, patch: int, batch_size: int
) -> npt.NDArray[np.float32]:
    height, width = images.shape[2:]
    if not 1 <= patch <= min(height, width):
        raise InputError("covered square", rule=f"have a side in 1…{min(height, width)} px", found=patch)
    jump = max(1, patch // 2)
    corners = [
        (min(y, height - patch), min(x, width - patch))
        for y in range(0, height - patch + jump, jump)
        for x in range(0, width - patch + jump, jump)
    ]
    found = np.empty((len(images), height, width), dtype=np.float32)
    for row, image in enumerate(images):
        whole = float(_scores(network, image[None], target, head)[0])
        lost, covered = np.zeros((height, width)), np.zeros((height, width))
        for start in range(0, len(corners), batch_size):
            some = corners[start : start + batch_size]
            batch = image.repeat(len(some), 1, 1, 1)
            for copy, (y, x) in zip(batch, some, strict=True):
                copy[:, y : y + patch, x : x + patch] = 0
            for score, (y, x) in zip(_scores(network, batch, target, head).tolist(), some, strict=True):
                lost[y : y + patch, x : x + patch] += whole - score
                covered[y : y + patch, x : x + patch] += 1
        found[row] = lost / covered
    return found


def activations(network: nn.Module, images: torch.Tensor, layer: str) -> npt.NDArray[np.float32]:
    """Maps of a layer, shape (n, channels, height, width); an unknown layer lists the nearest names.

    Raises
    ------
    UnknownNameError
        The network has no such node.
    InputError
        The node gives no maps.
    """
    with torch.inference_mode():
        out = _Features(network.eval(), layer).body(images)["vector"]
    if out.ndim != 4:
        raise InputError(
            "activations", where=layer, rule="be maps (n, channels, height, width)", found=tuple(out.shape)
        )
    return np.asarray(out.float().cpu().numpy())


def dream(
    network: nn.Module, target: int, shape: tuple[int, int, int], *, steps: int = 200, rate: float = 0.05, seed: int = 0
) -> npt.NDArray[np.float32]:
    """The image a class likes best: gradient ascent on its logit (Simonyan+2014, arXiv:1312.6034, eq. 1).

    The image is shifted by a few pixels at every step and kept smooth, without which the ascent ends in noise.

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
        rough = image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean()
        adam.zero_grad()
        (rough + 0.01 * image.square().mean() - logit).backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(-2.5, 2.5)
    return np.asarray(image.detach()[0].numpy())


def overlaid(pixels: npt.NDArray[np.uint8], speaks: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """An image with what speaks for the class in warm and against it in cold colour.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width, 3).
    speaks : ndarray of float32
        From `saliency`, shape (height, width); scaled by its 99th percentile.

    Raises
    ------
    InputError
        The shapes differ.
    """
    if pixels.shape[:2] != speaks.shape:
        raise InputError("saliency", rule=f"have the image's shape {pixels.shape[:2]}", found=speaks.shape)
    strength = np.clip(speaks / max(float(np.percentile(np.abs(speaks), 99)), 1e-12), -1, 1)[:, :, None]
    colour = np.where(strength > 0, [255, 120, 20], [40, 120, 255])
    share = 0.75 * np.abs(strength)
    return np.asarray(np.rint((1 - share) * pixels + share * colour), dtype=np.uint8)
