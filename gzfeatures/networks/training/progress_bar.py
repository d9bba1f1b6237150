"""Draw the progress of a training on stderr, with one bar over all epochs."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from gzfeatures.networks.training.learner import Learner


class TrainingBar(pl.Callback):
    """Show a progress bar: epoch, steps, remaining time, loss, last validation metric."""

    def __init__(self) -> None:
        # create the bar in the process that draws it, because it cannot be sent to another process
        self.progress: Progress | None = None
        self.task = TaskID(0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar in the first process."""
        if trainer.is_global_zero:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            steps = trainer.num_training_batches
            self.task = self.progress.add_task(
                "training",
                total=steps * (trainer.max_epochs or 0),
                completed=int(steps * trainer.current_epoch),
            )
            self.progress.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Advance the bar by one step."""
        if self.progress is not None:
            self.progress.advance(self.task)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the metrics of the epoch before."""
        # at the end of that epoch the metrics do not exist yet
        if self.progress is not None and isinstance(pl_module, Learner) and pl_module.history:
            row = pl_module.history[-1]
            text = f"epoch {row['epoch']} of {trainer.max_epochs}: loss {row['training_loss']:.4f}"
            text += f", {pl_module.monitor.replace('_', ' ')} {row[pl_module.monitor]:.4f}"
            self.progress.update(self.task, description=text)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove the bar, also after an error."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
