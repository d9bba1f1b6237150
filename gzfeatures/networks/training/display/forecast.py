"""Forecast a training before its first step: blocks, steps, seconds, and bytes on disk."""

from __future__ import annotations

import copy
import shutil
import time
from pathlib import Path

import numpy as np
import torch

from gzfeatures.errors import OutputError
from gzfeatures.images.view import View
from gzfeatures.networks.inference.probabilities import HALF
from gzfeatures.networks.models.blocks import blocks
from gzfeatures.networks.setup.augment import DRAWS
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.training.learner import Learner, freeze_statistics

MARGIN = 50_000_000
"""Bytes on the disk that must stay free."""


def size_text(number: float) -> str:
    """Return a number of bytes as text with a unit.

    Examples
    --------
    >>> size_text(3_210_000)
    '3.21 MB'
    """
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def time_text(seconds: float) -> str:
    """Return a number of seconds as text with a unit.

    Examples
    --------
    >>> time_text(0.123), time_text(600), time_text(7200)
    ('0.12 s', '10 minutes', '2 hours')
    """
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} minutes" if seconds < 5400 else f"{seconds / 3600:.3g} hours"


def pixel_bytes(galaxies: int, view: View, bands: int) -> int:
    """Return the size in bytes of the file that will hold the decoded pixels of all galaxies."""
    return galaxies * view.size**2 * bands


def require_free_bytes(folder: Path, needed: int) -> None:
    """Refuse a training whose decoded pixels exceed the free space on the disk.

    Raises
    ------
    OutputError
        Fewer bytes are free than needed.
    """
    place = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if needed + MARGIN > free:
        raise OutputError(
            f"pixels of the training need {size_text(needed)}",
            where=folder,
            rule="fit the disk",
            found=f"{size_text(free)} free",
            remedy="free space, choose another place with cache=…, or a smaller view",
        )


def state_bytes(learner: Learner) -> int:
    """Return the size in bytes of the training state that is written after every epoch.

    The state has the weights, the numbers that the optimizer stores for each weight, the running
    average of the weights, the weights of the best epoch, and those before the first if the kept
    weights lie between them and the trained ones.
    """
    numbers = sum(tensor.numel() for tensor in learner.network.state_dict().values())
    # the optimizer has a state too: Adam stores two numbers per learned weight, SGD and RMSprop one
    optimizer = {"adamw": 2, "adam": 2, "sgd": 1, "rmsprop": 1}[learner.recipe.optimizer]
    learned = sum(p.numel() for p in learner.network.parameters() if p.requires_grad)
    copies = 2 + (learner.average is not None) + bool(learner.anchor)
    return int(4 * (numbers * copies + optimizer * learned))


def seconds_a_step(learner: Learner, device: str, precision: str) -> float:
    """Measure the seconds that one training step takes, on a copy of the network.

    Two steps run and the second is timed: the first also allocates memory and chooses kernels. The
    random numbers of the training stay untouched.
    """
    frames, recipe = learner.pixels, learner.recipe
    size = min(recipe.batch_size, len(frames.targets))
    network = copy.deepcopy(learner.network).to(device)
    if recipe.batch_statistics == "frozen":
        freeze_statistics(network)
    optimizer = recipe.optimizer_of(network)
    half = HALF.get(precision)
    pixels = frames.cache.batch(np.arange(size)).to(device)
    uniforms = torch.rand(size, DRAWS, generator=torch.Generator().manual_seed(0)).to(device)
    targets = torch.from_numpy(frames.targets[:size]).to(device)
    seconds = 0.0
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):
            start = time.perf_counter()
            images, wanted = learner.on_after_batch_transfer((pixels, targets, uniforms), 0)
            with torch.autocast(device, half or torch.bfloat16, enabled=half is not None):
                outputs = network(images)
            loss = learner.loss_of(outputs, wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            # if the first step takes over 20 s, use its time: allocating memory and choosing
            # kernels are only a small part of it
            if seconds > 20:
                break
    return seconds * recipe.accumulate


def plan_text(
    recipe: TrainingRecipe,
    name: str,
    learner: Learner,
    scored: int,
    step: float,
    epochs_done: int = 0,
    members: int = 1,
) -> str:
    """Return a line on a planned training: trained blocks, steps, learning rates, time, disk space.

    Parameters
    ----------
    recipe : TrainingRecipe
        Recipe with every number filled in.
    name : str
        Name of the network.
    learner : Learner
    scored : int
        Number of validation galaxies, which are scored after every epoch.
    step : float
        Duration of a training step in seconds.
    epochs_done : int
        Number of epochs of an earlier training that is continued.
    members : int
        Number of networks of the ensemble; 1 for a single network.
    """
    galaxies = len(learner.pixels.targets)
    order = blocks(learner.network)
    learning = recipe.trained_blocks(learner.network)
    per_epoch = max(1, galaxies // recipe.batch_size) * (recipe.passes or 1)
    rounds = (recipe.epochs or 0) - epochs_done
    changes = rounds * -(-per_epoch // recipe.accumulate)
    # scoring a galaxy needs only the forward pass, which takes about 0.35 of a training step's time
    seconds = rounds * (
        per_epoch * step / recipe.accumulate + 0.35 * step * scored / recipe.batch_size
    )
    first = "" if recipe.recipe != "tune" else "after its output layer was solved, "
    rates = f"{recipe.lr:g}"
    if recipe.lr_decay is not None and recipe.lr_decay < 1 and len(learning) > 1:
        rates += (
            f" down to {recipe.lr * recipe.lr_decay ** (len(learning) - 1):.2g} at the first block"
        )
    if recipe.keep == "best":
        kept = f"epoch of the best {learner.monitor.replace('_', ' ')} is kept"
    else:
        kept = f"last weights are kept{', averaged' if recipe.ema else ''}"
        if recipe.anchor:
            kept += f", {recipe.anchor:.0%} of the way back to those before the first step"
    per_step = min(recipe.batch_size, galaxies) * recipe.accumulate
    passes = rounds * (recipe.passes or 1)
    state = state_bytes(learner)
    # each member network of an ensemble has a state of its own on disk: print the sum too
    of_all = f" for each of {members} members, {size_text(members * state)} in all"
    of_all = of_all if members > 1 else ""
    return (
        f"{recipe.recipe} {name} on {galaxies} galaxies: {first}"
        f"{len(learning)} of {len(order)} blocks, "
        f"{changes} steps of {per_step} galaxies ({passes} passes), "
        f"{recipe.optimizer} at {rates}, {recipe.schedule}; the {kept}; "
        f"{time_text(step)} a step, about {time_text(seconds)} in all, "
        f"{size_text(state)} of state on disk{of_all}"
    )
