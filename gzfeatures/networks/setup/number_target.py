"""Define how a network learns to predict one number per galaxy, such as redshift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.networks.setup.targets import TARGETS, Target

KEY = "number"
"""Checkpoint setting with mean and standard deviation of the training galaxies' labels."""


def number_target(labels: Labels) -> tuple[Target, npt.NDArray[np.float32]]:
    """Return a `Target` (loss, and how an output becomes a number) and the standardised labels.

    Parameters
    ----------
    labels : Labels
        Numbers of the training galaxies only; their mean and standard deviation standardise them.

    Returns
    -------
    target : Target
        Target whose logit is the number in standard deviations from the mean.
    matrix : ndarray of float32
        Shape (n, 1).

    Raises
    ------
    InputError
        All training galaxies have the same number.
    """
    values = labels.values
    if values.min() == values.max():
        raise InputError(
            "training galaxies have one number",
            where=f"column {labels.classes[0]}",
            rule="have at least two different ones",
            found=float(values.min()),
        )
    mean, scale = float(values.mean()), float(values.std())
    # subtract in double precision, because single precision cannot resolve numbers near 1e9
    return _scaled(labels.target, mean, scale), ((values - mean) / scale).astype(np.float32)


def target_of_settings(settings: Mapping[str, Any]) -> Target | None:
    """Return the Target (loss, outputs) named by a checkpoint's settings; None for an unknown name.

    Raises
    ------
    InputError
        Mean or standard deviation of a predicted number is missing or no number.
    """
    name = settings.get("target")
    if name not in VALUE_TARGETS:
        return TARGETS.get(str(name))
    numbers = settings.get(KEY)
    valid = isinstance(numbers, Mapping) and all(
        isinstance(numbers.get(part), float) and np.isfinite(numbers[part])
        for part in ("mean", "scale")
    )
    if not valid or not numbers["scale"] > 0:  # type: ignore[index]  # a mapping if valid
        raise InputError(
            "checkpoint of a number",
            rule="hold mean and deviation of its training galaxies",
            found=str(numbers)[:60],
        )
    return _scaled(str(name), numbers["mean"], numbers["scale"])  # type: ignore[index]


def settings_of(target: Target) -> dict[str, Any]:
    """Return the training labels' mean and standard deviation as settings; {} for other targets."""
    if target.kind not in VALUE_TARGETS:
        return {}
    return {KEY: {"mean": target.mean, "scale": target.scale}}


def _scaled(kind: str, mean: float, scale: float) -> Target:
    """Return a `Target` that turns an output z into the predicted number mean + scale · z."""
    return Target(kind, _huber, lambda z: mean + scale * z, kind, False, False, mean, scale)


def _huber(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """Return the mean Huber loss of standardised numbers (δ = 1).

    Quadratic for errors within a standard deviation, linear beyond: a few wrong catalog entries do
    not decide the fit (Huber 1964, doi:10.1214/aoms/1177703732).
    """
    return functional.huber_loss(logits, targets)
