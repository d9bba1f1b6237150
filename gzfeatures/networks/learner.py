"""Learner: a network in training, as Lightning sees it: its loss, its running average, its best epoch."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn

from gzfeatures.networks.augment import Augmentation, mixed
from gzfeatures.networks.batches import Batches, Frames
from gzfeatures.networks.inference import normalised
from gzfeatures.networks.recipe import MONITORS, Recipe
from gzfeatures.networks.targets import Target


class Learner(pl.LightningModule):
    """A network in training.

    Parameters
    ----------
    network : nn.Module
        Gives logits; while training perhaps also auxiliary ones.
    target : Target
        Loss and probabilities.
    recipe : Recipe
    augmentation : Augmentation
    frames : Frames
        Training galaxies.
    score : callable, optional
        Network → validation metrics; None where there is no validation galaxy.
    class_weights : Tensor, optional
        Weight of each class in the loss, shape (k,).
    mean, std : sequence of float
        Normalisation of each band.
    size : int
        Side of a copy in px.
    seed : int
    """

    def __init__(
        self,
        network: nn.Module,
        target: Target,
        recipe: Recipe,
        augmentation: Augmentation,
        frames: Frames,
        score: Callable[[nn.Module], dict[str, float]] | None,
        *,
        class_weights: torch.Tensor | None,
        mean: Sequence[float],
        std: Sequence[float],
        size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.network, self.target, self.recipe, self.augmentation = network, target, recipe, augmentation
        self.frames, self.score, self.mean, self.std, self.size, self.seed = frames, score, mean, std, size, seed
        self.class_weights = class_weights
        self.average = copy.deepcopy(network).eval().requires_grad_(False) if recipe.ema else None
        self.best: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []
        self._steps, self._started = 0, 0.0

    @property
    def monitor(self) -> str:
        """Name of the metric that decides which epoch is best."""
        default = {"classes": "macro_f1", "multi-label": "log_loss", "fractions": "rmse"}[self.target.kind]
        return "training_loss" if self.score is None else self.recipe.monitor or default

    @property
    def stopped(self) -> bool:
        """Whether the best epoch lies `patience` epochs back."""
        patience = self.recipe.patience
        if patience is None or not self.history or self.score is None:
            return False
        return len(self.history) - 1 - self.best_epoch >= patience

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights are kept; the first wins a tie; without validation galaxies the last."""
        if self.score is None:
            return len(self.history) - 1
        values = [row[self.monitor] for row in self.history]
        sign = 1 if MONITORS[self.monitor] else -1
        return int(np.argmax([sign * v if math.isfinite(v) else -math.inf for v in values]))

    def train_dataloader(self) -> Batches:
        """Batches of this process."""
        return Batches(self.frames, lambda: self.current_epoch, self.trainer.global_rank, self.trainer.world_size)

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule of the recipe, stepped with every change of the weights."""
        optimizer = self.recipe.optimizer_of(self.network)
        scheduler = self.recipe.scheduler_of(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Give dropout numbers that depend on seed and epoch alone; keep frozen normalisation as it is."""
        torch.manual_seed(int(np.random.default_rng([self.seed, self.current_epoch, self.global_rank]).integers(2**62)))
        self.network.train()
        for module in self.network.modules():
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                module.eval()
        self._losses.clear()
        self._started = time.monotonic()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn frames into random copies, on the device."""
        pixels, targets, uniforms = batch
        copies = self.augmentation.apply(pixels.float().div_(255), uniforms, self.size)
        copies, targets = mixed(copies, targets, uniforms, mixup=self.recipe.mixup, cutmix=self.recipe.cutmix)
        return normalised(copies, self.mean, self.std), targets

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Loss of one batch, with the auxiliary losses where the network has them."""
        images, targets = batch
        outputs = self.network(images)
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        weights = None if self.class_weights is None else self.class_weights.to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            main, *others = (
                self.target.loss(each.float(), targets, weights, self.recipe.label_smoothing)
                for each in (logits, *(a for a in auxiliary if a is not None))
            )
            loss = main + self.recipe.aux_weight * sum(others)
        self._losses.append(main.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the running average after each change of the weights (Polyak & Juditsky 1992, with a warm-up)."""
        if self.average is None or self.trainer.global_step == self._steps:
            return
        self._steps = self.trainer.global_step
        weight = 1 - min(self.recipe.ema, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            for kept, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(new, weight)
                else:
                    kept.copy_(new)

    def on_train_epoch_end(self) -> None:
        """Score on the validation galaxies; keep the weights of the best epoch; stop when nothing improves."""
        row = {
            "epoch": len(self.history) + 1,
            "training_loss": float(torch.stack(self._losses).mean()),
            "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
        }
        scored = self.network if self.average is None else self.average
        if self.score is not None:
            row |= self.score(scored)
        self.history.append(row | {"seconds": time.monotonic() - self._started})
        if self.best_epoch == len(self.history) - 1:
            self.best = {name: value.detach().cpu().clone() for name, value in scored.state_dict().items()}
        self.trainer.should_stop = self.stopped

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming needs beside weights and optimizer."""
        checkpoint["gzfeatures"] = {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "history": self.history,
            "steps": self._steps,
            "finished": self.stopped or len(self.history) >= self.recipe.epochs,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Inverse of `on_save_checkpoint`."""
        kept = checkpoint["gzfeatures"]
        self.best, self.history, self._steps = kept["best"], kept["history"], kept["steps"]
