"""Make galleries that explain a model: pixel maps, feature maps, images that maximise a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.figures.gallery import Picture
from gzfeatures.figures.sprites import picture_of
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.saliency.attribution import METHODS, saliency
from gzfeatures.networks.saliency.explained_model import ExplainedModel
from gzfeatures.networks.saliency.headed import Headed
from gzfeatures.networks.saliency.layers import activations, dream, map_layers
from gzfeatures.networks.saliency.verdict import Verdict, compare

SIDE = 128
CHANNELS = 8
"""Number of feature maps that are shown for each layer: those with the strongest response."""

WARM, COLD = (255, 120, 20), (40, 120, 255)


@dataclasses.dataclass(frozen=True, eq=False)
class Attributions:
    """Store maps of the pixels that matter for a class, from several methods for the same galaxies.

    Parameters
    ----------
    model : ExplainedModel
        Model whose classes are explained.
    ids : Ids
        Ids of the n galaxies.
    pixels : ndarray of uint8
        Images, cropped and resized for the network, shape (n, height, width, bands).
    inputs : Tensor
        The same images normalised, shape (n, bands, height, width).
    outputs : ndarray of float64
        Logits, or a head's probabilities, shape (n, k).
    codes : ndarray of int
        Number of the class that is explained for each galaxy, shape (n,).
    maps : dict of str to ndarray of float32
        Method → maps, shape (n, height, width).
    passes : dict of str to float
        Method → images pushed through the network for one galaxy, forward and backward.
    """

    model: ExplainedModel
    ids: Ids
    pixels: npt.NDArray[np.uint8]
    inputs: torch.Tensor
    outputs: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]
    maps: dict[str, npt.NDArray[np.float32]]
    passes: dict[str, float]

    def verdict(self, *, seed: int = 0) -> Verdict:
        """Score explanation and baseline maps by adding and removing the pixels they mark."""
        return compare(
            self.model.probabilities,
            self.inputs,
            self.codes.tolist(),
            self.maps,
            passes=self.passes,
            seed=seed,
        )

    def pictures(self) -> dict[str, list[Picture]]:
        """Return pictures by class: each galaxy's image beside the map of each method.

        Warm pixels raise the score of the class, cold ones lower it.
        """
        # write an output below its picture only if it is a probability, which a head gives; a
        # network gives logits
        headed = isinstance(self.model.network, Headed)
        gallery: dict[str, list[Picture]] = {}
        for code in np.unique(self.codes):
            name = self.model.classes[code]
            for row in np.flatnonzero(self.codes == code):
                coloured = [overlaid(self.pixels[row], maps[row]) for maps in self.maps.values()]
                strip = _beside([picture_of(part) for part in (self.pixels[row], *coloured)])
                guess = f"{name} {self.outputs[row, code]:.2f}" if headed else name
                gallery.setdefault(name, []).append(Picture(str(self.ids[row]), guess, strip))
        return gallery


class _ForwardCounter:
    """Count how many images a network computes forward and backward inside a `with` block."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.images = network, 0

    def __enter__(self) -> _ForwardCounter:
        self._hook = self.network.register_forward_hook(self._forward)
        return self

    def __exit__(self, *_error: object) -> None:
        self._hook.remove()

    def _forward(self, _module: nn.Module, _inputs: object, outputs: torch.Tensor) -> None:
        self.images += len(outputs)
        if outputs.requires_grad:
            outputs.register_hook(self._backward)  # type: ignore[no-untyped-call]

    def _backward(self, slope: torch.Tensor) -> None:
        self.images += len(slope)


def attributions(
    model: ExplainedModel,
    images: ImageSet,
    ids: Ids,
    *,
    target: str | None = None,
    methods: Sequence[str] = tuple(METHODS),
) -> Attributions:
    """Compute, by several methods, on which pixels the class of each galaxy depends.

    Parameters
    ----------
    model : ExplainedModel
        The network, or the head, whose classes are explained.
    images : ImageSet
        Images of at least these galaxies.
    ids : Ids
        Ids of at least one galaxy.
    target : str, optional
        Class to explain for all galaxies; default each galaxy's most likely class.
    methods : sequence of str
        Names in `attribution.METHODS`. Integrated gradients are blurred by a Gaussian whose sigma
        is a fiftieth of the image's side.

    Raises
    ------
    InputError
        The class does not exist, or a galaxy has no image.
    """
    if target is not None and target not in model.classes:
        raise InputError(
            "class to explain", rule=f"be one of {', '.join(model.classes)}", found=target
        )
    pixels = model.pixels(images, ids)
    inputs = model.images(pixels)
    outputs = model.outputs(inputs)
    codes = outputs.argmax(1) if target is None else np.full(len(ids), model.classes.index(target))
    maps: dict[str, npt.NDArray[np.float32]] = {}
    passes: dict[str, float] = {}
    for name in methods:
        with _ForwardCounter(model.network) as counter:
            maps[name] = saliency(
                model.network,
                inputs,
                codes.tolist(),
                method=name,
                patch=max(1, model.view.size // 6),
            )
        passes[name] = counter.images / len(ids)
    if "integrated-gradients" in maps:
        # single pixels of this map are noisy: smooth it by a Gaussian of 2 % of the image's side
        blur = (0, model.view.size / 50, model.view.size / 50)
        maps["integrated-gradients"] = gaussian_filter(maps["integrated-gradients"], blur)
    return Attributions(model, ids, pixels, inputs, outputs, codes, maps, passes)


def layers(
    model: ExplainedModel, images: ImageSet, name: str, nodes: Sequence[str] | None = None
) -> dict[str, list[Picture]]:
    """Show, for some layers of a network, the channels that respond most to a galaxy.

    Parameters
    ----------
    model : ExplainedModel
        Model whose network has the layers; a head is not used.
    images : ImageSet
        Images, with that of the galaxy among them.
    name : str
        Id of the galaxy.
    nodes : sequence of str, optional
        Layers of the network; default the last layer with each size of feature maps.

    Returns
    -------
    dict
        Layer, with number and size of its maps → pictures.
    """
    inputs = model.images(model.pixels(images, np.asarray([name], dtype=object)))
    gallery = {}
    for node in nodes or map_layers(model.plain, inputs):
        maps = activations(model.plain, inputs, node)[0]
        strongest = np.argsort(-maps.mean((1, 2)), kind="stable")[:CHANNELS]
        heading = f"{node}: {len(maps)} maps of {maps.shape[1]} × {maps.shape[2]}"
        gallery[heading] = [
            Picture(f"channel {channel}", "", _grey(maps[channel])) for channel in strongest
        ]
    return gallery


def maximal_images(
    model: ExplainedModel, *, steps: int = 200, seed: int = 0
) -> dict[str, list[Picture]]:
    """Show, for each class, an image that a network scores highest, by gradient ascent from noise.

    Raises
    ------
    InputError
        The model has a head: its gradient can only be measured by small steps, which is too slow,
        and often zero.
    """
    if isinstance(model.network, Headed):
        raise InputError(
            "class visualisation",
            rule="be of a network that ends in classes",
            remedy="leave the head out",
        )
    shape = (model.spec.bands, model.view.size, model.view.size)
    mean, std = (np.asarray(values)[:, None, None] for values in (model.spec.mean, model.spec.std))
    pictures = []
    for code, name in enumerate(model.classes):
        image = dream(model.network, code, shape, steps=steps, seed=seed) * std + mean
        pixels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
        pictures.append(Picture(name, "", _beside([picture_of(pixels)])))
    return {"What each class would like best": pictures}


def overlaid(
    pixels: npt.NDArray[np.uint8], attribution: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Colour an image by its attribution: warm raises the class score, cold lowers it.

    Parameters
    ----------
    pixels : ndarray of uint8
        Shape (height, width, bands); the first three bands are shown, or one in grey.
    attribution : ndarray of float32
        From `saliency`, shape (height, width); scaled by its 99th percentile.

    Raises
    ------
    InputError
        The shapes differ.
    """
    if pixels.shape[:2] != attribution.shape:
        raise InputError(
            "saliency", rule=f"have the image's shape {pixels.shape[:2]}", found=attribution.shape
        )
    # scale by a percentile, not by the maximum: one extreme pixel would leave all others without
    # colour
    scale = max(float(np.percentile(np.abs(attribution), 99)), 1e-12)
    strength = np.clip(attribution / scale, -1, 1)[:, :, None]
    share = 0.75 * np.abs(strength)
    colour = np.where(strength > 0, WARM, COLD)
    mixed = (1 - share) * np.asarray(picture_of(pixels)) + share * colour
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def _grey(values: npt.NDArray[np.float32]) -> Image.Image:
    low, high = np.percentile(values, [1, 99])
    grey = np.clip((values - low) / max(float(high - low), 1e-12), 0, 1)
    picture = picture_of(np.rint(255 * grey).astype(np.uint8)[:, :, None])
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures side by side, each `SIDE` pixels high and wide, with a narrow gap."""
    step = SIDE + 2
    whole = Image.new("RGB", (step * len(pictures) - 2, SIDE))
    for number, picture in enumerate(pictures):
        whole.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (number * step, 0))
    return whole
