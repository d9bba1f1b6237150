"""Make galleries that explain a network or a head: attributions, maps and maximal images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.features.backbones import BACKBONES, Backbone, backbone, classes_of
from gzfeatures.features.table import Extractor
from gzfeatures.features.weights import weights_digest, weights_file
from gzfeatures.figures.gallery import Picture
from gzfeatures.figures.sprites import picture_of
from gzfeatures.ids import Ids, positions
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.preprocess import to_views
from gzfeatures.networks.inference.probabilities import normalised
from gzfeatures.networks.models.load import Features, load
from gzfeatures.networks.saliency.attribution import (
    METHODS,
    Headed,
    Probabilities,
    activations,
    dream,
    map_layers,
    saliency,
)

SIDE = 128
CHANNELS = 8
"""Number of maps of a layer that are shown, those with the strongest response."""

WARM, COLD = (255, 120, 20), (40, 120, 255)


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedModel:
    """Hold the model to explain: a fine-tuned network, or a head on the vectors of a network.

    Parameters
    ----------
    network : nn.Module
        Normalised images → logits, shape (n, k); with a head, probabilities.
    plain : nn.Module
        The network alone.
    spec : Backbone
        Its entry, for normalisation and bands.
    view : View
        Pixels it sees.
    classes : tuple of str
        Names of the k outputs.
    """

    network: nn.Module
    plain: nn.Module
    spec: Backbone
    view: View
    classes: tuple[str, ...]

    @classmethod
    def of_network(cls, checkpoint: str | Path) -> ExplainedModel:
        """Load a fine-tuned network to explain.

        Raises
        ------
        InputError
            The backbone ends in no classes of galaxies.
        MissingFileError, WeightsError
            No checkpoint folder, or a damaged one.
        """
        if str(checkpoint) in BACKBONES:
            raise InputError(
                "a network without classes of galaxies",
                where=str(checkpoint),
                rule="be a fine-tuned checkpoint",
                remedy="or explain a head on it",
            )
        spec = backbone(checkpoint)
        network = load(spec)
        return cls(network, network, spec, spec.view, classes_of(checkpoint))

    @classmethod
    def of_head(
        cls,
        name: str | Path,
        head: Probabilities,
        classes: Sequence[str],
        extractor: Extractor,
        *,
        weights: str | Path | None = None,
        seed: int = 0,
    ) -> ExplainedModel:
        """Join a head to its backbone, to explain both together.

        Parameters
        ----------
        name : str or Path
            Backbone or checkpoint folder.
        head : callable
            Vectors → probabilities of the classes, for instance `Head.probabilities`.
        classes : sequence of str
            Their names.
        extractor : Extractor
            Made the vectors the head was fitted on. Here its arithmetic is float32, and an image is
            taken as it stands even if the vectors are means over mirror images and turns.
        weights : str or Path, optional
            File that replaces the backbone's own weights.
        seed : int
            Of the directions in which the head's slope is measured.

        Raises
        ------
        InputError
            The backbone has other weights than made the vectors.
        """
        spec = backbone(name)
        # a head on vectors of other weights would explain a model that does not exist
        digest = weights_digest(spec, weights_file(spec, weights))
        if digest != extractor.weights:
            raise InputError(
                "head reads the vectors of another network",
                where=spec.name,
                rule=f"have weights {extractor.weights[:12]} of {extractor.backbone}",
                found=digest[:12],
                remedy="name the backbone and weights of its table",
            )
        plain = load(spec, weights)
        headed = Headed(Features(plain, extractor.layer), head, seed=seed)
        return cls(headed, plain, spec, extractor.view, tuple(classes))

    def images(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return network input from pixels, shape (n, height, width, bands)."""
        bands = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        return normalised(bands, self.spec.mean, self.spec.std)

    def pixels(self, images: ImageSet, ids: Ids) -> npt.NDArray[np.uint8]:
        """Return galaxies as the network sees them, shape (n, size, size, bands)."""
        # an id without an image raises InputError
        rows = positions(images.ids, ids, where="images")
        return np.stack([to_views(images, int(row), (self.view,))[0] for row in rows])

    def outputs(self, images: torch.Tensor) -> npt.NDArray[np.float64]:
        """Return logits, or a head's probabilities, shape (n, k)."""
        with torch.no_grad():
            values: npt.NDArray[np.float64] = self.network(images).double().numpy()
        return values


def attributions(
    model: ExplainedModel,
    images: ImageSet,
    ids: Ids,
    *,
    target: str | None = None,
    methods: Sequence[str] = METHODS,
) -> dict[str, list[Picture]]:
    """Show the galaxies of each class, beside the pixels that their class score depends on.

    Parameters
    ----------
    model : ExplainedModel
        The network, or the head, whose classes are explained.
    images : ImageSet
        Holds the galaxies.
    ids : Ids
        Galaxies; at least one.
    target : str, optional
        Class to explain for all of them; default each galaxy's most likely one.
    methods : sequence of str
        Of `attribution.METHODS`, one picture each: warm pixels raise the score of the class, cold
        ones lower it. Integrated gradients are blurred by a fiftieth of the image.

    Returns
    -------
    dict
        Class → pictures, in the order of the classes; a picture is the galaxy as the network sees
        it and the explanations.

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
    patch = max(1, model.view.size // 6)
    maps = {
        name: saliency(model.network, inputs, codes.tolist(), method=name, patch=patch)
        for name in methods
    }
    if "integrated-gradients" in maps:
        # single pixels are noisy, so show the mean over a few
        blur = (0, model.view.size / 50, model.view.size / 50)
        maps["integrated-gradients"] = gaussian_filter(maps["integrated-gradients"], blur)
    # only a head gives probabilities that can be shown with the class
    headed = isinstance(model.network, Headed)
    gallery: dict[str, list[Picture]] = {}
    for code in np.unique(codes):
        name = model.classes[code]
        for row in np.flatnonzero(codes == code):
            coloured = [overlaid(pixels[row], maps[method][row]) for method in methods]
            strip = _beside([picture_of(part) for part in (pixels[row], *coloured)])
            guess = f"{name} {outputs[row, code]:.2f}" if headed else name
            gallery.setdefault(name, []).append(Picture(str(ids[row]), guess, strip))
    return gallery


def layers(
    model: ExplainedModel, images: ImageSet, name: str, nodes: Sequence[str] | None = None
) -> dict[str, list[Picture]]:
    """Show the channels of a network's layers that respond most to a galaxy.

    Parameters
    ----------
    model : ExplainedModel
        Its network has the layers; a head plays no part.
    images : ImageSet
        Holds the galaxy.
    name : str
        Its id.
    nodes : sequence of str, optional
        Nodes of the network; default the last one at each size of its maps.

    Returns
    -------
    dict
        Layer and size of its maps → pictures.
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
    """Show the image that maximises each class score, by gradient ascent from noise.

    Raises
    ------
    InputError
        The model has a head: its slope is measured, not known, which is too slow and too flat to
        climb.
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
    # a percentile, because a single extreme pixel would leave the others without colour
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
