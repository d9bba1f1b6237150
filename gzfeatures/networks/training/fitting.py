"""Fitting: a learner trained by Lightning, epoch by epoch, with its state on disk after each."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from gzfeatures.errors import InputError
from gzfeatures.networks.training.checkpoint import WholeFiles, read_state
from gzfeatures.networks.training.learner import Learner
from gzfeatures.networks.training.resuming import EarlierTraining, threads

LIGHTNING_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def fit(
    learner: Learner,
    path: Path,
    earlier: EarlierTraining | None,
    callbacks: Sequence[pl.Callback],
    *,
    devices: int,
    nodes: int,
    **options: Any,
) -> dict[str, Any]:
    """Train, or go on, and return the last state: `best` weights, `kept` row, `history`, `images`.

    The state comes back through its file: whichever processes trained, all have written it.

    Parameters
    ----------
    learner : Learner
    path : Path
        File of the state, rewritten after every epoch.
    earlier : EarlierTraining, optional
        Training to go on with; one that grows has given the learner its weights already.
    callbacks : sequence of Callback
    devices, nodes : int
        Processes and machines.
    **options
        Of Lightning's Trainer.

    Raises
    ------
    InputError
        GPU memory does not suffice (with the batch size to try).
    Diverged
        The loss is no number any more.
    """
    goes_on = earlier is not None and not earlier.grows
    before = earlier.state["before"] if earlier is not None and goes_on else learner.before
    # Lightning announces devices and its own hints as it would in a script
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=(learner.recipe.epochs or 0) - before,
        accumulate_grad_batches=learner.recipe.accumulate,
        callbacks=list(callbacks),
        plugins=[WholeFiles(), *_alone(devices * nodes)],
        # a folder that is not there: Lightning looks in it for states that a batch system had it
        # write, of any training
        default_root_dir=path.parent / ".lightning",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        devices=devices,
        num_nodes=nodes,
        **options,
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with (
            warnings.catch_warnings(),
            threads(earlier.threads if earlier else torch.get_num_threads()),
        ):
            # Lightning 2.6 uses a name that torch 2.15 calls deprecated
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            # the running average and frozen blocks are meant to be so
            warnings.filterwarnings(
                "ignore", ".*in eval mode at the start of training", UserWarning
            )
            # the batch script itself is meant to train
            warnings.filterwarnings("ignore", ".*`srun` command is available", UserWarning)
            trainer.fit(learner, ckpt_path=str(path) if goes_on else None, weights_only=True)
    except SystemExit as stop:  # Lightning turns Ctrl-C into an exit of its own
        signal.signal(signal.SIGINT, interrupt)
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except torch.OutOfMemoryError:
        size = learner.recipe.batch_size
        raise InputError(
            "GPU memory does not suffice",
            where=f"batch_size {size}",
            remedy=f"try batch_size={max(2, size // 2)} with accumulate={2 * learner.recipe.accumulate}"
            if size > 2
            else "choose a smaller network or view",
        ) from None
    return dict(read_state(path)["gzfeatures"])


def _alone(processes: int) -> list[LightningEnvironment]:
    """One process, or those that Lightning starts itself: a batch system's variables speak of other things.

    Only where `srun` has started this very process among several (it sets SLURM_STEP_ID) are its
    tasks the processes.
    """
    several = "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    return (
        []
        if processes > 1 and (several or "TORCHELASTIC_RUN_ID" in os.environ)
        else [LightningEnvironment()]
    )
