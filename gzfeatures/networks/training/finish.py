"""Finish a training: predict with the kept weights, calibrate, and write the checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import Backbone
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.figures.training_curves import write_curves
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import Ids, among, positions
from gzfeatures.networks.inference.output_calibration import OutputCalibration
from gzfeatures.networks.inference.probabilities import Inference
from gzfeatures.networks.inference.temperature import SOLVED_SPREAD, SPREAD
from gzfeatures.networks.models import architectures
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.training.checkpoint import write_folder
from gzfeatures.networks.training.learner import Diverged, Learner
from gzfeatures.networks.training.processes import is_first
from gzfeatures.unlabelled.familiarity import ROWS

LEAST_TO_HALVE = 40


def _half(split: Split, ids: Ids, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Choose half of the galaxies by a digest of seed and group, which keeps groups together."""
    # use a digest, so that a galaxy's half does not depend on the other galaxies
    keys = (
        f"{seed} group {split.groups[i]}" if i in split.groups else f"{seed} id {i}" for i in ids
    )
    digests = [hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest() for key in keys]
    return np.array([digest[0] % 2 == 0 for digest in digests], bool)


def scoring_part(split: Split, plan: TrainingRecipe, seed: int) -> Ids:
    """Return the validation galaxies scored after each epoch: all, or half of them."""
    # galaxies that select the epoch cannot calibrate its network, so keep the other half for that
    ids = split.validation
    if plan.keep != "best" or len(ids) < LEAST_TO_HALVE:
        return ids
    chosen: Ids = ids[_half(split, ids, seed)]
    return chosen


def references(training: Ids) -> Ids:
    """Return training galaxies that define familiarity: all, or thousands evenly spaced by id."""
    chosen: Ids = np.sort(training)[:: max(1, len(training) // ROWS)]
    return chosen


@dataclasses.dataclass(eq=False)
class Finish:
    """Predict galaxies by a trained network, calibrate it, and write its checkpoint.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    network : nn.Module
        Takes the weights that are kept.
    backbone : Backbone
        What it is.
    labels : Labels
    split : Split
    trained_on : TrainedOn
        Galaxies it was trained on.
    settings : dict
        What the training depended on.
    inference : Inference
        How probabilities are computed.
    dihedral : bool
        Average predictions over the 8 symmetries of the square.
    references : Ids
        Training galaxies that others are compared with.
    met : Ids
        Validation galaxies that the starting weights were trained on: they calibrate nothing.
    calibration : OutputCalibration
        Found by `finished`.
    """

    folder: Path
    network: nn.Module
    backbone: Backbone
    labels: Labels
    split: Split
    trained_on: TrainedOn
    settings: dict[str, Any]
    inference: Inference
    dihedral: bool
    references: Ids = dataclasses.field(default_factory=lambda: np.empty(0, dtype=object))
    met: Ids = dataclasses.field(default_factory=lambda: np.empty(0, dtype=object))
    calibration: OutputCalibration = dataclasses.field(default_factory=OutputCalibration)

    def finished(
        self, state: dict[str, Any], scored: Ids, device: str, *, say: Callable[[str], object]
    ) -> Predictions:
        """Predict the scored galaxies by the kept weights, and calibrate the predictions.

        The calibration uses validation galaxies that did not choose the epoch.

        Parameters
        ----------
        state : dict
            Of the learner.
        scored : Ids
            Validation and test galaxies.
        device : str
        say : callable
            Takes lines for the person.
        """
        self.network.load_state_dict(state["best"])
        # predict in single precision, because half precision serves only the speed of training
        final = dataclasses.replace(self.inference, precision="float32", dihedral=self.dihedral)
        network = self.network.to(device)
        bare, features = final.outputs(network, scored)
        fresh = self._fresh()
        training = final.outputs(network, self.references)[1]
        # galaxies that selected the epoch are more like training galaxies than new galaxies are, so
        # they must not calibrate familiarity
        rows = None if self._chose(fresh) else positions(scored, fresh, where="predictions")
        kept_out = None if rows is None else features[rows]
        # an ensemble has no epochs of its own
        history = state.get("history", [])
        solved = bool(history) and history[state["kept"]]["epoch"] == 0
        self.calibration = OutputCalibration.of(
            bare.select(fresh),
            self.labels,
            kept_out,
            training,
            self.split.groups,
            spread=SOLVED_SPREAD if solved else SPREAD,
        )
        lines = list(self.calibration.notes)
        if bare.is_value:
            intervals = self.calibration.intervals
            if intervals is not None:
                lines = [f"intervals of {len(fresh)} validation galaxies' errors", *lines]
        elif bare.kind != "fractions" and len(fresh):
            temperature = f"temperature {self.calibration.temperature:.3g}"
            lines = [f"calibrated on {len(fresh)} validation galaxies: {temperature}", *lines]
        elif bare.kind != "fractions" and len(scored):
            lines = [
                "no validation galaxies are left to calibrate on: "
                "probabilities are the network's own",
                *lines,
            ]
        if lines and len(scored):
            say("; ".join(lines))
        return self.calibration.applied(bare, features)

    def write(self, state: dict[str, Any]) -> None:
        """Write the checkpoint and the training curves."""
        self._write(state, {"images_seen": state["images"]})
        write_curves(self.folder, state["history"])

    def interrupted(self, state: dict[str, Any]) -> None:
        """Write the best weights of an interrupted training as a checkpoint, uncalibrated."""
        self.network.load_state_dict(state["best"])
        self._write(state, {"images_seen": state["images"], "interrupted": True})

    def _write(self, state: dict[str, Any], more: dict[str, Any]) -> None:
        network, classes = self.network, self.labels.classes
        # leave out the outputs of a second target, which only helped the training
        if self.settings["also"] is not None:
            architectures.keep_outputs(network, len(classes))
        backbone = dataclasses.replace(
            self.backbone, classes=len(classes), trained_on=self.trained_on.encode()
        )
        record = {
            "classes": list(classes),
            "scheme": self.labels.scheme,
            "metrics": state["history"][state["kept"]],
            "settings": self.settings,
            "dihedral": self.dihedral,
            **self.calibration.asdict(),
        }
        write_folder(self.folder, backbone, network, record | more)

    def _fresh(self) -> Ids:
        """Return the validation galaxies that did not select the epoch or train the network."""
        # if there are too few validation galaxies to divide, let all of them calibrate, although
        # they also selected the epoch
        ids = self.split.validation
        if self.settings["recipe"]["keep"] == "best" and len(ids) >= LEAST_TO_HALVE:
            seed = self.settings.get("halving_seed", self.settings["seed"])
            ids = ids[~_half(self.split, ids, seed)]
        fresh: Ids = ids[~among(ids, self.met)]
        return fresh

    def _chose(self, fresh: Ids) -> bool:
        """Return whether the galaxies that calibrate the network also selected its epoch."""
        return (
            len(fresh) > 0
            and self.settings["recipe"]["keep"] == "best"
            and (len(self.split.validation) < LEAST_TO_HALVE)
        )


def diverged(
    error: Diverged,
    ending: Finish,
    learner: Learner,
    scored: Ids,
    say: Callable[[str], object],
) -> InputError:
    """Return the error of a training whose loss became NaN; save the last good weights."""
    kept = "nothing was kept, for no epoch was whole"
    if learner.history and is_first():
        state = learner.resumable()
        ending.finished(state, scored, "cpu", say=say)
        ending.write(state)
        epoch = learner.history[state["kept"]]["epoch"]
        kept = f"the weights of epoch {epoch:g} are kept as a checkpoint"
    slower = learner.recipe.lr / 10
    return InputError(
        f"training diverged: {error}; {kept}",
        where=ending.folder,
        remedy=f"lower the learning rate (--set lr={slower:g}), "
        "or limit the gradient (--set clip=1)",
    )
