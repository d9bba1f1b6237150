"""Set the learning rate of each block of a network, over the steps of a training.

Blocks near the pixels get a smaller rate than the output layer, and all rates follow one schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from gzfeatures.networks.models.blocks import Block, decayed

WARM_UP = 0.3


def _one_cycle(t: float) -> float:
    """Return the learning-rate factor at share t of a training: from 1/25 up to 1, down to 1e-4.

    Smith & Topin, arXiv:1708.07120.
    """
    if t < WARM_UP:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * t / WARM_UP)) / 2
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (t - WARM_UP) / (1 - WARM_UP))) / 2


def _warm_cosine(t: float) -> float:
    """Return the learning-rate factor at share t of a training: up to 1, then down to 0.

    Loshchilov & Hutter, arXiv:1608.03983.
    """
    return (t + 0.005) / 0.105 if t < 0.1 else (1 + math.cos(math.pi * (t - 0.1) / 0.9)) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {
    "one-cycle": _one_cycle,
    "warm-cosine": _warm_cosine,
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "polynomial": lambda t: math.sqrt(max(0.0, 1 - t)),
    "constant": lambda t: 1.0,
}
"""Factor of the learning rate as a function of the finished share of the training (0…1).

`polynomial` is √(1 − t), as in Caffe's GoogLeNet."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
    "rmsprop": torch.optim.RMSprop,
}
"""Optimizers by name, with all weights updated in one fused operation where possible."""

FIRST_RATE = 0.05
"""Default ratio of the learning rates of the first block and the output layer."""


def decay_per_block(depth: int) -> float:
    """Return the ratio of neighbouring blocks' learning rates: the first gets 1/20 of the last.

    The ratio depends on the number of blocks, so that the first block has the same rate in every
    network (Howard & Ruder 2018, doi:10.18653/v1/P18-1031, take 1/2.6 from layer to layer).

    Parameters
    ----------
    depth : int
        Blocks of the network, the output layer included.

    Examples
    --------
    >>> round(decay_per_block(3) ** 2, 6)
    0.05
    """
    return float(FIRST_RATE ** (1 / max(1, depth - 1)))


def parameter_groups(
    network: nn.Module,
    trained: Sequence[Block],
    *,
    lr: float,
    decay: float | None,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Group the parameters of the trained blocks for an optimizer, each group with a learning rate.

    Parameters
    ----------
    network : Module
    trained : sequence of Block
        The block nearest to the pixels first.
    lr : float
        Rate of the output layer.
    decay : float or None
        Learning rate of a block divided by that of the block after it; None is 1.
    weight_decay : float
        Weight decay of linear, convolution and attention weights; biases and normalisation have
        none.

    Returns
    -------
    list of dict
        Groups as an optimizer of PyTorch takes them, the output layer first.
    """
    parameters, shrunk = dict(network.named_parameters()), decayed(network)
    groups: list[dict[str, Any]] = []
    for depth, block in enumerate(reversed(trained)):
        # count depth from the output, because layers near the pixels should change least
        rate = lr * (1.0 if decay is None else decay) ** depth
        members = [name for name in block.names if name in parameters]
        # two groups per block: biases and normalisation have no weight decay
        for shrinking in (True, False):
            chosen = [parameters[name] for name in members if (name in shrunk) == shrinking]
            if chosen:
                group = {"params": chosen, "lr": rate, "weight_decay": weight_decay * shrinking}
                groups.append(group)
    return groups
