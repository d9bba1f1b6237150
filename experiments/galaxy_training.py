"""A network in training on galaxies: batch after batch, with a running average of its weights, as
`resumable.run` does.

What it learns of a batch is said by its children, in `losses`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from common_pixels import Galaxies
from galaxy_batches import CHANCES, OUTPUTS, Course, centred, scores
from resumable import averaged, rate, uniforms
from torch import nn

from gzfeatures.features.backbones import BACKBONES, Backbone
from gzfeatures.networks.inference.probabilities import normalised
from gzfeatures.networks.models import architectures
from gzfeatures.networks.models.load import build

CLIP = 5.0
"""Largest norm of a step's gradient."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training depends on, besides pixels, labels and the weights it starts from.

    Parameters
    ----------
    seed, steps, batch : int
    architecture : str
        A backbone's name, or a network of torchvision.
    sizes : (int, int)
        Side of the copies in px, in the first and in the second half of the steps.
    peak, warm : float, int
        Largest learning rate, and steps until it is reached.
    decay, average : float
        Weight decay, and share that the running average of the weights keeps at a step.
    mixup : float
        α of mixup, until a fifth of the steps is left; 0 for none.
    smoothing, power : float
        Label smoothing; a class is drawn with its frequency to the power of 1 - `power`.
    without : tuple of str
        Questions whose fractions are hidden, so that another network can be judged on them.
    """

    seed: int = 0
    architecture: str = "resnet50"
    steps: int = 22_000
    batch: int = 64
    sizes: tuple[int, int] = (96, 128)
    peak: float = 4e-4
    warm: int = 500
    decay: float = 0.05
    average: float = 0.999
    mixup: float = 0.2
    smoothing: float = 0.05
    power: float = 0.5
    without: tuple[str, ...] = ()


def spec_of(architecture: str) -> Backbone:
    """Backbone with 43 outputs; resnet50 has the strides of the ImageNet weights that are at
    hand."""
    return dataclasses.replace(
        BACKBONES["resnet50-v1" if architecture == "resnet50" else architecture], classes=OUTPUTS
    )


def answers(network: nn.Module, copies: torch.Tensor) -> torch.Tensor:
    """What a network says of copies in [0, 1], in bfloat16; of all networks here the input is
    normalised alike."""
    spec = BACKBONES["resnet50-v1"]
    with torch.autocast("cpu", torch.bfloat16):
        logits: torch.Tensor = network(normalised(copies, spec.mean, spec.std))
    return logits.float()


def untrained(architecture: str, seed: int) -> nn.Module:
    """Network with 43 outputs, channels last in memory, in eval mode; its random weights are those
    of the seed."""
    spec = spec_of(architecture)
    network = build(spec)  # knows where the strides are, but draws the same weights for all
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.load_state_dict(architectures.build(spec.architecture, OUTPUTS).state_dict())
    return network.to(memory_format=torch.channels_last)


class Training:
    """A network in training.

    Parameters
    ----------
    galaxies : Galaxies
    settings : Settings
    network : nn.Module
        Gives 43 logits.
    """

    def __init__(self, galaxies: Galaxies, settings: Settings, network: nn.Module) -> None:
        self.plan, self.galaxies, self.total = settings, galaxies, settings.steps
        self.settings: dict[str, Any] = {
            **dataclasses.asdict(settings),
            "galaxies": len(galaxies.codes),
        }
        self.course = Course(
            galaxies, settings.seed, settings.batch, settings.power, settings.without
        )
        self.every = len(self.course)
        self.network = network.train()
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        parameters = list(network.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, settings.peak, fused=True)

    def losses(
        self, number: int, rows: npt.NDArray[np.intp], copies: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Losses of a step by name; their sum is what is made small."""
        raise NotImplementedError

    def size(self, step: int) -> int:
        """Side of the copies of a step in px."""
        return self.plan.sizes[step >= self.total // 2]

    def step(self, number: int) -> dict[str, float]:
        """Change the weights once."""
        rows = self.course.at(number)
        chance = uniforms(self.plan.seed, number, len(rows), CHANCES)
        losses = self.losses(number, rows, self.course.copies(rows, chance, self.size(number)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate(number, self.total, self.plan.warm, self.plan.peak)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
        averaged(self.average, self.network, number + 1, self.plan.average)
        return {name: float(value.detach()) for name, value in losses.items()}

    def validate(self) -> dict[str, float]:
        """Scores of the average on the galaxies that choices are made on, one view each."""
        rows = np.flatnonzero(self.galaxies.validation)
        size = self.plan.sizes[1]
        with torch.inference_mode():
            parts = [
                answers(self.average, centred(self.galaxies.cache.batch(some), size))
                for some in np.array_split(rows, max(1, len(rows) // 64))
            ]
        return scores(torch.cat(parts), self.galaxies, rows)

    def state(self) -> dict[str, Any]:
        """Weights, their average, and the optimizer."""
        modules = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        return {**modules, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
