"""Refuse a training with contradictory settings, before its first step."""

from __future__ import annotations

import numpy as np
from torch import nn

from gzfeatures.errors import InputError, unknown
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.networks._compat_torch import BATCH_NORMS
from gzfeatures.networks.inference.probabilities import Validation
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.setup.training_targets import TrainingTargets
from gzfeatures.networks.training.initialisation import Initialisation


def require_sense(
    plan: TrainingRecipe,
    training_targets: TrainingTargets,
    network: nn.Module,
    score: Validation | None,
    initialisation: Initialisation,
) -> None:
    """Refuse a recipe that does not suit the starting weights, the targets or the galaxies.

    Raises
    ------
    InputError, UnknownNameError
        The recipe needs trained weights and has none; batches have one galaxy, but the network uses
        batch normalisation; labels of vote fractions shall be smoothed; the monitor is no metric of
        these labels; `monitor` or `patience` is set without validation galaxies.
    """
    if plan.recipe != "scratch" and initialisation.backbone is None:
        raise InputError(
            f"recipe {plan.recipe}",
            where=initialisation.architecture,
            rule="have weights to start from",
            found="a random start",
            remedy="name them with --weights (own or a file), or choose --recipe scratch",
        )
    _require_pairs(plan, training_targets, network)
    if plan.label_smoothing and not training_targets.target.smooths:
        raise InputError(
            "recipe label_smoothing",
            where="target of vote fractions or counts",
            rule="be 0: they are shares of volunteers already",
            found=plan.label_smoothing,
        )
    if plan.keep == "best" or plan.patience is not None or plan.monitor is not None:
        _require_monitor(plan, score)


def _require_pairs(
    plan: TrainingRecipe, training_targets: TrainingTargets, network: nn.Module
) -> None:
    """Refuse batches of one galaxy if a trained layer normalises over the galaxies of a batch."""
    stored = plan.recipe == "probe" or plan.batch_statistics == "frozen"
    if stored or min(plan.batch_size, len(training_targets.ids)) > 1:
        return
    # look for batch norms only in trained blocks: those in frozen blocks use stored means and
    # variances, which exist also for a batch of one galaxy
    learning = [module for block in plan.trained_blocks(network) for module in block.modules]
    if any(isinstance(part, BATCH_NORMS) for module in learning for part in module.modules()):
        raise InputError(
            "recipe batch_size" if len(training_targets.ids) > 1 else "training galaxies",
            rule="be at least 2: this network normalises over the galaxies of a step",
            found=min(plan.batch_size, len(training_targets.ids)),
            remedy="set batch_size=2 with accumulate, or freeze its blocks with unfreeze=0"
            if len(training_targets.ids) > 1
            else "label more galaxies",
        )


def _require_monitor(plan: TrainingRecipe, score: Validation | None) -> None:
    if score is None:
        if plan.monitor is not None or plan.patience is not None:
            raise InputError(
                "monitor or patience",
                rule="have validation galaxies to watch",
                found="none",
                remedy="leave them out",
            )
        return
    if plan.monitor is None:
        return
    labels = score.labels
    # evaluate equal probabilities, only to learn which metrics these labels allow
    flat = np.full((len(labels), len(labels.classes)), 1 / len(labels.classes))
    kind = score.inference.target.kind
    metrics = evaluate(
        Predictions(labels.ids, flat, labels.classes, kind), labels, intervals=0
    ).metrics
    if plan.monitor not in metrics:
        raise unknown(f"monitor of {kind}", plan.monitor, tuple(metrics))
