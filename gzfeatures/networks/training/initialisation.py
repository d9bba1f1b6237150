"""Choose the architecture, the weights and the view (crop, size) with which a training starts."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import nn

from gzfeatures.errors import InputError, LeakError
from gzfeatures.features.backbones import BACKBONES, Backbone, classes_of, packaged
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.features.weights import (
    record_of_file,
    training_record,
    weights_digest,
    weights_file,
)
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.models import architectures
from gzfeatures.networks.models.load import load
from gzfeatures.networks.training.probe import clear_output

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Initialisation:
    """Store the architecture, the starting weights and the view (crop, size) of a training.

    Parameters
    ----------
    architecture : str
        Name for `architectures.build`.
    view : View
        Crop, size and colours of the network's input.
    backbone : Backbone, optional
        Backbone whose weights the training starts from; None for a random start.
    weights : Path, optional
        File of these weights.
    digest : str
        Sha256 of that file, or "random".
    classes : tuple of str, optional
        Classes that the output layer of these weights was trained on, if known.
    hint : str
        Message to the user if the training starts from random weights although trained weights
        exist; else empty.
    """

    architecture: str
    view: View
    backbone: Backbone | None = None
    weights: Path | None = None
    digest: str = "random"
    classes: tuple[str, ...] | None = None
    hint: str = ""

    @classmethod
    def of(
        cls,
        network: str | Path | Backbone,
        weights: str | Path | None,
        classes: int,
        view: View | None,
        split: Split,
        images: ImageSet,
    ) -> Initialisation:
        """Find a network and its starting weights; refuse weights trained on a test galaxy.

        Parameters
        ----------
        network, weights, view
            As for `train.train`.
        classes : int
            Number of classes.
        split : Split
            Split whose test galaxies must not have trained the weights.
        images : ImageSet
            Images of at least the test galaxies.

        Raises
        ------
        UnknownNameError, MissingFileError, WeightsError
            No network has that name; its weights are missing, or do not fit.
        LeakError
            The weights were trained on a test galaxy.
        """
        # a network's name means random weights, unless weights are given with it
        if isinstance(network, str) and (network in BACKBONES or not Path(network).is_dir()):
            architecture = (
                network
                if network in architectures.NETWORKS
                else architectures.torchvision_name(network)
            )
            own_view = View(
                size=architectures.size_of(network, classes), grey=architectures.is_grey(network)
            )
            if architecture is None and network not in BACKBONES:
                raise architectures.unknown_network(network)
            if architecture is not None and weights in (None, "none"):
                return cls(architecture, view or own_view, hint=_hint(network, weights))
            if architecture is not None and network not in BACKBONES:
                layer = architectures.embedding_node(architectures.build(architecture, classes))
                network = Backbone(network, architecture, None, layer, 1, own_view)
        # `network` is now a backbone, a checkpoint folder or a weights file: start from its
        # weights or those of a file that the user gives; `none` means random weights
        spec = backbone_of(network)
        path = weights_file(spec, None if weights == "own" else weights)
        if weights == "none":
            return cls(spec.architecture, view or spec.view, hint=_hint(spec.name, weights))
        if spec.members > 1:
            raise InputError(
                "network to start from",
                where=spec.name,
                rule="be one network",
                found=f"an ensemble of {spec.members}",
                remedy="start from one of its members, a folder in its `members`",
            )
        classes_learned = _classes(network, spec) if weights in (None, "own") else None
        digest = weights_digest(spec, path)
        spec = dataclasses.replace(spec, trained_on=training_record(spec, path, digest))
        start = cls(spec.architecture, view or spec.view, spec, path, digest, classes_learned)
        # refuse weights that were trained on a test galaxy: the test score would be too good
        test = split.test[start.seen_before().among_images(images.select(split.test))]
        if len(test):
            raise LeakError(
                f"{len(test)} test galaxies were trained on by the weights to start from",
                where=spec.name,
                found=test[0],
                remedy="test on others, or start from other weights",
            )
        return start

    def seen_before(self) -> TrainedOn:
        """Return the record of galaxies that the starting weights were trained on."""
        return TrainedOn.joined([self.backbone.trained_on if self.backbone else None])

    def trained_on(self, images: ImageSet, others: ImageSet | None = None) -> TrainedOn:
        """Return the record of all galaxies that trained the network, in this training or before.

        Parameters
        ----------
        images : ImageSet
            Images of the training galaxies.
        others : ImageSet, optional
            Images of validation and test galaxies (see `TrainedOn.without_pictures_like`).
        """
        return self.seen_before() | TrainedOn.of_images(images, others=others)

    def margin(self, wanted: float | None, field: float) -> float:
        """Return how much wider a training image is than the network's input image, at most √2.

        By default as wide as the images allow.

        Parameters
        ----------
        wanted : float, optional
            As in `Augmentation`.
        field : float
            Share of the survey frame that the images hold.

        Raises
        ------
        InputError
            The frames would be wider than the images.
        """
        # a margin of √2 suffices for every rotation: a square rotated by any angle fits into a
        # square that is √2 times as wide
        room = field / self.view.crop
        if wanted is not None and wanted > room + 1e-9:
            raise InputError(
                "augmentation margin", rule=f"leave the frame inside the image, at most {room:.4g}",
                found=wanted, remedy="lower it, or the view's crop",
            )  # fmt: skip
        return max(1.0, min(math.sqrt(2), room)) if wanted is None else wanted

    def frame(self, margin: float) -> View:
        """Return crop and size of training images: `margin` times wider than network input."""
        crop = min(1.0, self.view.crop * margin)
        return dataclasses.replace(self.view, size=round(self.view.size * margin), crop=crop)

    def keeps(self, classes: tuple[str, ...]) -> bool:
        """Return True if the weights' output layer was trained on these classes, in any order."""
        return self.classes is not None and sorted(self.classes) == sorted(classes)

    def network(
        self, scheme: str, classes: tuple[str, ...], outputs: int, bands: int, *, aux: bool
    ) -> tuple[nn.Module, Backbone]:
        """Return the network with its starting weights, and its description as a backbone.

        Parameters
        ----------
        scheme : str
            Class scheme of the labels, which becomes part of the network's name.
        classes : tuple of str
            Classes of the labels. An output layer that was trained on the same classes is kept; any
            other is replaced.
        outputs : int
            Number of logits: larger than the number of classes if there is a second target.
        bands : int
            Channels of the pixels.
        aux : bool
            Give GoogLeNet its auxiliary classifiers, if it starts from random weights.
        """
        if self.backbone is None:
            aux = aux and self.architecture == "googlenet"
            module = architectures.build(self.architecture, outputs, bands, aux, self.view.size)
            mean, std = (
                (IMAGENET_MEAN, IMAGENET_STD) if bands == 3 else ((0.5,) * bands, (0.25,) * bands)
            )
            layer = architectures.embedding_node(module)
            spec = Backbone("", self.architecture, None, layer, 1, self.view, mean, std, outputs)
        else:
            module = load(self.backbone, self.weights)
            # keep an output layer that was trained on the same classes; set a new one to zero, so
            # that training starts without a preferred class
            if self.classes is not None and self.keeps(classes) and outputs == len(classes):
                architectures.order_outputs(module, [self.classes.index(name) for name in classes])
            else:
                architectures.replace_output(module, outputs)
                clear_output(module)
            spec = dataclasses.replace(
                self.backbone, view=self.view, classes=outputs, weights=None, url=None, sha256=""
            )
        spec = dataclasses.replace(
            spec,
            name=f"{self.architecture}-{scheme}",
            licence="that of the training images and votes",
            source=f"trained by gzfeatures on {scheme}",
        )
        dim = architectures.width_of(module, spec.layer, spec.bands, self.view.size)
        return module.to(memory_format=torch.channels_last).train(), dataclasses.replace(
            spec, dim=dim
        )


def seen_by(
    network: str | Path | Backbone, images: ImageSet, weights: str | Path | None = None
) -> Ids:
    """Return the ids of those images that the starting weights were trained on, shape (m,).

    Parameters
    ----------
    network, weights
        As for `train.train`.
    images : ImageSet
        Images that may show training galaxies of these weights.
    """
    if weights == "none":
        return images.ids[:0]
    named = isinstance(network, str) and network not in BACKBONES and not Path(network).is_dir()
    if weights in (None, "own"):
        record = None if named else backbone_of(network).trained_on
    else:
        record = record_of_file(str(weights))
    ids: Ids = images.ids[TrainedOn.joined([record]).among_images(images)]
    return ids


def require_network(network: str) -> None:
    """Refuse a name that is neither a known network or backbone nor a folder.

    Raises
    ------
    UnknownNameError
        No network has that name.
    """
    known = network in BACKBONES or network in architectures.NETWORKS
    known = known or architectures.torchvision_name(network) is not None
    if not known and not Path(network).is_dir():
        raise architectures.unknown_network(network)


def _hint(name: str, weights: str | Path | None) -> str:
    """Return a hint how to start from trained instead of random weights; "" if none applies."""
    entry = BACKBONES.get(name)
    if entry is None or weights == "none":
        return ""
    own = (
        "--weights own starts from those it is known with"
        if entry.weights
        else "--weights FILE starts from weights"
    )
    return f"{name} starts at random, with no weights at all; {own}"


def _classes(network: str | Path | Backbone, spec: Backbone) -> tuple[str, ...] | None:
    """Return the classes that a checkpoint or packaged backbone was trained on, if recorded."""
    kind, _, place = (spec.weights or "").partition(":")
    if kind == "package":
        return classes_of(packaged(place))
    return (
        classes_of(network)
        if not isinstance(network, Backbone) and Path(network).is_dir()
        else None
    )
