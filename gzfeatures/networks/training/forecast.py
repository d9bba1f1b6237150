"""Outlook: what a training will do, said before its first step: blocks, steps, seconds, disk."""

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
from gzfeatures.networks.training.learner import Learner

MARGIN = 50_000_000
"""Bytes that stay free beside what is written."""


def size_text(number: float) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def time_text(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} minutes" if seconds < 5400 else f"{seconds / 3600:.3g} hours"


def pixel_bytes(galaxies: int, view: View, bands: int) -> int:
    """Bytes of a cache of decoded pixels."""
    return galaxies * view.size**2 * bands


def require_room(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

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
    """Bytes of the state written after every epoch: weights, what the optimizer keeps, average, weights to keep."""
    numbers = sum(tensor.numel() for tensor in learner.network.state_dict().values())
    optimizer = {"adamw": 2, "adam": 2, "sgd": 1, "rmsprop": 1}[learner.recipe.optimizer]
    learned = sum(p.numel() for p in learner.network.parameters() if p.requires_grad)
    return int(4 * (numbers * (2 + (learner.average is not None)) + optimizer * learned))


def seconds_a_step(learner: Learner, device: str, precision: str) -> float:
    """Time of one step, measured on a copy of the network; no random number of the training is used.

    The second of two steps counts: the first finds its memory and its kernels.
    """
    frames, recipe = learner.pixels, learner.recipe
    size = min(recipe.batch_size, len(frames.targets))
    network = copy.deepcopy(learner.network).to(device)
    optimizer = recipe.optimizer_of(network)
    half = HALF.get(precision)
    pixels = frames.cache.batch(np.arange(size)).to(device)
    uniforms = torch.rand(size, DRAWS, generator=torch.Generator().manual_seed(0)).to(device)
    targets = torch.from_numpy(frames.targets[:size]).to(device)
    found = 0.0
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
            found = time.perf_counter() - start
            if found > 20:
                break
    return found * recipe.accumulate


def plan_text(
    recipe: TrainingRecipe,
    name: str,
    learner: Learner,
    scored: int,
    step: float,
    epochs_done: int = 0,
) -> str:
    """What the training will do, in one line.

    Parameters
    ----------
    recipe : TrainingRecipe
        Settled.
    name : str
        Of the network.
    learner : Learner
    scored : int
        Validation galaxies, looked at after every epoch.
    step : float
        Seconds.
    epochs_done : int
        Of an earlier training.
    """
    galaxies = len(learner.pixels.targets)
    order = blocks(learner.network)
    learning = recipe.trained_blocks(learner.network)
    per_epoch = max(1, galaxies // recipe.batch_size) * (recipe.passes or 1)
    rounds = (recipe.epochs or 0) - epochs_done
    changes = rounds * -(-per_epoch // recipe.accumulate)
    seconds = rounds * (
        per_epoch * step / recipe.accumulate + 0.35 * step * scored / recipe.batch_size
    )
    first = "" if recipe.recipe != "tune" else "after its output layer was solved, "
    rates = f"{recipe.lr:g}"
    if recipe.lr_decay is not None and recipe.lr_decay < 1 and len(learning) > 1:
        rates += (
            f" down to {recipe.lr * recipe.lr_decay ** (len(learning) - 1):.2g} at the first block"
        )
    kept = {"best": f"epoch of the best {learner.monitor.replace('_', ' ')} is kept"}.get(
        recipe.keep or "", f"last weights are kept{', averaged' if recipe.ema else ''}"
    )
    return (
        f"{recipe.recipe} {name} on {galaxies} galaxies: {first}{len(learning)} of {len(order)} blocks, "
        f"{changes} steps of "
        f"{min(recipe.batch_size, galaxies) * recipe.accumulate} galaxies ({rounds * (recipe.passes or 1)} passes), "
        f"{recipe.optimizer} at {rates}, {recipe.schedule}; the {kept}; "
        f"{time_text(step)} a step, about {time_text(seconds)} in all, "
        f"{size_text(state_bytes(learner))} of state on disk"
    )
