"""Train a network with Lightning, epoch by epoch; write a file to resume from after each epoch."""

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
    """Run or continue a training with Lightning, and return its last state (weights, history).

    The state has the `best` weights, the `history` of all epochs, the index `kept` of the best
    weights' epoch in it, and the number of `images`. The state is read from disk, because the
    training may have run in other processes.

    Parameters
    ----------
    learner : Learner
    path : Path
        File of the state, rewritten after every epoch.
    earlier : EarlierTraining, optional
        Training to continue; if epochs are added (`grows`), the learner already has its weights.
    callbacks : sequence of Callback
    devices, nodes : int
        Number of processes on each machine, and number of machines.
    **options
        Arguments of Lightning's Trainer.

    Raises
    ------
    InputError
        GPU memory does not suffice; the message proposes a batch size.
    Diverged
        The loss became NaN or infinite.
    """
    goes_on = earlier is not None and not earlier.grows
    before = earlier.state["before"] if earlier is not None and goes_on else learner.before
    # hide Lightning's hints: they are about options that users of this package cannot set
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=(learner.recipe.epochs or 0) - before,
        accumulate_grad_batches=learner.recipe.accumulate,
        callbacks=list(callbacks),
        plugins=[WholeFiles(), *_alone(devices * nodes)],
        # Lightning saves a state in this folder when a batch system stops a training, and would
        # load it for any later training: name a folder that does not exist
        default_root_dir=path.parent / ".lightning",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        devices=devices,
        num_nodes=nodes,
        **options,
    )
    # remember the handler of Ctrl-C: Lightning replaces it and does not restore it
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with (
            warnings.catch_warnings(),
            threads(earlier.threads if earlier else torch.get_num_threads()),
        ):
            # hide a warning for Lightning's developers: it uses a name that torch 2.15 deprecates
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            # hide a warning about modules in eval mode: the averaged network and frozen blocks are
            # in eval mode on purpose
            warnings.filterwarnings(
                "ignore", ".*in eval mode at the start of training", UserWarning
            )
            # hide Lightning's advice to use `srun`: one process may train in the batch script
            # itself
            warnings.filterwarnings("ignore", ".*`srun` command is available", UserWarning)
            # pass no `weights_only`, which Lightning before 2.6 lacks: `WholeFiles` reads the file,
            # always without running code in it
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
    """Return plugins to make Lightning ignore a batch system; [] if that system runs the training.

    A batch system such as SLURM sets its variables in every process of a job, also in a process
    that trains alone. The processes of the training are those of the batch system only if `srun`
    (which sets SLURM_STEP_ID) or torchrun started this process among several: then the list is
    empty.
    """
    several = "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    return (
        []
        if processes > 1 and (several or "TORCHELASTIC_RUN_ID" in os.environ)
        else [LightningEnvironment()]
    )
