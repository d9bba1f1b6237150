"""Build a backbone's network and load its weights; no other module loads weights."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from difflib import get_close_matches
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn
from torch.fx import symbolic_trace
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from gzfeatures.errors import InputError, UnknownNameError, WeightsError
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.weights import REMEDY, hub_file, weights_digest, weights_file
from gzfeatures.networks._compat_torch import ANNOUNCEMENT, announces_on_stderr
from gzfeatures.networks.models import architectures
from gzfeatures.networks.models.ensemble import NetworkEnsemble
from gzfeatures.progress import SILENT, Progress, printed_to

AUXILIARY = ("aux", "AuxLogits")
"""Prefixes of the names of auxiliary classifiers, which are used only in training."""


def fetch(backbone: Backbone, path: Path | None, progress: Progress = SILENT) -> None:
    """Download the weights of a backbone with torchvision's loader, if they are missing.

    The loader compares the hash of the file with the hash in the file's name.

    Parameters
    ----------
    backbone : Backbone
    path : Path or None
        File in which torchvision's loader stores the weights; for any other path nothing is
        downloaded.
    progress : Progress
        Shows the download.

    Raises
    ------
    WeightsError
        The weights cannot be downloaded; the message says which address was tried, and how else to
        supply them.
    """
    if path is None or path.exists() or path != hub_file(backbone):
        return
    enum = torchvision.models.get_model_weights(backbone.architecture)[
        str(backbone.weights).partition(":")[2]
    ]
    try:
        # torch.hub prints a line about a download on stdout, where only results may go: hand the
        # line to `progress`
        with printed_to(progress, ANNOUNCEMENT if announces_on_stderr() else None):
            enum.get_state_dict(
                model_dir=str(path.parent),
                progress=progress.shows,
                check_hash=True,
                weights_only=True,
            )
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"weights cannot be downloaded: tried {enum.url} ({getattr(error, 'reason', error)})",
            where=f"backbone {backbone.name}",
            remedy=f"put the file at {path} (folder set by $TORCH_HOME), or {REMEDY}",
        ) from None


def build(backbone: Backbone) -> nn.Module:
    """Build a backbone's network in eval mode, with the same random weights on every call.

    The members of an ensemble have equal weights until their own are loaded.

    Raises
    ------
    UnknownNameError
        Neither torchvision nor this package has the architecture.
    """
    if backbone.members > 1:
        one = dataclasses.replace(backbone, members=1)
        members = [build(one) for _ in range(backbone.members)]
        return NetworkEnsemble(members, backbone.link).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = architectures.build(
            backbone.architecture, backbone.classes, backbone.bands, size=backbone.view.size
        )
    # the original ResNets halve the image in a block's first convolution, torchvision's in the
    # second (He+2016, arXiv:1512.03385): `stride_on` says which of the two the weights need
    if backbone.stride_on == "conv1":
        for stage in (2, 3, 4):
            for conv, stride in (("conv1", (2, 2)), ("conv2", (1, 1))):
                layer = network.get_submodule(f"layer{stage}.0.{conv}")
                layer.stride = stride  # type: ignore[assignment]
    return network.eval()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from a safetensors or torch file, without running code in the file.

    Raises
    ------
    WeightsError
        The file is neither, is damaged, or holds anything but tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            state: object = load_file(path)
        else:
            with warnings.catch_warnings():
                # hide PyTorch's warning about an unusual pickle: the error below reports it
                warnings.simplefilter("ignore", UserWarning)
                state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            "weights file is refused: it is no torch file, "
            "or holds more than tensors and could run code",
            where=path,
            rule="be a state dict saved by torch.save, or safetensors",
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        # on a damaged file, the load functions raise errors of any type, so catch all of them
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError("weights file cannot be read", where=path, found=reason) from None
    # Lightning stores the tensors in an inner dictionary `state_dict`: use that dictionary
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) and not value.is_complex()
        for name, value in state.items()
    ):
        # refuse complex numbers: torch would drop their imaginary part with only a warning
        rule = "hold tensors of real numbers by name"
        raise WeightsError("weights file", where=path, rule=rule, found=type(state).__name__)
    # DataParallel begins each name with "module.", which the network's own names lack
    return {name.removeprefix("module."): value for name, value in state.items()}


def load(
    backbone: Backbone,
    weights: str | Path | None = None,
    layer: str | None = None,
    size: int | None = None,
) -> nn.Module:
    """Build the network of a backbone and load its weights, in eval mode.

    Parameters
    ----------
    backbone : Backbone
    weights : str or Path, optional
        A file that replaces the backbone's own weights; "none" for a seeded random start.
    layer : str, optional
        Layer whose flattened output the network shall return, several joined by +; None for the
        whole network, which returns logits.
    size : int, optional
        Side in px of the images, if it is not the backbone's own; a size that the network cannot
        take is refused.

    Returns
    -------
    nn.Module
        Takes normalised float32 images (n, bands, size, size); returns float32 (n, dim), or (n,
        classes).

    Raises
    ------
    MissingFileError, WeightsError
        The weights are missing, are damaged, or do not fit the network.
    UnknownNameError
        Unknown architecture or layer.
    InputError
        The network does not take images of that size.
    """
    path = weights_file(backbone, weights)
    fetch(backbone, path)
    weights_digest(backbone, path)
    if path is None:
        network = build(backbone)
    else:
        state = {
            name: value
            for name, value in read_tensors(path).items()
            if not name.startswith(AUXILIARY)
        }
        network = build(backbone)
        head = architectures.output_layer(network) + ".weight"
        # if the weights were trained for another number of classes than the backbone lists, build a
        # network with that number
        if head in state and len(state[head]) != len(network.get_parameter(head)):
            network = build(dataclasses.replace(backbone, classes=len(state[head])))
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"weights do not fit {backbone.architecture}",
                where=path,
                found=" ".join(str(error).split()[:40]),
            ) from None
    if layer is None:
        return network
    # compute the layer's shape now, without data: an image size that the network cannot take is
    # refused before images are decoded
    if size not in (None, backbone.view.size):
        layer_dim(backbone, layer, int(size or 0))
    return symbolic_trace(Features(network, layer)).eval()


class Features(nn.Module):
    """Run a network up to one layer, or several joined by +, and return the flattened outputs."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        nodes = get_graph_node_names(network)[1][1:]
        names = {
            ".".join(parts[:n])
            for parts in (node.split(".") for node in nodes)
            for n in range(1, len(parts) + 1)
        }
        self.layers = layer.split("+")
        for name in self.layers:
            if name not in names:
                close = (
                    get_close_matches(name, sorted(names, key=len), n=8, cutoff=0.4) or nodes[-8:]
                )
                raise UnknownNameError(
                    "unknown layer",
                    rule="be a node of the network",
                    found=name,
                    remedy=f"nearest are {', '.join(close)}",
                )
        self.body = create_feature_extractor(network, {name: name for name in self.layers}).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of images, shape (n, dim)."""
        outputs = self.body(images)
        return torch.cat([torch.flatten(outputs[name], 1) for name in self.layers], 1)


def layer_dim(backbone: Backbone, layer: str, size: int) -> int:
    """Return the length of a layer's flattened output for images of `size` px.

    Only shapes are computed, no values.

    Raises
    ------
    UnknownNameError
        The network has no such layer.
    InputError
        The network does not take images of that size.
    """
    with torch.inference_mode():
        # build the network on the CPU, then move it to the meta device (shapes without data),
        # because RegNets cannot be built there
        network = Features(build(backbone), layer).to("meta")
        try:
            return int(network(torch.empty(1, backbone.bands, size, size, device="meta")).shape[1])
        except RuntimeError:
            raise InputError(
                f"{backbone.architecture} does not take images of this size",
                found=f"{size} px",
                remedy=f"its own view has {backbone.view.size} px",
            ) from None
