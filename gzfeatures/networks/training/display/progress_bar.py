"""Show the progress of a training in one bar over all epochs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl

from gzfeatures.networks.training.learner import Learner
from gzfeatures.progress import Advance, Progress


class TrainingBar(pl.Callback):
    """Show a progress bar with epoch, steps, remaining time, loss and last validation metric.

    Parameters
    ----------
    progress : Progress
        Where the bar goes.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        # leave the bar closed until training starts: Lightning may copy this object to another
        # process, which an open bar does not allow
        self._bar: ExitStack | None = None
        self._advance: Advance | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the progress bar, in the first process of the training only."""
        if trainer.is_global_zero:
            steps = trainer.num_training_batches
            total, done = steps * (trainer.max_epochs or 0), int(steps * trainer.current_epoch)
            self._bar = ExitStack()
            self._advance = self._bar.enter_context(
                self.progress.counted("training", int(total), done=done, transient=True)
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Advance the progress bar by one training step."""
        if self._advance is not None:
            self._advance()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the loss and the validation metric of the previous epoch beside the bar."""
        # show an epoch's metrics when the next epoch starts: they are computed after its end
        if self._advance is not None and isinstance(pl_module, Learner) and pl_module.history:
            row = pl_module.history[-1]
            text = f"epoch {row['epoch']} of {trainer.max_epochs}: loss {row['training_loss']:.4f}"
            text += f", {pl_module.monitor.replace('_', ' ')} {row[pl_module.monitor]:.4f}"
            self._advance(0, title=text)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove the progress bar from the terminal, also after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = self._advance = None
