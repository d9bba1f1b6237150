"""Hold the result of a training: predictions, checkpoint, and metrics of all epochs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.networks.setup.recipe import TrainingRecipe


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """Hold the result of training a network: predictions, checkpoint, and metrics of all epochs.

    Parameters
    ----------
    predictions : Predictions
        Of the validation and test galaxies, by the weights kept, in float32, calibrated; with sets
        of classes and familiarity where they are promised.
    checkpoint : Path
        Folder with `model.safetensors` and `backbone.json`: a backbone.
    seconds : float
        Wall time of this call; where it resumed, of what was left.
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
        That calibrates the probabilities; 1 where there was nothing to calibrate on.
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
