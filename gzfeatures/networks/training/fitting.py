"""Train a network with Lightning, epoch by epoch, and write its state after each epoch."""

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
from gzfeatures.networks.setup.recipe import TrainingRecipe
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
    """Start or continue a training, and return its last state.

    The state has the `best` weights, the `kept` row, the `history` and the number of `images`. It
    is read from its file: whichever processes trained, they have written it.

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
    # hide Lightning's hints, which tell users to change its options, but show its warnings
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=(learner.recipe.epochs or 0) - before,
        accumulate_grad_batches=learner.recipe.accumulate,
        callbacks=list(callbacks),
        plugins=[WholeFiles(), *_alone(devices * nodes)],
        # name a folder that does not exist: from an existing folder, Lightning would load the
        # states of other trainings that a batch system saved in it
        default_root_dir=path.parent / ".lightning",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        devices=devices,
        num_nodes=nodes,
        **options,
    )
    # remember the handler of Ctrl-C, which Lightning replaces and does not restore
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with (
            warnings.catch_warnings(),
            threads(earlier.threads if earlier else torch.get_num_threads()),
        ):
            # hide a warning that no user can act on: Lightning 2.6 uses a name that torch 2.15
            # declares deprecated
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            # hide the warning: the running average and frozen blocks are in eval mode on purpose
            warnings.filterwarnings(
                "ignore", ".*in eval mode at the start of training", UserWarning
            )
            # hide Lightning's advice to use `srun`: one process may train in the batch script
            # itself
            warnings.filterwarnings("ignore", ".*`srun` command is available", UserWarning)
            # pass no argument `weights_only`, which Lightning before 2.6 does not know:
            # `WholeFiles` reads the state without running code in any case
            trainer.fit(learner, ckpt_path=str(path) if goes_on else None)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into SystemExit: raise KeyboardInterrupt again, and restore the
        # handler
        signal.signal(signal.SIGINT, interrupt)
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except torch.OutOfMemoryError:
        raise _out_of_memory(learner.recipe) from None
    return dict(read_state(path)["gzfeatures"])


def _out_of_memory(recipe: TrainingRecipe) -> InputError:
    """Return the error for a training that exceeds the GPU's memory, with a batch size to try."""
    size = recipe.batch_size
    # propose half the batch with twice the accumulation: the same training step, in less memory
    smaller = f"try batch_size={max(2, size // 2)} with accumulate={2 * recipe.accumulate}"
    return InputError(
        "GPU memory does not suffice",
        where=f"batch_size {size}",
        remedy=smaller if size > 2 else "choose a smaller network or view",
    )


def _alone(processes: int) -> list[LightningEnvironment]:
    """Return how Lightning starts its processes; an empty list if a batch system started them.

    Variables of a batch system are set in every process of a job, also in one that trains alone.
    Only where `srun` has started this very process among several (it sets SLURM_STEP_ID) are its
    tasks the processes.
    """
    several = "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    return (
        []
        if processes > 1 and (several or "TORCHELASTIC_RUN_ID" in os.environ)
        else [LightningEnvironment()]
    )
