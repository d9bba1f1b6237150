"""Train with Lightning: compute losses, average the weights, and keep the best epoch."""

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
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gzfeatures.networks._compat_torch import BATCH_NORMS
from gzfeatures.networks.inference.probabilities import normalised
from gzfeatures.networks.models.blocks import blocks
from gzfeatures.networks.setup.augment import Augmentation, mixed
from gzfeatures.networks.setup.batches import Batches, TrainingPixels
from gzfeatures.networks.setup.best_epoch import best_row, gain_of, monitor_of
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.setup.targets import Target


class Diverged(Exception):
    """Report that the loss of a training became NaN or infinite.

    Parameters
    ----------
    epoch, step : int
        Epoch and step of this loss, counted from 1.
    lr : float
        Largest learning rate of the step.
    """

    def __init__(self, epoch: int, step: int, lr: float) -> None:
        super().__init__(
            f"the loss is NaN or infinite at step {step} of epoch {epoch}, learning rate {lr:.3g}"
        )
        self.epoch, self.step, self.lr = epoch, step, lr


def _copied(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of a network's weights and buffers by name, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def freeze_statistics(network: nn.Module) -> None:
    """Let batch normalisation use its stored mean and variance instead of each batch's."""
    for module in network.modules():
        if isinstance(module, BATCH_NORMS):
            module.eval()


class Learner(pl.LightningModule):
    """Compute losses, average a network's weights, and keep the weights of the best epoch.

    Parameters
    ----------
    network : nn.Module
        Returns logits; in training mode perhaps also logits of auxiliary classifiers.
    target : Target
        Loss and probabilities.
    recipe : TrainingRecipe
    augmentation : Augmentation
    pixels : TrainingPixels
        Pixels of the training galaxies.
    score : callable, optional
        Network → validation metrics, with `per_class` and `confusion` if the target has classes;
        None if there are no validation galaxies.
    class_weights : Tensor, optional
        Weight of each class in the loss, shape (k,).
    mean, std : sequence of float
        Normalisation of each band.
    size : int
        Side of the network's input in px.
    seed : int
    before : sequence of dict
        Metrics of earlier epochs: of epoch 0, where only the output layer is fitted, or of a
        training that is continued with more epochs. The last row belongs to the weights that
        `network` has now.
    anchor : dict, optional
        Weights before the first epoch, of a training that is continued with more epochs; default
        those that `network` has now.
    """

    def __init__(
        self,
        network: nn.Module,
        target: Target,
        recipe: TrainingRecipe,
        augmentation: Augmentation,
        pixels: TrainingPixels,
        score: Callable[[nn.Module], dict[str, Any]] | None,
        *,
        class_weights: torch.Tensor | None,
        mean: Sequence[float],
        std: Sequence[float],
        size: int,
        seed: int,
        before: Sequence[dict[str, Any]] = (),
        anchor: dict[str, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.target = network, target
        self.recipe, self.augmentation = recipe, augmentation
        self.pixels, self.score = pixels, score
        self.mean, self.std, self.size, self.seed = mean, std, size, seed
        self.class_weights = class_weights
        self.average = copy.deepcopy(network).eval().requires_grad_(False) if recipe.ema else None
        self.images = 0
        self.best: dict[str, torch.Tensor] = {}
        self.anchor = (anchor or _copied(network)) if recipe.anchor else {}
        self.history: list[dict[str, Any]] = [dict(row) for row in before]
        # keep each galaxy's score at epoch 0, where only the output layer is fitted: later epochs
        # must beat it
        self.solved = self.history[0].pop("shares", None) if self.history else None
        if self.solved is not None:
            self.history[0] |= {"gain": 0.0, "gain_error": 0.0}
        self.before = int(self.history[-1]["epoch"]) if self.history else 0
        if self.history:
            self._keep(network)
        self._losses: list[torch.Tensor] = []
        self._averaged: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        self._counted: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._steps, self._started = 0, 0.0
        self._own = {name for name, _ in network.named_parameters()}

    @property
    def monitor(self) -> str:
        """Return the metric that decides which epoch is best, and when training stops."""
        return "training_loss" if self.score is None else monitor_of(self.recipe, self.target.kind)

    @property
    def epoch(self) -> int:
        """Return the number of finished epochs, including those of an earlier training."""
        return self.before + int(self.current_epoch)

    @property
    def stopped(self) -> bool:
        """Return True if the best epoch was `patience` epochs ago, so that training must stop."""
        patience = self.recipe.patience
        if patience is None or not self.history or self.score is None:
            return False
        return len(self.history) - 1 - best_row(self.history, self.monitor) >= patience

    @property
    def kept_row(self) -> int:
        """Return the index in `history` of the epoch whose weights are kept."""
        if self.recipe.keep != "best" or self.score is None:
            return len(self.history) - 1
        return best_row(self.history, self.monitor)

    def _keep(self, network: nn.Module) -> None:
        self.best = _copied(network)

    def _scored(self) -> nn.Module:
        """Return the network that is scored: averaged, and drawn towards that before epoch 1."""
        trained = self.network if self.average is None else self.average
        if not self.anchor:
            return trained
        # weights of networks that began alike can be averaged: the loss between them is low
        # (Wortsman+2022, eq. 1)
        between = copy.deepcopy(trained).eval().requires_grad_(False)
        for name, value in between.state_dict().items():
            if value.is_floating_point():
                value.lerp_(self.anchor[name].to(value.device), self.recipe.anchor or 0.0)
        return between

    def train_dataloader(self) -> Batches:
        """Return the batches of training galaxies for this process."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return Batches(self.pixels, lambda: self.epoch, rank, world, self.recipe.passes or 1)

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the schedule that sets its learning rate at every step."""
        optimizer = self.recipe.optimizer_of(self.network)
        scheduler = self.recipe.scheduler_of(
            optimizer, int(self.trainer.estimated_stepping_batches)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Seed dropout from seed and epoch, and put frozen blocks into eval mode."""
        torch.manual_seed(
            int(np.random.default_rng([self.seed, self.epoch, self.global_rank]).integers(2**62))
        )
        self.network.train()
        for block in blocks(self.network):
            if not any(
                self.network.get_parameter(name).requires_grad
                for name in block.names
                if name in self._own
            ):
                # use eval mode: batch statistics and dropout would change a frozen block's output
                for module in block.modules:
                    module.eval()
        if self.recipe.batch_statistics == "frozen":
            freeze_statistics(self.network)
        # pair the averaged tensors with the trained ones once an epoch: listing a few hundred
        # tensors again at each step costs a small network some percent of its time
        self._averaged, self._counted = ([], []), []
        if self.average is not None:
            kept, new = self.average.state_dict().values(), self.network.state_dict().values()
            pairs = list(zip(kept, new, strict=True))
            floats = [pair for pair in pairs if pair[0].is_floating_point()]
            self._averaged = ([kept for kept, _ in floats], [new for _, new in floats])
            self._counted = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._losses.clear()
        self._started = time.monotonic()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Turn a batch of training images into randomly changed copies, on the CPU or GPU."""
        pixels, targets, uniforms = batch
        copies = self.augmentation.apply(pixels.float().div_(255), uniforms, self.size)
        copies, targets = mixed(
            copies, targets, uniforms, mixup=self.recipe.mixup, cutmix=self.recipe.cutmix
        )
        return normalised(copies, self.mean, self.std), targets

    def training_step(
        self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int
    ) -> torch.Tensor:
        """Return the loss of one batch, with auxiliary losses if the network has them."""
        images, targets = batch
        loss = self.loss_of(self.network(images), targets)
        # a GPU waits for each test for NaN, so test only one in 20 batches on a GPU
        if (images.device.type == "cpu" or batch_idx % 20 == 0) and not torch.isfinite(loss):
            raise Diverged(
                self.epoch + 1, batch_idx + 1, self.trainer.optimizers[0].param_groups[0]["lr"]
            )
        return loss

    def loss_of(self, outputs: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of outputs and auxiliary outputs; record the loss of the main output."""
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        # compute in single precision: half precision loses small differences of late losses
        with torch.autocast(logits.device.type, enabled=False):
            main, *others = (
                self.target.loss(each.float(), targets, weights, self.recipe.label_smoothing)
                for each in (logits, *(a for a in auxiliary if a is not None))
            )
            loss: torch.Tensor = main + self.recipe.aux_weight * sum(others)
        self._losses.append(main.detach())
        return loss

    def configure_gradient_clipping(self, optimizer: Any, *arguments: Any, **options: Any) -> None:
        """Limit the norm of the gradient; float16 gradients are scaled, and so is the limit."""
        # override Lightning's own clipping, which refuses fused optimizers in mixed precision
        if not self.recipe.clip:
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = 1.0 if scaler is None else scaler.get_scale()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip * scale)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the running average of the weights after each step (Polyak & Juditsky 1992)."""
        if self.average is None or self.trainer.global_step == self._steps:
            return
        self._steps = self.trainer.global_step
        # use a smaller decay in the first steps: else the average would long stay near the initial
        # weights
        decay = min(self.recipe.ema, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move(*self._averaged, self._steps)
            for kept, new in self._counted:
                kept.copy_(new)

    def on_train_epoch_end(self) -> None:
        """Score the validation galaxies, keep the best weights, and decide whether to stop."""
        loss = float(torch.stack(self._losses).mean())
        rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
        if not math.isfinite(loss):
            raise Diverged(self.epoch + 1, len(self._losses), rate)
        row: dict[str, Any] = {"epoch": self.epoch + 1, "training_loss": loss, "lr": rate}
        scored = self._scored()
        if self.score is not None:
            try:
                row |= self.score(scored)
            except FloatingPointError:
                raise Diverged(self.epoch + 1, len(self._losses), rate) from None
            shares = row.pop("shares", None)
            if shares is not None and self.solved is not None:
                row |= gain_of(shares, self.solved, self.monitor)
        # count the images of all processes: each learned from equally many
        self.images += len(self._losses) * self.pixels.batch_size * self.trainer.world_size
        self.history.append(row | {"seconds": time.monotonic() - self._started})
        if self.kept_row == len(self.history) - 1:
            self._keep(scored)
        self.trainer.should_stop = self.stopped

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add best weights, metrics, and counts of steps and images to Lightning's checkpoint."""
        checkpoint["gzfeatures"] = self.resumable()

    def resumable(self) -> dict[str, Any]:
        """Return what resuming needs: best weights, all metrics, counts of steps and images."""
        done = self.history[-1]["epoch"] if self.history else 0
        return {
            "best": self.best,
            "anchor": self.anchor,
            "kept": self.kept_row,
            "before": self.before,
            "history": self.history,
            "solved": None if self.solved is None else torch.as_tensor(self.solved),
            "steps": self._steps,
            "images": self.images,
            "finished": self.recipe.recipe == "probe"
            or self.stopped
            or done >= (self.recipe.epochs or 0),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore best weights, all metrics, and counts of steps and images from a checkpoint."""
        kept = checkpoint["gzfeatures"]
        self.best, self.history, self._steps = kept["best"], kept["history"], kept["steps"]
        self.before, self.images = kept["before"], kept["images"]
        # trainings of earlier versions had no anchor
        self.anchor = kept.get("anchor", {})
        # `solved` has each validation galaxy's score at epoch 0, when only the output layer was
        # solved (fitted). Files of earlier versions lack it: then the epoch with the best metric is
        # kept, without a test whether it beats epoch 0 by more than chance
        self.solved = kept.get("solved")
