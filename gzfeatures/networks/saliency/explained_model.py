"""Load a model to explain it: a network that predicts classes, or a head on embeddings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.features.backbones import (
    BACKBONES,
    RECORD,
    Backbone,
    backbone,
    classes_of,
    packaged,
)
from gzfeatures.features.table import Extractor
from gzfeatures.features.weights import weights_digest, weights_file
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.ids import Ids, positions
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.networks.inference.probabilities import normalised
from gzfeatures.networks.models.load import Features, load
from gzfeatures.networks.saliency.headed import Headed, Probabilities
from gzfeatures.networks.setup.targets import TARGETS


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedModel:
    """Store a model to explain: a fine-tuned network, or a head joined to its backbone.

    Parameters
    ----------
    network : nn.Module
        Normalised images → logits, shape (n, k); with a head, probabilities.
    plain : nn.Module
        The network without a head.
    spec : Backbone
        Normalisation and bands of the network.
    view : View
        Crop, size and colours of the network's input.
    classes : tuple of str
        Names of the k outputs.
    target : str
        Key of `TARGETS`, which says how logits become probabilities; a head gives probabilities.
    """

    network: nn.Module
    plain: nn.Module
    spec: Backbone
    view: View
    classes: tuple[str, ...]
    target: str = "classes"

    @classmethod
    def of_network(cls, checkpoint: str | Path) -> ExplainedModel:
        """Load a network to explain, from a checkpoint folder or by name from this package.

        Raises
        ------
        InputError
            The network does not predict classes of galaxies.
        MissingFileError, WeightsError
            No checkpoint folder, or a damaged one.
        """
        spec = backbone(checkpoint)
        kind, _, place = (spec.weights or "").partition(":")
        if str(checkpoint) in BACKBONES and kind != "package":
            raise InputError(
                "a network without classes of galaxies",
                where=str(checkpoint),
                rule="be a fine-tuned checkpoint",
                remedy="or explain a head on it",
            )
        folder = packaged(place) if kind == "package" else Path(checkpoint)
        network, classes = load(spec), classes_of(folder)
        # a checkpoint of an earlier version does not say what it predicts: it predicts classes
        fields = json.loads((folder / RECORD).read_text("utf-8"))
        target = fields.get("settings", {}).get("target", "classes")
        if target in VALUE_TARGETS:
            raise InputError(
                "network predicts a number",
                where=checkpoint,
                rule="end in classes, one of which is explained",
            )
        return cls(network, network, spec, spec.view, classes, target)

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
            Embeddings → probabilities of the classes, for instance `Head.probabilities`.
        classes : sequence of str
            Names of the classes.
        extractor : Extractor
            How the embeddings the head was fitted on were made: weights, layer, crop and size. Here
            the network computes in float32, and from the image alone, even if those embeddings are
            means over mirrored and turned copies.
        weights : str or Path, optional
            File that replaces the backbone's own weights.
        seed : int
            Seed of the random directions along which the head's slope is measured.

        Raises
        ------
        InputError
            The backbone's weights are not those that made the embeddings.
        """
        spec = backbone(name)
        # refuse weights that did not make the embeddings the head was fitted on: the map would
        # explain a combination of network and head that nobody uses
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
        """Return the normalised network input for pixels of shape (n, height, width, bands)."""
        bands = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        return normalised(bands, self.spec.mean, self.spec.std)

    def pixels(self, images: ImageSet, ids: Ids) -> npt.NDArray[np.uint8]:
        """Return the pixels of galaxies in the network's crop and size, (n, size, size, bands)."""
        # `positions` raises an error for an id without an image
        rows = positions(images.ids, ids, where="images")
        return np.stack([to_views(images, int(row), (self.view,))[0] for row in rows])

    def outputs(self, images: torch.Tensor) -> npt.NDArray[np.float64]:
        """Return a network's logits or a head's probabilities for images, shape (n, classes)."""
        with torch.no_grad():
            values: npt.NDArray[np.float64] = self.network(images).double().numpy()
        return values

    @property
    def has_probabilities(self) -> bool:
        """Return True if the outputs give class probabilities, not a predicted number."""
        return isinstance(self.network, Headed) or self.target in TARGETS

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """Return the class probabilities of normalised images, shape (n, classes).

        PyTorch can differentiate the result. A network's probabilities are those before
        calibration.

        Raises
        ------
        InputError
            The outputs of the network are no probabilities.
        """
        outputs: torch.Tensor = self.network(images)
        if isinstance(self.network, Headed):
            return outputs
        if not self.has_probabilities:
            raise InputError(
                "outputs of the network",
                where=self.spec.name,
                rule=f"be of one of {', '.join(TARGETS)}",
                found=self.target,
            )
        return TARGETS[self.target].probabilities(outputs)
