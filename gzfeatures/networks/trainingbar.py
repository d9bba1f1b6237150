"""TrainingBar: progress of a training on stderr, one bar over all epochs."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gzfeatures.networks.learner import Learner


class TrainingBar(pl.Callback):
    """Epoch, steps, remaining time, loss and the latest validation metric."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task("training", total=None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar in the first process."""
        if trainer.is_global_zero:
            total = trainer.num_training_batches * (trainer.max_epochs or 0)
            done = trainer.num_training_batches * trainer.current_epoch
            self.progress.update(self.task, total=total, completed=done)
            self.progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance."""
        self.progress.advance(self.task)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what the epoch before gave: its metrics come after the callbacks of its end."""
        if isinstance(pl_module, Learner) and pl_module.history:
            row = pl_module.history[-1]
            text = f"epoch {row['epoch']} of {trainer.max_epochs}: loss {row['training_loss']:.4f}"
            text += f", {pl_module.monitor.replace('_', ' ')} {row[pl_module.monitor]:.4f}"
            self.progress.update(self.task, description=text)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the bar away, also after an error."""
        self.progress.stop()
