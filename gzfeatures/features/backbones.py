"""List the named backbones (networks that embed images), without loading a network."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError, UnknownNameError, parsing, require_format, unknown
from gzfeatures.features.torchvision_classifiers import CLASSIFIERS
from gzfeatures.files import read_sidecar, require_file
from gzfeatures.images.view import View

KINDS = ("timm", "zoobot", "onnx", "torch", "hf", "module")
"""Kinds of encoders of other libraries, named before a colon: `timm:resnet18`."""
PATHS = ("onnx", "torch", "hf")
"""Kinds whose name is a path."""
CHECKPOINT_FORMAT = 1
"""Version of checkpoint folders; raise it if older code would misread a new folder."""
RECORD, TENSORS = "backbone.json", "model.safetensors"
IMAGENET = "BSD-3-Clause (torchvision); trained on ImageNet-1k, whose own terms apply"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """Store the facts on a network that turns images into embeddings: weights, layer, input size.

    Parameters
    ----------
    name : str
        Name in `BACKBONES`, or of a fine-tuned checkpoint.
    architecture : str
        Constructor in torchvision.models, or a network of this package.
    weights : str, optional
        Where its weights come from: `package:<folder>`, which comes with gzfeatures,
        `torchvision:<enum member>`, `file:<path>`; None where the user must give them.
    layer : str
        Node of the network whose output is the embedding by default.
    dim : int
        Length of the embedding.
    view : View
        Crop, size and colours of the images that the network expects.
    mean, std : tuple of float
        Normalisation of pixels in [0, 1], one number per band.
    classes : int
        Number of outputs of the last layer.
    stride_on : {"conv1", "conv2"}
        Which convolution of a bottleneck carries the stride: conv1 in the networks of He+2016
        (doi:10.1109/CVPR.2016.90), conv2 in torchvision's.
    url : str, optional
        Address its weights are fetched from.
    sha256 : str
        First digits of the weight file's sha256; empty if any file is accepted.
    licence, source : str
        Licence and origin of the weights.
    trained_on : str, optional
        Training ids as written by `TrainedOn.encode`, for networks trained on galaxies.
    members : int
        Number of networks, trained with different seeds, that form an ensemble; 1 for one network.
    link : {"softmax", "sigmoid"}
        Function from the logits of each member to the probabilities that the ensemble averages.

    Raises
    ------
    InputError
        `mean` and `std` differ in length, `dim` or `classes` is not positive, or `stride_on` is
        neither of the two.
    """

    name: str
    architecture: str
    weights: str | None
    layer: str
    dim: int
    view: View = View()  # noqa: RUF009
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    classes: int = 1000
    stride_on: str = "conv2"
    url: str | None = None
    sha256: str = ""
    licence: str = ""
    source: str = ""
    trained_on: str | None = None
    members: int = 1
    link: str = "softmax"

    def __post_init__(self) -> None:
        finite = all(math.isfinite(number) for number in (*self.mean, *self.std))
        if len(self.mean) != len(self.std) or not all(s > 0 for s in self.std) or not finite:
            raise InputError(
                "normalisation",
                where=self.name,
                rule="have one mean and one std > 0 per band, all finite",
                found=(self.mean, self.std),
            )
        if self.dim < 1 or self.classes < 1 or self.members < 1:
            raise InputError(
                "dim, classes and members",
                where=self.name,
                rule="be positive",
                found=(self.dim, self.classes, self.members),
            )
        if self.stride_on not in ("conv1", "conv2"):
            raise InputError(
                "stride_on", where=self.name, rule="be conv1 or conv2", found=self.stride_on
            )

    @property
    def kind(self) -> str:
        """Return the library of the network, such as timm; "" for torchvision and gzfeatures."""
        return foreign_kind(self.architecture)

    @property
    def bands(self) -> int:
        """Return the number of bands (filters) of the network's input."""
        return len(self.mean)

    def asdict(self) -> dict[str, Any]:
        """Return the fields of this backbone as JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        fields["view"] = self.view.asdict()
        # write `members` and `link` only for an ensemble, so that the file of a single network is
        # the same as from versions of gzfeatures without ensembles
        if self.members == 1:
            del fields["members"], fields["link"]
        return fields

    @classmethod
    def fromdict(cls, fields: dict[str, Any]) -> Backbone:
        """Return a backbone from a dict written by `asdict`; refuse unknown or missing fields.

        Parameters
        ----------
        fields : dict
            Values of all fields by their names.
        """
        try:
            mean, std = tuple(fields["mean"]), tuple(fields["std"])
            view = View(**fields["view"])
            return cls(**{**fields, "view": view, "mean": mean, "std": std})
        except (TypeError, KeyError) as error:
            raise InputError("backbone record cannot be read", found=str(error)) from None


def _torchvision(
    name: str, architecture: str, file: str, dim: int, layer: str = "avgpool", **more: Any
) -> Backbone:
    """Return a backbone with torchvision's weights; the file name has 8 digits of their sha256."""
    page = "https://docs.pytorch.org/vision/stable/models/generated/torchvision.models"
    return Backbone(
        name=name,
        architecture=architecture,
        weights="torchvision:IMAGENET1K_V1",
        layer=layer,
        dim=dim,
        url=f"https://download.pytorch.org/models/{file}",
        # torchvision publishes no full sha256, but a weight file's name ends in the first eight hex
        # digits of it
        sha256=file.removesuffix(".pth").rpartition("-")[2],
        licence=IMAGENET,
        source=f"{page}.{architecture}.html",
        **more,
    )


BACKBONES: dict[str, Backbone] = {
    "googlenet-gz2": Backbone(
        name="googlenet-gz2",
        architecture="googlenet",
        weights="package:googlenet-gz2",
        layer="dropout",
        dim=1024,
        view=View(size=96, crop=0.4),
        classes=5,
        sha256="2ef1a8fdf4d90d2cb44f1f622fc8c2575c71082dd25be968eb86de92ca33d7ca",
        licence="BSD-3-Clause; trained on SDSS images and Galaxy Zoo 2 votes",
        source="https://doi.org/10.1093/mnras/stt1458 (votes); "
        "experiments/pretrain_googlenet_gz2.toml",
    ),
    # torchvision normalises for GoogLeNet twice: with ImageNet's mean, then inside the network to
    # mean and std 0.5 (transform_input); this backbone normalises to 0.5 at once
    "googlenet": _torchvision(
        "googlenet",
        "googlenet",
        "googlenet-1378be20.pth",
        1024,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "resnet18": _torchvision("resnet18", "resnet18", "resnet18-f37072fd.pth", 512),
    "resnet34": _torchvision("resnet34", "resnet34", "resnet34-b627a593.pth", 512),
    "resnet50": _torchvision("resnet50", "resnet50", "resnet50-0676ba61.pth", 2048),
    "resnet101": _torchvision("resnet101", "resnet101", "resnet101-63fe2227.pth", 2048),
    "resnet50-v1": Backbone(
        name="resnet50-v1",
        architecture="resnet50",
        weights=None,
        layer="avgpool",
        dim=2048,
        stride_on="conv1",
        licence="MIT (K. He's release, as carried by Keras); trained on ImageNet-1k, whose own "
        "terms apply",
        source="https://github.com/KaimingHe/deep-residual-networks, under torchvision's parameter "
        "names",
    ),
    "mobilenet-v2": _torchvision(
        "mobilenet-v2", "mobilenet_v2", "mobilenet_v2-b0353104.pth", 1280, layer="flatten"
    ),
}


DEFAULT = "googlenet-gz2"
"""Default backbone: it needs no download, and was trained on galaxies."""


def foreign_kind(text: str) -> str:
    """Return the library part of a name such as `timm:resnet18`; "" if the name has none.

    Examples
    --------
    >>> foreign_kind("onnx:encoder.onnx"), foreign_kind("resnet18")
    ('onnx', '')
    """
    kind, colon, name = text.partition(":")
    return kind if colon and name and kind in KINDS else ""


def is_foreign(text: str) -> bool:
    """Return whether a text names an encoder of another library (`timm:…`) or a TOML file."""
    return bool(foreign_kind(text)) or text.lower().endswith(".toml")


def torchvision_backbone(name: str) -> Backbone | None:
    """Return the backbone of the torchvision classifier with this name; None for an unknown name.

    Hyphens and underscores in the name mean the same.

    Examples
    --------
    >>> torchvision_backbone("vit_b_16").view.size
    224
    """
    entry = CLASSIFIERS.get(name.lower().replace("_", "-"))
    if entry is None:
        return None
    return dataclasses.replace(
        _torchvision(
            name.lower().replace("_", "-"),
            entry.architecture,
            entry.file,
            entry.dim,
            layer=entry.layer,
            mean=entry.mean,
            std=entry.std,
            view=View(size=entry.size, interpolation=entry.interpolation),
        ),
        weights=f"torchvision:{entry.member}",
    )


def packaged(name: str) -> Path:
    """Return the folder in gzfeatures with the weights and model card of a packaged backbone."""
    return Path(str(files("gzfeatures"))) / "networks" / "weights" / name


def model_card(entry: Backbone) -> Path | None:
    """Return the path of a backbone's model card (Markdown); None if gzfeatures has no card."""
    kind, _, place = (entry.weights or "").partition(":")
    return packaged(place) / "card.md" if kind == "package" else None


def backbone(name: str | Path | Backbone) -> Backbone:
    """Return the backbone (network and weights) with this name, or in this checkpoint folder.

    Parameters
    ----------
    name : str, Path or Backbone
        A name in `BACKBONES` or of a classifier of torchvision; a checkpoint folder with
        `backbone.json` and `model.safetensors`; or a Backbone, which is returned. To a backbone
        that comes with gzfeatures, the list of its training galaxies is added.

    Raises
    ------
    UnknownNameError
        Neither a known name nor a checkpoint folder; the legal names are listed.
    MissingFileError, InputError
        The checkpoint folder lacks a file, or its record cannot be read.

    Examples
    --------
    >>> backbone("resnet50").dim
    2048
    """
    entry = name if isinstance(name, Backbone) else BACKBONES.get(str(name))
    if entry is None and not isinstance(name, Path):
        entry = BACKBONES.get(str(name).replace("_", "-")) or torchvision_backbone(str(name))
    if entry is None:
        if is_foreign(str(name)):
            raise InputError(
                "encoder of another library is only extracted from",
                where=str(name),
                remedy="extract a table, and fit heads on it",
            )
        if not Path(str(name)).is_dir():
            listed = [*BACKBONES, *CLASSIFIERS, "a checkpoint folder", *(f"{k}:…" for k in KINDS)]
            close = unknown("backbone", str(name), listed)
            raise UnknownNameError(
                "unknown backbone",
                rule="be a name of 'list backbones', a classifier of torchvision, a checkpoint "
                f"folder, a TOML file, or one of {', '.join(f'{kind}:…' for kind in KINDS[:-1])}",
                found=str(name),
                remedy=close.remedy,
            )
        return _checkpoint(Path(str(name)))
    kind, _, place = (entry.weights or "").partition(":")
    if kind != "package":
        return entry
    return dataclasses.replace(entry, trained_on=_checkpoint(packaged(place)).trained_on)


def backbone_of_digest(digest: str) -> Backbone | None:
    """Return the backbone whose weights have this sha256; None if none of gzfeatures's has it.

    Parameters
    ----------
    digest : str
        Sha256 of a weight file, 64 hexadecimal digits.

    Examples
    --------
    >>> backbone_of_digest("0" * 64) is None
    True
    """
    found = (entry for entry in BACKBONES.values() if entry.sha256 == digest)
    entry = next(found, None)
    return None if entry is None else backbone(entry)


def backbone_of_file(file: Path, digest: str) -> Backbone | None:
    """Return the backbone whose weights a file holds, if the file's sha256 identifies one.

    Parameters
    ----------
    file : Path
        File with weights.
    digest : str
        Sha256 of the file, 64 hexadecimal digits.

    Returns
    -------
    Backbone or None
        A backbone that comes with gzfeatures, or that of the checkpoint folder in which the file
        lies; None if the sha256 is that of neither.

    Raises
    ------
    MissingFileError, InputError
        The record beside a file `model.safetensors` states the file's sha256, but describes no
        backbone.
    """
    if found := backbone_of_digest(digest):
        return found
    place = file.resolve()
    if place.name != TENSORS:
        return None
    # read no more than the sha256 first: a record of other weights may be foreign, newer or damaged
    stated = read_sidecar(place.parent / RECORD).get("weights_sha256")
    return _checkpoint(place.parent) if stated == digest else None


def classes_of(folder: str | Path) -> tuple[str, ...]:
    """Return the classes of a fine-tuned network, in the order of its outputs.

    Raises
    ------
    MissingFileError, InputError
        No checkpoint folder, or its record names no classes.
    """
    record = require_file(Path(folder) / RECORD, "checkpoint record")
    with parsing("checkpoint names no classes", record):
        return tuple(str(name) for name in json.loads(record.read_text("utf-8"))["classes"])


def _checkpoint(folder: Path) -> Backbone:
    """Return the backbone that a checkpoint folder describes, with this folder's weights."""
    record = require_file(folder / RECORD, "checkpoint record")
    with parsing(
        "checkpoint record cannot be read", record, rule="hold format, backbone and weights_sha256"
    ):
        note = json.loads(record.read_text("utf-8"))
        number, fields = int(note["format"]), dict(note["backbone"])
        digest = str(note["weights_sha256"])
    require_format("checkpoint", number, CHECKPOINT_FORMAT, record)
    # the path of the weights in backbone.json is wrong once the folder was moved: replace it
    place = require_file(folder / TENSORS, "checkpoint weights").resolve()
    return dataclasses.replace(
        Backbone.fromdict(fields), weights=f"file:{place}", url=None, sha256=digest
    )
