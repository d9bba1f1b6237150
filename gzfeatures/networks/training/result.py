"""Define what a training returns: predictions, checkpoint folder, and metrics of all epochs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.networks.setup.recipe import TrainingRecipe


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """Collect what a training returns: predictions, checkpoint folder, and metrics of all epochs.

    Parameters
    ----------
    predictions : Predictions
        Calibrated predictions of the validation and test galaxies, from the best weights in
        float32; with conformal sets and familiarity if enough galaxies could calibrate them.
    checkpoint : Path
        Folder with `model.safetensors` and `backbone.json`: a backbone.
    seconds : float
        Wall time of this call; in a resumed training without the time before.
    epochs : int
        Number of trained epochs, with those before resuming; 0 if only the output layer was fitted.
    history : list of dict
        Per epoch: `epoch`, `training_loss`, `lr`, `seconds`, the validation metrics, and for
        classes `per_class` metrics and the `confusion` matrix. In epoch 0, only the output layer is
        fitted.
    best_epoch : int
        Epoch whose weights were kept, from 1; 0 if only the output layer was fitted.
    first : bool
        Whether this process is the first of those that trained together: only the first goes on,
        the others end.
    recipe : TrainingRecipe, optional
        Recipe with every number filled in.
    images_seen : int
        Number of augmented copies that trained the network, and of images that fitted the output
        layer.
    temperature : float
        Temperature that calibrates the probabilities; 1 if no galaxies were left to calibrate on.
    """

    predictions: Predictions
    checkpoint: Path
    seconds: float
    epochs: int
    history: list[dict[str, Any]]
    best_epoch: int
    first: bool = True
    recipe: TrainingRecipe | None = None
    images_seen: int = 0
    temperature: float = 1.0
