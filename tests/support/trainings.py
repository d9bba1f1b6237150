"""A network that trains in a second, and what tests of trainings ask of one: its weights, its death
at a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gzfeatures.features.backbones import backbone
from gzfeatures.images.view import View
from gzfeatures.networks.models.load import load
from gzfeatures.networks.models.small_cnn import SmallNetwork
from gzfeatures.networks.training.learner import Learner
from gzfeatures.networks.training.result import Training

SIZE = 16
VIEW = View(size=SIZE, crop=0.75)
NETWORK = "tiny"
TINY = SmallNetwork(
    source="a network with everything that keeps state: weights, running averages, dropout",
    layers=(
        *(
            ("conv-same", 8, 3),
            ("norm",),
            ("pool",),
            ("conv-same", 16, 3),
            ("norm",),
            ("pool",),
            ("flatten",),
        ),
        *(("drop", 0.3), ("dense", 32)),
    ),
    size=SIZE,
)


def tensors(training: Training) -> dict[str, torch.Tensor]:
    return load(backbone(training.checkpoint)).state_dict()


def same(one: Training, other: Training) -> bool:
    first, second = tensors(one), tensors(other)
    return all(torch.equal(first[name], second[name]) for name in first)


def watched_learners(
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[Learner, dict[str, torch.Tensor]]]:
    """Return a list to which each training adds its learner, and its weights before the first
    step."""
    found: list[tuple[Learner, dict[str, torch.Tensor]]] = []
    prepare = Learner.configure_optimizers

    def watched(learner: Learner) -> Any:
        weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
        found.append((learner, weights))
        return prepare(learner)

    monkeypatch.setattr(Learner, "configure_optimizers", watched)
    return found


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def killed_after(steps: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training die at a step."""
    step, done = Learner.training_step, [0]

    def dying(self: Learner, batch: Any, batch_idx: int) -> torch.Tensor:
        done[0] += 1
        if done[0] > steps:
            raise error
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", dying)
