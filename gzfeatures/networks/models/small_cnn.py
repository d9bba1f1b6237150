"""Build small CNNs from a list of their layers."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import torch
from torch import nn

from gzfeatures.errors import InputError

Layer: TypeAlias = tuple[str | int | float, ...]


@dataclasses.dataclass(frozen=True)
class SmallNetwork:
    """Store the layers of a small CNN, its publication, image size and number of bands.

    Parameters
    ----------
    source : str
        Project, year and file that published the network.
    layers : tuple of tuple
        In order: `("conv", channels, kernel)` and `("conv-same", channels, kernel)` with ReLU,
        `("norm",)`, `("pool",)` 2×2 maximum, `("flatten",)`, `("drop", p)`, `("dense", width)` with
        ReLU. The output layer is not listed.
    size : int
        Side of the image in px; the first dense layer depends on it.
    bands : int
        Channels of the image; a network of 1 band takes any number and averages them.
    two_class_size : int, optional
        Side in px for two classes, if it differs from `size`.
    single_output : bool
        Two classes share one sigmoid output, as published; its logit z is returned as two logits,
        (0, z).
    """

    source: str
    layers: tuple[Layer, ...]
    size: int
    bands: int = 3
    two_class_size: int | None = None
    single_output: bool = False


class SmallCNN(nn.Module):
    """Run a small CNN with the layers of a `SmallNetwork`; its layer `embedding` gives embeddings.

    Parameters
    ----------
    network : SmallNetwork
        Layers to build.
    classes, bands, size : int
        Outputs, channels of the image, and its side in px.

    Raises
    ------
    InputError
        The image is too small for the layers.
    """

    def __init__(self, network: SmallNetwork, classes: int, bands: int, size: int) -> None:
        super().__init__()
        self.grey = network.bands == 1
        self.single_output = network.single_output
        self.features = nn.Sequential()
        channels, side, width = 1 if self.grey else bands, size, 0
        # track the side in pixels of the feature maps: the first dense layer needs the last side
        for kind, *numbers in network.layers:
            if kind == "conv" or kind == "conv-same":
                out, kernel = int(numbers[0]), int(numbers[1])
                if kind == "conv-same" and kernel % 2 == 0:
                    # pad here, because for even kernels PyTorch's padding "same" copies the image
                    # and prints a warning
                    self.features.append(
                        nn.ZeroPad2d((kernel // 2 - 1, kernel // 2, kernel // 2 - 1, kernel // 2))
                    )
                padding = kernel // 2 if kind == "conv-same" and kernel % 2 else 0
                self.features.extend([nn.Conv2d(channels, out, kernel, padding=padding), nn.ReLU()])
                channels, side = out, side if kind == "conv-same" else side - kernel + 1
            elif kind == "norm":
                self.features.append(nn.BatchNorm2d(channels))
            elif kind == "pool":
                self.features.append(nn.MaxPool2d(2))
                side //= 2
            elif kind == "flatten":
                self.features.append(nn.Flatten())
                width = channels * side * side
            elif kind == "drop":
                self.features.append(nn.Dropout(float(numbers[0])))
            else:
                self.features.extend([nn.Linear(width, int(numbers[0])), nn.ReLU()])
                width = int(numbers[0])
            if side < 1:
                raise InputError(
                    "image is too small for this network", rule="be larger", found=f"{size} px"
                )
        self.embedding = nn.Identity()
        self.set_output(width, classes)

    def set_output(self, width: int, classes: int) -> None:
        """Add an untrained output layer after an embedding of length `width`."""
        self.single = self.single_output and classes == 2
        self.output = nn.Linear(width, 1 if self.single else classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n, classes), of images of shape (n, bands, size, size)."""
        # the first layer of a network for grey images has one input channel: take the bands' mean
        if self.grey:
            x = x.mean(1, keepdim=True)
        logits: torch.Tensor = self.output(self.embedding(self.features(x)))
        # turn a single logit z into two logits (0, z), whose softmax is the sigmoid of z
        if self.single:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits
