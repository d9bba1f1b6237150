"""Compute on which pixels of an image the probability of a class depends.

The package captum computes the maps, from gradients or by covering squares of the image. The module
`headed` joins a head on embeddings to its network, so that both methods can explain heads too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion
from torch import nn

from gzfeatures.errors import InputError, unknown
from gzfeatures.networks.models.ensemble import NetworkEnsemble
from gzfeatures.networks.saliency.fillings import sky_of

# users' programs import these names from this module, where earlier versions defined them
from gzfeatures.networks.saliency.headed import Headed as Headed
from gzfeatures.networks.saliency.headed import Probabilities as Probabilities
from gzfeatures.networks.saliency.layers import activations as activations
from gzfeatures.networks.saliency.layers import dream as dream
from gzfeatures.networks.saliency.layers import feature_maps, finest_enough
from gzfeatures.networks.saliency.layers import map_layers as map_layers


class Question(NamedTuple):
    """Collect what an explanation method needs: network, image, class, steps, and patch size.

    Parameters
    ----------
    network : nn.Module
        Returns one logit per class, or is a `Headed` network.
    image : Tensor
        Normalised, shape (1, bands, height, width).
    code : int
        Number of the class to explain.
    steps, patch, batch_size : int
        As in `saliency`.
    """

    network: nn.Module
    image: torch.Tensor
    code: int
    steps: int
    patch: int
    batch_size: int


def _grad_cam(question: Question) -> torch.Tensor:
    layer = finest_enough(feature_maps(question.network, question.image))
    image = question.image.clone().requires_grad_()
    cam = LayerGradCam(question.network, layer).attribute(
        image, question.code, relu_attributions=True
    )
    size = (image.shape[2], image.shape[3])
    attribution: torch.Tensor = LayerAttribution.interpolate(cam, size, "bilinear")
    return attribution.sum(1)[0]


def _integrated_gradients(question: Question) -> torch.Tensor:
    # start the path of integration at empty sky: a black image would add an edge
    attribution: torch.Tensor = IntegratedGradients(question.network).attribute(
        question.image.clone().requires_grad_(),
        sky_of(question.image),
        question.code,
        n_steps=question.steps,
        internal_batch_size=question.batch_size,
    )
    return attribution.sum(1)[0]


def _occlusion(question: Question) -> torch.Tensor:
    bands, jump = question.image.shape[1], max(1, question.patch // 2)
    covered: torch.Tensor = Occlusion(question.network).attribute(
        question.image,
        (bands, question.patch, question.patch),
        (bands, jump, jump),
        sky_of(question.image),
        question.code,
        perturbations_per_eval=question.batch_size,
    )
    # each square covers all bands at once, so all bands have the same map: return the first
    return covered[0, 0]


METHODS: dict[str, Callable[[Question], torch.Tensor]] = {
    "grad-cam": _grad_cam,
    "integrated-gradients": _integrated_gradients,
    "occlusion": _occlusion,
}
"""Functions that compute the map of one image, shape (height, width)."""


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
        Returns one logit per class, or is a `Headed` network.
    images : Tensor
        Normalised float32, shape (n, bands, height, width).
    target : int or sequence of int
        Class code, of all or of each image.
    method : {"grad-cam", "integrated-gradients", "occlusion"}
        Grad-CAM on the last maps of the network (Selvaraju+2017, doi:10.1109/ICCV.2017.74, eq. 1
        and 2), ≥ 0; maps with fewer than 6 pixels a side are skipped if the network has finer
        ones; integrated gradients from empty sky, summed over bands
        (Sundararajan+2017, arXiv:1703.01365, eq. 3); occlusion, what the output loses when a square
        around the pixel is covered by sky (Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53,
        section 4.2), the mean of all squares that cover it. The sky of an image is the median of
        its outermost pixels in each band.
    steps : int
        Number of steps of the integral (integrated gradients).
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
        raise unknown("method of explanation", method, tuple(METHODS))
    side = min(images.shape[2:])
    if method == "occlusion" and not 1 <= patch <= side:
        raise InputError("covered square", rule=f"have a side in 1…{side} px", found=patch)
    if method == "grad-cam" and isinstance(network, NetworkEnsemble):
        # average the maps of all members: the map of one member explains only its share of the
        # ensemble
        maps = [saliency(member, images, target, method=method) for member in network.members]
        return np.asarray(np.mean(maps, axis=0), dtype=np.float32)
    _require_one_network(network, method)
    network.eval()
    codes = np.broadcast_to(np.asarray(target), len(images))
    attributions = np.empty((len(images), *images.shape[2:]), dtype=np.float32)
    for row, code in enumerate(codes.tolist()):
        image = images[row : row + 1]
        question = Question(network, image, code, steps, patch, batch_size)
        attributions[row] = METHODS[method](question).detach().float().cpu().numpy()
    return attributions


def _require_one_network(network: nn.Module, method: str) -> None:
    """Refuse Grad-CAM for a head on the joined embeddings of an ensemble's members."""
    layers = getattr(getattr(network, "network", None), "layers", ())
    if method == "grad-cam" and any(layer.startswith("members.") for layer in layers):
        raise InputError(
            "Grad-CAM of a head on an ensemble",
            rule="have the maps of one network",
            found=f"{len(layers)} members",
            remedy="use integrated-gradients or occlusion",
        )
