"""Build a network by name: a small CNN of an earlier Galaxy Zoo project, or one of torchvision.

`NETWORKS` describes the small ones layer by layer, as data; `build` turns a description or a
torchvision name into a module whose output is one logit per class. Every network keeps its last
layer apart, so that the layer before it can serve as an embedding.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from gzfeatures.errors import InputError, UnknownNameError, unknown
from gzfeatures.networks.models.ensemble import NetworkEnsemble
from gzfeatures.networks.models.small_cnn import SmallCNN, SmallNetwork

NETWORKS: dict[str, SmallNetwork] = {
    "tomi": SmallNetwork(
        source="SatoshiTomi/galaxy-morphology (2018), galaxy_cnn_2class and version_2/03_cnn",
        layers=(
            *(("conv", 32, 3), ("pool",), ("conv", 64, 3), ("pool",)),
            *(("conv", 128, 3), ("pool",), ("conv", 128, 3), ("pool",)),
            *(("flatten",), ("drop", 0.5), ("dense", 512)),
        ),
        size=150,
        two_class_size=128,
        single_output=True,
    ),
    "hazra-1": SmallNetwork(
        source="sayan0506/Galaxy-Classification-using-CNN (2020), model 1",
        layers=(
            *(("conv", 32, 3), ("pool",), ("conv", 32, 3), ("pool",)),
            *(("conv", 64, 3), ("pool",), ("conv", 64, 3), ("norm",), ("pool",)),
            *(("conv", 128, 3), ("pool",)),
            *(("flatten",), ("dense", 512), ("dense", 128)),
        ),
        size=150,
    ),
    "hazra-2": SmallNetwork(
        source="sayan0506/Galaxy-Classification-using-CNN (2020), model 2",
        layers=(
            *(("conv", 64, 3), ("pool",), ("conv", 64, 3), ("pool",)),
            *(("conv", 128, 3), ("pool",), ("conv", 128, 3), ("pool",)),
            *(("conv", 128, 3), ("pool",)),
            *(("flatten",), ("drop", 0.5), ("dense", 512)),
        ),
        size=150,
    ),
    "galaxyid": SmallNetwork(
        source="timchilders/galaxyzoo2 (2023), src/model.py",
        layers=(
            *(("conv-same", 64, 3), ("pool",), ("conv", 128, 3), ("pool",)),
            *(("conv-same", 256, 3), ("conv-same", 256, 3), ("pool",)),
            *(("flatten",), ("drop", 0.5), ("dense", 2048), ("drop", 0.5)),
            *(("dense", 2048), ("drop", 0.25)),
        ),
        size=64,
        bands=1,
    ),
    "engel": SmallNetwork(
        source="awe2/GZ2_project (2019), after Domínguez Sánchez+2018, doi:10.1093/mnras/sty338",
        layers=(
            *(("conv-same", 32, 6), ("drop", 0.5), ("conv-same", 64, 5), ("pool",), ("drop", 0.25)),
            *(("conv-same", 128, 2), ("pool",), ("drop", 0.25)),
            *(("conv-same", 128, 3), ("drop", 0.25)),
            *(("flatten",), ("dense", 64), ("drop", 0.5)),
        ),
        size=64,
        bands=5,
        single_output=True,
    ),
}


def torchvision_name(architecture: str) -> str | None:
    """Return a network's name as torchvision spells it, or None if torchvision lacks the network.

    Examples
    --------
    >>> torchvision_name("mobilenet-v2")
    'mobilenet_v2'
    """
    name = architecture.lower().replace("-", "_")
    return name if name in models.list_models(module=models) else None


def legal_networks() -> tuple[str, ...]:
    """Return every name that `build` accepts: the small CNNs, then torchvision's classifiers."""
    return (*NETWORKS, *(name.replace("_", "-") for name in models.list_models(module=models)))


def unknown_network(name: str) -> UnknownNameError:
    """Return an error that reports an unknown network name and lists the known names."""
    return unknown("network", name, legal_networks())


def is_grey(architecture: str) -> bool:
    """Return True if a network was designed for grey images (one band)."""
    return architecture in NETWORKS and NETWORKS[architecture].bands == 1


def size_of(architecture: str, classes: int) -> int:
    """Return the image side in px that a network was designed for; torchvision's networks use 224.

    Examples
    --------
    >>> size_of("galaxyid", classes=3), size_of("resnet18", classes=3)
    (64, 224)
    """
    network = NETWORKS.get(architecture)
    if network is None:
        return 224
    return network.two_class_size if classes == 2 and network.two_class_size else network.size


def build(
    architecture: str,
    classes: int,
    bands: int | None = None,
    aux: bool = False,
    size: int | None = None,
) -> nn.Module:
    """Build an untrained network, with random weights from torch's global random generator.

    Parameters
    ----------
    architecture : str
        Name in `NETWORKS`, or any classifier of torchvision.models (`resnet18`, `mobilenet-v2`, …).
    classes : int
        Outputs: one logit per class or answer.
    bands : int, optional
        Channels of the image; default the network's own (3 for torchvision's).
    aux : bool
        Keep the auxiliary classifiers of GoogLeNet or Inception, for training.
    size : int, optional
        Side of the images in px; default the network's own. Only the small CNNs and vision
        transformers depend on it.

    Returns
    -------
    nn.Module
        In training mode. Takes float images of shape (n, bands, size, size), returns logits of
        shape (n, classes) (with `aux`, torchvision's named tuple of logits while training).

    Raises
    ------
    UnknownNameError
        No network has that name.
    InputError
        `classes` or `bands` is not positive, or `aux` is set for a network without auxiliary
        classifiers.
    """
    if classes < 1 or (bands is not None and bands < 1):
        raise InputError(
            "network shape", rule="have at least one class and one band", found=(classes, bands)
        )
    name = torchvision_name(architecture)
    if architecture not in NETWORKS and name is None:
        raise unknown_network(architecture)
    has_aux = name in ("googlenet", "inception_v3")
    if aux and not has_aux:
        raise InputError(
            "network has no auxiliary classifiers", where=architecture, remedy="leave aux off"
        )
    if name is None:
        network = NETWORKS[architecture]
        return SmallCNN(
            network, classes, bands or network.bands, size or size_of(architecture, classes)
        )
    options: dict[str, Any] = {"aux_logits": aux, "init_weights": True} if has_aux else {}
    # the position embeddings of a vision transformer fit one image size, so pass the size here,
    # where it is built
    if name.startswith("vit_") and size is not None:
        options["image_size"] = size
    module: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    if bands not in (None, 3):
        _accept_bands(module, int(bands or 3))
    return module


def _accept_bands(module: nn.Module, bands: int) -> None:
    """Replace the first convolution by an untrained one with `bands` input channels."""
    path, first = next((p, m) for p, m in module.named_modules() if isinstance(m, nn.Conv2d))
    parent, _, leaf = path.rpartition(".")
    setattr(module.get_submodule(parent), leaf, _convolution(first, bands=bands, channels=None))


def _convolution(like: nn.Module, *, bands: int | None, channels: int | None) -> nn.Conv2d:
    """Build an untrained copy of a convolution, with another number of input or output channels."""
    if not isinstance(like, nn.Conv2d):
        raise InputError(
            "layer to replace", rule="be linear or a convolution", found=type(like).__name__
        )
    return nn.Conv2d(
        bands or like.in_channels,
        channels or like.out_channels,
        (like.kernel_size[0], like.kernel_size[1]),
        (like.stride[0], like.stride[1]),
        like.padding if isinstance(like.padding, str) else (like.padding[0], like.padding[1]),
        bias=like.bias is not None,
    )


def output_layer(module: nn.Module) -> str:
    """Return the name of a classifier's output layer: its last linear or 1×1 convolution layer.

    The name is the path of `named_modules`. The layer has one output for each class. Auxiliary
    classifiers do not count.

    Examples
    --------
    >>> output_layer(build("resnet18", 3))
    'fc'
    """
    paths: list[str] = [
        path for path, part in module.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))
    ]
    return [path for path in paths if "aux" not in path.lower()][-1]


def output_layers(module: nn.Module) -> list[str]:
    """Return the names of the output layers: one per network, or one per member of an ensemble."""
    if not isinstance(module, NetworkEnsemble):
        return [output_layer(module)]
    return [
        f"members.{number}.{output_layer(member)}" for number, member in enumerate(module.members)
    ]


def embedding_node(module: nn.Module) -> str:
    """Return the name of the layer before the output layer; its output is the default embedding."""
    nodes = get_graph_node_names(module, suppress_diff_warning=True)[1]
    return str(nodes[nodes.index(output_layer(module)) - 1])


def replace_output(module: nn.Module, classes: int) -> None:
    """Replace the output layer by an untrained layer of `classes` logits."""
    path = output_layer(module)
    old = module.get_submodule(path)
    parent, _, leaf = path.rpartition(".")
    if isinstance(module, SmallCNN):
        module.set_output(module.output.in_features, classes)
    elif isinstance(old, nn.Linear):
        setattr(module.get_submodule(parent), leaf, nn.Linear(old.in_features, classes))
    else:
        setattr(module.get_submodule(parent), leaf, _convolution(old, bands=None, channels=classes))


def keep_outputs(module: nn.Module, outputs: int) -> None:
    """Reduce the output layer to its first `outputs` logits, whose values stay the same."""
    old = module.get_submodule(output_layer(module))
    replace_output(module, outputs)
    new = module.get_submodule(output_layer(module))
    new.load_state_dict({name: value[:outputs] for name, value in old.state_dict().items()})


def order_outputs(module: nn.Module, order: list[int]) -> None:
    """Change the order of a network's output logits, one for each class, in place."""
    layer: Any = module.get_submodule(output_layer(module))
    with torch.no_grad():
        # two classes may share one sigmoid output: to exchange them, change the sign of its logit
        if isinstance(module, SmallCNN) and module.single:
            if order != [0, 1]:
                layer.weight.neg_()
                layer.bias.neg_()
            return
        for part in (layer.weight, layer.bias):
            part.copy_(part[order].clone())


def width_of(module: nn.Module, layer: str, bands: int, size: int) -> int:
    """Return the length of a layer's flattened output for images of `size` px.

    Only shapes are computed, no values. The module stays in its training or eval mode.
    """
    body = create_feature_extractor(
        copy.deepcopy(module).to("meta").eval(), {layer: "vector"}, suppress_diff_warning=True
    )
    with torch.inference_mode():
        return int(body(torch.empty(1, bands, size, size, device="meta"))["vector"][0].numel())


def from_output_layer(module: nn.Module, raw: torch.Tensor) -> torch.Tensor:
    """Convert the raw values of an output layer to logits, shape (n, classes)."""
    if isinstance(module, SmallCNN) and module.single:
        return torch.cat([torch.zeros_like(raw), raw], dim=1)
    # torchvision's SqueezeNet ends in a convolution, a ReLU and a mean over pixels: apply the last
    # two to the raw values of the convolution
    return raw.relu().mean((2, 3)) if raw.ndim == 4 else raw
