"""Define training recipes: learning rate, epochs and all other numbers of a training, by name.

`RECIPES` has three of them: `probe`, `tune` and `scratch`. Numbers that the user does not give
follow from the initial weights (given or random) and from the number of galaxies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.errors import InputError, require_known, unknown
from gzfeatures.evaluation.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.networks.models.blocks import Block, blocks
from gzfeatures.networks.setup.learning_rates import (
    OPTIMIZERS,
    SCHEDULES,
    decay_per_block,
    parameter_groups,
)

MONITORS: dict[str, bool] = {
    **dict.fromkeys(HIGHER_IS_BETTER, True),
    **dict.fromkeys(LOWER_IS_BETTER, False),
}
"""Validation metrics, and whether a larger value is better."""

RECIPES: dict[str, dict[str, Any]] = {
    "probe": {"ema": 0.0},
    "tune": {
        **{
            "batch_size": 32,
            "schedule": "warm-cosine",
            "lr": 2e-4,
            "lr_decay": None,
            "ema": 0.99,
            "clip": 1.0,
            "batch_statistics": "frozen",
            "anchor": None,
        },
    },
    "scratch": {"ema": 0.99},
}
"""Numbers of each recipe that differ from the defaults of `TrainingRecipe`.

`probe`: fit the output layer alone, to convergence, on the embeddings of the frozen network.
`tune`: first `probe`, then train every block, with a learning rate that is smaller for blocks
nearer to the input (Howard & Ruder 2018, doi:10.18653/v1/P18-1031; the order of both: Kumar+2022,
arXiv:2202.10054), warm-up, cosine to zero, and a running average of the weights. `scratch`: train
every block at one rate, with one cycle of the learning rate."""

LEAST_TO_HALVE = 40
"""Least number of validation galaxies of which one half chooses the epoch."""
HALF_WAY, LEAST_TO_TRUST = 0.5, 200
"""Anchor of `tune` where no epoch is chosen, and training galaxies from which on there is none.

So few validation galaxies cannot tell whether the fitted output layer or the trained network is
better. With 80 training galaxies the weights between both are a good choice, with 240 the trained
ones are better for most starts: `experiments/README.md`, "Fine-tuning against heads"."""

LEAST = {
    "epochs": 1,
    "passes": 1,
    "batch_size": 1,
    "accumulate": 1,
    "unfreeze": 0,
    "patience": 1,
}
"""Smallest value of each whole number of a recipe."""
RANGES: dict[str, tuple[float, float]] = {
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
    "anchor": (0.0, 0.99),
}
"""Smallest and largest value of each other number of a recipe."""
NAMES: dict[str, Any] = {
    "recipe": RECIPES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "balance": ("none", "weights", "sampling"),
    "monitor": MONITORS,
    "keep": ("last", "best"),
    "batch_statistics": ("trained", "frozen"),
}
"""Names that each field of a recipe can take."""


@dataclasses.dataclass(frozen=True)
class TrainingRecipe:
    """Set every number that a training depends on, such as learning rate, batch size and epochs.

    Parameters
    ----------
    recipe : {"probe", "tune", "scratch"}
        Which layers are trained, and from which weights (see `RECIPES`).
    epochs : int, optional
        Largest number of epochs; the network is scored and saved after each. The default follows
        from the number of galaxies (`settled`).
    passes : int, optional
        Passes over the training galaxies in one epoch; default 1, or more for few galaxies if
        `epochs` is None.
    batch_size : int
        Galaxies per step and device.
    accumulate : int
        Steps whose gradients are added up before the weights change.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"}
        `sgd` has Nesterov momentum 0.9.
    schedule : {"one-cycle", "warm-cosine", "cosine", "polynomial", "constant"}
        Course of the learning rate.
    lr : float
        Largest learning rate.
    weight_decay : float
        Applied to the weights of layers that multiply, not to biases, normalisation, layer scale,
        position embeddings and class tokens.
    lr_decay : float, optional
        Factor of the learning rate from each block (`blocks.blocks`) to the one before it, in (0,
        1]; the output layer has `lr`. With None, the first block's rate is a twentieth of `lr`,
        whatever the number of blocks.
    unfreeze : int, optional
        Number of blocks trained besides the output layer, counted from the output; 0 trains the
        output layer only, None all blocks.
    label_smoothing : float
        Share of a target spread over all classes, in [0, 1).
    balance : {"none", "weights", "sampling"}
        Rare classes weigh more in the loss, or are drawn more often.
    balance_power : float
        Weight of a class ∝ count^(−power): 1 makes all classes equal, 0 changes nothing.
    mixup, cutmix : float
        α of the Beta distribution of mixup and of CutMix; 0 is off.
    ema : float
        Decay per step of the running average of the weights. The averaged weights are scored and
        saved; 0 is off.
    clip : float
        Largest norm of the gradient; 0 is off.
    aux_weight : float
        Weight of the losses of GoogLeNet's auxiliary classifiers in a training from random weights;
        0 trains without these classifiers.
    also_weight : float
        Weight of the second target's loss, if the training has a second target.
    patience : int, optional
        Epochs without a better validation metric after which training stops; None never stops
        early.
    monitor : str, optional
        Validation metric of `patience` and of `keep` = "best"; default `log_loss`, for fractions
        `rmse`.
    keep : {"last", "best"}, optional
        Which (averaged) weights are saved. "last": those of the last epoch. "best": those of the
        epoch with the best `monitor` metric (of the log loss, after calibration), as a mean of
        three epochs, on one half of the validation galaxies; this half is not used for calibration.
        Default "best" if `monitor` or `patience` is given, and in `tune` with at least
        `LEAST_TO_HALVE` validation galaxies, which saves the fitted output layer (epoch 0) unless
        an epoch is better by more than two standard errors; else "last".
    batch_statistics : {"trained", "frozen"}
        Whether batch normalisation uses the mean and variance of each batch, or those of the
        starting weights, as in `tune`, which fits the output layer to embeddings made with them.
        For a network that was trained on everyday photographs they differ much from those of
        galaxies, so that with the statistics of batches the first steps spoil the fitted output
        layer.
    anchor : float, optional
        Share of the network before the first epoch in the weights that are scored and kept, in [0,
        1): 0.5 keeps the weights half way from there to the (averaged) trained ones (Wortsman+2022,
        doi:10.1109/CVPR52688.2022.00780, eq. 1). The default of `tune`, None, is `HALF_WAY` with
        fewer than `LEAST_TO_TRUST` training galaxies if the last weights are kept because
        validation galaxies are too few to choose an epoch, else 0.

    Raises
    ------
    InputError, UnknownNameError
        A value is outside its range; a name is unknown.
    """

    recipe: str = "scratch"
    epochs: int | None = None
    passes: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    lr: float = 1e-3
    weight_decay: float = 0.05
    lr_decay: float | None = 1.0
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
    keep: str | None = None
    batch_statistics: str = "trained"
    anchor: float | None = 0.0

    def __post_init__(self) -> None:
        # check types before ranges: comparing a text with a range would fail with a traceback
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise InputError(
                    f"recipe {name}", rule=f"be a whole number of at least {least}", found=value
                )
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            # accept None where `settled` later computes the number: `lr_decay` from the network's
            # depth, `anchor` from the numbers of training and validation galaxies
            if name in ("lr_decay", "anchor") and value is None:
                continue
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(
                    f"recipe {name}", rule=f"be a number in {low:g}…{high:g}", found=value
                )
        for name, table in NAMES.items():
            value = getattr(self, name)
            if value is not None and value not in table:
                raise unknown(name, value, table)

    @classmethod
    def of(cls, fields: Mapping[str, Any], recipe: str = "scratch") -> TrainingRecipe:
        """Return the training settings of a recipe by name; given numbers replace its defaults."""
        require_known("training option", fields, [field.name for field in dataclasses.fields(cls)])
        require_known("recipe", [recipe], RECIPES)
        return cls(**{"recipe": recipe, **RECIPES[recipe], **fields})

    def settled(self, galaxies: int, depth: int, validation: int) -> TrainingRecipe:
        """Return the recipe with each None computed from the numbers of galaxies and blocks.

        The number of steps follows from the number n of galaxies: `tune` takes 20·√n steps, but at
        least 4 passes; `scratch` 20 passes, but at least 400 steps. With few galaxies, an epoch is
        several passes long, so that scoring and saving an epoch costs no more than training it.

        Parameters
        ----------
        galaxies : int
            Number of training galaxies.
        depth : int
            Number of blocks of the network, the output layer included.
        validation : int
            Number of validation galaxies.
        """
        # count complete batches only, because `Batches` leaves out an incomplete last batch
        per_pass = max(1, galaxies // self.batch_size)
        if self.recipe == "probe":
            rounds, passes = 1, 1
        elif self.epochs is not None:
            rounds, passes = self.epochs, self.passes or 1
        else:
            tuned = max(20 * math.sqrt(galaxies), 4 * per_pass)
            steps = tuned if self.recipe == "tune" else max(400, 20 * per_pass)
            passes = self.passes or max(1, round(20 / per_pass))
            rounds = max(1, round(steps / (per_pass * passes)))
        decay = decay_per_block(depth) if self.lr_decay is None else self.lr_decay
        chooses = self.recipe == "tune" and validation >= LEAST_TO_HALVE
        chooses = chooses or self.monitor is not None or self.patience is not None
        keep = self.keep or ("best" if chooses else "last")
        anchor = self.anchor
        if anchor is None:
            few = self.recipe == "tune" and galaxies < LEAST_TO_TRUST
            anchor = HALF_WAY if few and not chooses and self.keep is None else 0.0
        return dataclasses.replace(
            self, epochs=rounds, passes=passes, lr_decay=decay, keep=keep, anchor=anchor
        )

    def trained_blocks(self, network: nn.Module) -> list[Block]:
        """Return the blocks that are trained, the block nearest to the input first."""
        order = blocks(network)
        if self.recipe == "probe":
            return order[-1:]
        return order if self.unfreeze is None else order[max(0, len(order) - 1 - self.unfreeze) :]

    def optimizer_of(self, network: nn.Module) -> torch.optim.Optimizer:
        """Freeze the blocks that are not trained, and return an optimizer for the others."""
        trained = self.trained_blocks(network)
        learning = {name for block in trained for name in block.names}
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in learning)
        groups = parameter_groups(
            network, trained, lr=self.lr, decay=self.lr_decay, weight_decay=self.weight_decay
        )
        return OPTIMIZERS[self.optimizer](groups, lr=self.lr)

    def scheduler_of(
        self, optimizer: torch.optim.Optimizer, steps: int
    ) -> torch.optim.lr_scheduler.LambdaLR:
        """Return PyTorch's schedule of the learning rate over `steps` steps of the optimizer."""
        course = SCHEDULES[self.schedule]
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: course(min(1.0, step / max(1, steps)))
        )

    def _class_factors(self, labels: Labels) -> npt.NDArray[np.float64]:
        """Return each class's weight count^(−power), 0 for a class without galaxies, shape (k,)."""
        counts = np.bincount(labels.codes, minlength=len(labels.classes)).astype(np.float64)
        return np.where(counts > 0, np.maximum(counts, 1) ** -self.balance_power, 0.0)

    def class_weights(self, labels: Labels) -> torch.Tensor | None:
        """Return the weight of each class in the loss, shape (k,); None if no class is weighted.

        The mean over galaxies is 1, so that the learning rate keeps its meaning.
        """
        if self.balance != "weights":
            return None
        factors = self._class_factors(labels)
        return torch.from_numpy(factors / factors[labels.codes].mean()).float()

    def shares(self, labels: Labels) -> npt.NDArray[np.float64] | None:
        """Return each galaxy's expected number of copies in an epoch, (n,); None: one copy each."""
        if self.balance != "sampling":
            return None
        shares = self._class_factors(labels)[labels.codes]
        return np.asarray(shares / shares.mean())
