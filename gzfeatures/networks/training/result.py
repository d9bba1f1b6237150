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
        Of the validation and test galaxies, from the kept weights in float32, calibrated; with
        conformal sets and familiarity where there were enough galaxies to calibrate them.
    checkpoint : Path
        Folder with `model.safetensors` and `backbone.json`: a backbone.
    seconds : float
        Wall time of this call; in a resumed training without the time before.
    epochs : int
        Epochs trained, those before resuming included; 0 where the output layer alone was solved.
    history : list of dict
        Per epoch: `epoch`, `training_loss`, `lr`, `seconds`, the validation metrics, and where the
        labels have them `per_class` figures and the `confusion` matrix; epoch 0 is the solved
        output layer.
    best_epoch : int
        Epoch whose weights were kept, from 1; 0 for the solved output layer.
    first : bool
        Whether this process is the first of those that trained together: the one to go on, while
        the others leave.
    recipe : TrainingRecipe, optional
        With every number filled in.
    images_seen : int
        Augmented copies, and vectors of the solved output layer, that were learned from.
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
