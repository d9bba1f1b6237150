"""Finish a training: predict with the best weights, calibrate, and write the checkpoint."""

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
from gzfeatures.networks.setup.recipe import LEAST_TO_HALVE, TrainingRecipe
from gzfeatures.networks.training.checkpoint import write_folder
from gzfeatures.networks.training.learner import Diverged, Learner
from gzfeatures.networks.training.processes import is_first
from gzfeatures.unlabelled.familiarity import ROWS


def _half(split: Split, ids: Ids, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a mask of about half of the galaxies; galaxies of one group are in the same half."""
    # a hash decides, so that a galaxy's half does not depend on which other galaxies are present
    keys = (
        f"{seed} group {split.groups[i]}" if i in split.groups else f"{seed} id {i}" for i in ids
    )
    digests = [hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest() for key in keys]
    return np.array([digest[0] % 2 == 0 for digest in digests], bool)


def scoring_part(split: Split, plan: TrainingRecipe, seed: int) -> Ids:
    """Return the validation galaxies to score after each epoch: all of them, or one half.

    If the best epoch is kept, one half chooses it, and the other half calibrates the network. Fewer
    than `LEAST_TO_HALVE` galaxies are not divided.
    """
    # galaxies that choose the best epoch must not calibrate its network: leave the other half for
    # the calibration
    ids = split.validation
    if plan.keep != "best" or len(ids) < LEAST_TO_HALVE:
        return ids
    chosen: Ids = ids[_half(split, ids, seed)]
    return chosen


def references(training: Ids) -> Ids:
    """Return training galaxies to compare new galaxies with (familiarity): all, or every n-th."""
    chosen: Ids = np.sort(training)[:: max(1, len(training) // ROWS)]
    return chosen


@dataclasses.dataclass(eq=False)
class Finish:
    """Predict galaxies with a trained network, calibrate the network, and write its checkpoint.

    Parameters
    ----------
    folder : Path
        Where the checkpoint is written.
    network : nn.Module
        The trained network, into which the best weights are loaded.
    backbone : Backbone
        Description of the network as a backbone.
    labels : Labels
    split : Split
    trained_on : TrainedOn
        Galaxies that the network was trained on.
    settings : dict
        Settings that decided the result of the training.
    inference : Inference
        How probabilities are computed.
    dihedral : bool
        Average predictions over the 8 symmetries of the square.
    references : Ids
        Training galaxies with which predicted galaxies are compared, for familiarity.
    met : Ids
        Validation galaxies that the starting weights were trained on: they are not used for
        calibration.
    calibration : OutputCalibration
        Filled in by `finished`.
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
        """Predict validation and test galaxies with the best weights; calibrate the predictions.

        The calibration uses validation galaxies that did not choose the best epoch.

        Parameters
        ----------
        state : dict
            Best weights and history, as `Learner.resumable` returns them.
        scored : Ids
            Validation and test galaxies.
        device : str
        say : callable
            Shows lines to the user.
        """
        self.network.load_state_dict(state["best"])
        # predict in single precision: half precision only serves to make training faster
        final = dataclasses.replace(self.inference, precision="float32", dihedral=self.dihedral)
        network = self.network.to(device)
        bare, features = final.outputs(network, scored)
        fresh = self._fresh()
        training = final.outputs(network, self.references)[1]
        # calibrate familiarity only on galaxies that are as new to the network as those to predict;
        # galaxies that chose the epoch are not: the network suits their features better
        rows = None if self._chose(fresh) else positions(scored, fresh, where="predictions")
        kept_out = None if rows is None else features[rows]
        # `state` has no history for an ensemble, whose members were trained one by one
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
        # leave out outputs for the second set of labels, which only helped the training
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
        """Return galaxies that neither chose the epoch nor trained the starting weights."""
        # with too few validation galaxies to halve, all of them calibrate the network, although
        # they chose the epoch
        ids = self.split.validation
        if self.settings["recipe"]["keep"] == "best" and len(ids) >= LEAST_TO_HALVE:
            seed = self.settings.get("halving_seed", self.settings["seed"])
            ids = ids[~_half(self.split, ids, seed)]
        fresh: Ids = ids[~among(ids, self.met)]
        return fresh

    def _chose(self, fresh: Ids) -> bool:
        """Return True if the galaxies that calibrate the network also chose its epoch."""
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
    """Save the last good weights after the loss became NaN, and return the error to raise."""
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
