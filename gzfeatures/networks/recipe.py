"""Recipe: every number a training depends on, checked once; optimizer and schedule made from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.errors import InputError, require_known, unknown
from gzfeatures.galaxies.labels import Labels
from gzfeatures.networks.cnns import stages
from gzfeatures.results.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER

WARM_UP = 0.3


def _one_cycle(t: float) -> float:
    """Up from 1/25 to 1 in the first three tenths, down to 1e-4, along cosines (Smith & Topin, arXiv:1708.07120)."""
    if t < WARM_UP:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * t / WARM_UP)) / 2
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (t - WARM_UP) / (1 - WARM_UP))) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {
    "one-cycle": _one_cycle,
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "polynomial": lambda t: math.sqrt(max(0.0, 1 - t)),
    "constant": lambda t: 1.0,
}
"""Share of training done (0…1) → factor of the learning rate. `polynomial`: √(1 − t), as Caffe's GoogLeNet."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
    "rmsprop": torch.optim.RMSprop,
}
"""Fused steps: one pass over all weights, a tenth of the time of an epoch of GoogLeNet on a CPU."""

MONITORS: dict[str, bool] = {**dict.fromkeys(HIGHER_IS_BETTER, True), **dict.fromkeys(LOWER_IS_BETTER, False)}
"""Validation metric → whether larger is better."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training galaxies, at most.
    batch_size : int
        Galaxies per step and device.
    accumulate : int
        Steps whose gradients are added up before the weights change.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"}
        `sgd` has Nesterov momentum 0.9.
    schedule : {"one-cycle", "cosine", "polynomial", "constant"}
        Course of the learning rate.
    lr : float
        Largest learning rate.
    weight_decay : float
        Not applied to biases and normalisation.
    lr_decay : float
        Factor of the learning rate from each stage to the one before it, in (0, 1]; the output layer has `lr`.
    unfreeze : int, optional
        Stages trained beside the output layer, last first; 0 trains the output layer only, None everything.
    label_smoothing : float
        Share of a target spread over all classes, in [0, 1).
    balance : {"none", "weights", "sampling"}
        Rare classes weigh more in the loss, or are drawn more often.
    balance_power : float
        Weight of a class ∝ count^(−power): 1 makes all classes equal, 0 changes nothing.
    mixup, cutmix : float
        α of their Beta distributions; 0 is off.
    ema : float
        Decay per step of the running average of the weights, which is what is scored and kept; 0 is off.
    clip : float
        Largest norm of the gradient; 0 is off.
    aux_weight : float
        Weight of the auxiliary losses of GoogLeNet and Inception; 0 trains without those classifiers.
    also_weight : float
        Weight of the second target's loss, where there is one.
    patience : int, optional
        Epochs without a better validation metric after which training stops; None never stops early.
    monitor : str, optional
        Validation metric; default `macro_f1` for classes, `log_loss` for several labels, `rmse` for fractions.

    Raises
    ------
    InputError, UnknownNameError
        A value is outside its range; a name is not in its table.
    """

    epochs: int = 20
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    lr: float = 1e-3
    weight_decay: float = 0.05
    lr_decay: float = 1.0
    unfreeze: int | None = None
    label_smoothing: float = 0.0
    balance: str = "none"
    balance_power: float = 0.5
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    clip: float = 0.0
    aux_weight: float = 0.3
    also_weight: float = 20.0
    patience: int | None = None
    monitor: str | None = None

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch_size": 1, "accumulate": 1, "unfreeze": 0, "patience": 1}.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise InputError(f"recipe {name}", rule=f"be a whole number of at least {least}", found=value)
        ranges = {
            "lr": (1e-12, 100.0),
            "weight_decay": (0.0, 100.0),
            "lr_decay": (1e-3, 1.0),
            "label_smoothing": (0.0, 0.99),
            "balance_power": (0.0, 2.0),
            "mixup": (0.0, 100.0),
            "cutmix": (0.0, 100.0),
            "ema": (0.0, 0.999999),
            "clip": (0.0, math.inf),
            "aux_weight": (0.0, 10.0),
            "also_weight": (0.0, 10_000.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(f"recipe {name}", rule=f"be a number in {low:g}…{high:g}", found=value)
        tables: dict[str, Any] = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "balance": ("none", "weights", "sampling"),
            "monitor": MONITORS,
        }
        for name, table in tables.items():
            value = getattr(self, name)
            if value is not None and value not in table:
                raise unknown(name, value, table)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Recipe:
        """Recipe from names and values; an unknown name lists the legal ones."""
        require_known("training option", fields, [field.name for field in dataclasses.fields(cls)])
        return cls(**fields)

    def trained_stages(self, network: nn.Module) -> list[list[str]]:
        """Names of parameters and buffers of the stages that learn, input first."""
        order = stages(network)
        return order if self.unfreeze is None else order[max(0, len(order) - 1 - self.unfreeze) :]

    def optimizer_of(self, network: nn.Module) -> torch.optim.Optimizer:
        """Optimizer of the stages that learn; those before them are frozen."""
        parameters = dict(network.named_parameters())
        trained = self.trained_stages(network)
        learning = {name for names in trained for name in names}
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in learning)
        groups = []
        for depth, names in enumerate(reversed(trained)):
            lr = self.lr * self.lr_decay**depth
            members = [parameters[name] for name in names if name in parameters]
            for decayed in (True, False):
                chosen = [p for p in members if (p.ndim > 1) == decayed]
                if chosen:
                    groups.append({"params": chosen, "lr": lr, "weight_decay": self.weight_decay * decayed})
        return OPTIMIZERS[self.optimizer](groups, lr=self.lr)

    def scheduler_of(self, optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
        """Schedule over `steps` steps of the optimizer."""
        course = SCHEDULES[self.schedule]
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: course(min(1.0, step / max(1, steps))))

    def _class_factors(self, labels: Labels) -> npt.NDArray[np.float64]:
        """count^(−power) of each class, 0 for a class without galaxies, shape (k,)."""
        counts = np.bincount(labels.codes, minlength=len(labels.classes)).astype(np.float64)
        return np.where(counts > 0, np.maximum(counts, 1) ** -self.balance_power, 0.0)

    def class_weights(self, labels: Labels) -> torch.Tensor | None:
        """Weight of each class in the loss, shape (k,), mean 1 over galaxies; None where classes are not weighted."""
        if self.balance != "weights":
            return None
        factors = self._class_factors(labels)
        return torch.from_numpy(factors / factors[labels.codes].mean()).float()

    def shares(self, labels: Labels) -> npt.NDArray[np.float64] | None:
        """Expected copies of each galaxy in an epoch, shape (n,), mean 1; None for one each."""
        if self.balance != "sampling":
            return None
        shares = self._class_factors(labels)[labels.codes]
        return np.asarray(shares / shares.mean())
