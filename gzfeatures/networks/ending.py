"""Ending: from the weights kept to a checkpoint: predictions, temperature, sets of classes, files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gzfeatures.features.backbones import Backbone
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.ids import Ids
from gzfeatures.galaxies.labels import Labels
from gzfeatures.galaxies.splits import Split
from gzfeatures.networks import cnns
from gzfeatures.networks.checkpoint import write_folder
from gzfeatures.networks.curves import write_curves
from gzfeatures.networks.inference import Inference
from gzfeatures.networks.recipe import Recipe
from gzfeatures.networks.temperature import temperature_of, tempered
from gzfeatures.results.conformal import Conformal
from gzfeatures.results.predictions import Predictions

LEAST_FOR_SETS = 100
"""Validation galaxies under which no sets are promised: a class of a handful would decide them."""
LEAST_TO_HALVE = 40
FOLDS = 5


def _half(split: Split, ids: Ids, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A fair half of galaxies, by the digest of seed and group: galaxies of one group stay together."""
    keys = (f"{seed} group {split.groups[i]}" if i in split.groups else f"{seed} id {i}" for i in ids)
    return np.array([hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0 for key in keys], bool)


def scoring_part(split: Split, plan: Recipe, seed: int) -> Ids:
    """Validation galaxies that are watched: all, or the half that chooses where an epoch is to be chosen."""
    ids = split.validation
    if plan.keep != "best" or len(ids) < LEAST_TO_HALVE:
        return ids
    chosen: Ids = ids[_half(split, ids, seed)]
    return chosen


@dataclasses.dataclass(eq=False)
class Ending:
    """What is left to do once a network is trained.

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
    seen : TrainedOn
        Galaxies it was trained on.
    settings : dict
        What the training depended on.
    inference : Inference
        How probabilities are computed.
    dihedral : bool
        Average predictions over the 8 symmetries of the square.
    temperature : float
        Found by `finished`.
    """

    folder: Path
    network: nn.Module
    backbone: Backbone
    labels: Labels
    split: Split
    seen: TrainedOn
    settings: dict[str, Any]
    inference: Inference
    dihedral: bool
    temperature: float = 1.0
    sets: Conformal | None = None
    calibrated_on: int = 0

    def finished(self, state: dict[str, Any], scored: Ids, device: str, *, say: Callable[[str], object]) -> Predictions:
        """Predictions of the scored galaxies by the weights kept, calibrated by validation galaxies that chose nothing.

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
        final = dataclasses.replace(self.inference, precision="float32", dihedral=self.dihedral)
        bare = final.predictions(self.network.to(device), scored)
        fresh = self._fresh()
        known = bare.select(fresh)
        self.calibrated_on = len(fresh) if bare.kind != "fractions" else 0
        self.temperature = temperature_of(known, self.labels)
        self.sets = None
        said = dataclasses.replace(bare, probabilities=tempered(bare.probabilities, self.temperature, bare.kind))
        if bare.kind == "fractions" or not len(scored):
            return said
        if not len(fresh):
            say("no validation galaxies are left to calibrate on: probabilities are the network's own")
            return said
        text = f"calibrated on {len(fresh)} validation galaxies: temperature {self.temperature:.3g}"
        if bare.kind == "classes" and len(fresh) >= LEAST_FOR_SETS:
            self.sets = Conformal.of(self._left_out(known), self.labels)
            said = dataclasses.replace(said, sets=self.sets.sets(said))
            text += "".join(f"; {note}" for note in self.sets.notes)
        elif bare.kind == "classes":
            text += f"; no sets of classes are promised, for that takes {LEAST_FOR_SETS}"
        say(text)
        return said

    def write(self, state: dict[str, Any]) -> None:
        """Write checkpoint and curves."""
        self._write(state, {"images_seen": state["images"]})
        write_curves(self.folder, state["history"])

    def interrupted(self, state: dict[str, Any]) -> None:
        """Write the weights that were kept so far as a checkpoint; nothing is calibrated."""
        self.network.load_state_dict(state["best"])
        self._write(state, {"images_seen": state["images"], "interrupted": True})

    def _write(self, state: dict[str, Any], more: dict[str, Any]) -> None:
        network, classes = self.network, self.labels.classes
        if self.settings["also"] is not None:
            cnns.keep_outputs(network, len(classes))
        backbone = dataclasses.replace(self.backbone, classes=len(classes), trained_on=self.seen.encode())
        record = {
            **{"classes": list(classes), "scheme": self.labels.scheme},
            **{"metrics": state["history"][state["kept"]], "settings": self.settings, "dihedral": self.dihedral},
            **{"temperature": self.temperature, "calibrated_on": self.calibrated_on},
            "sets": None if self.sets is None else self.sets.asdict(),
        }
        write_folder(self.folder, backbone, network, record | more)

    def _fresh(self) -> Ids:
        """Validation galaxies that chose nothing; too few to halve, all of them: a temperature is not a promise."""
        ids, recipe = self.split.validation, self.settings["recipe"]
        if recipe["keep"] != "best":
            return ids
        return ids if len(ids) < LEAST_TO_HALVE else ids[~_half(self.split, ids, self.settings["seed"])]

    def _left_out(self, known: Predictions) -> Predictions:
        """Each galaxy at the temperature that the others ask for: what sets are promised by has not tuned itself."""
        fold = np.arange(len(known)) % FOLDS
        found = known.probabilities.copy()
        for number in range(FOLDS):
            rest = known.select(known.ids[fold != number])
            here = fold == number
            found[here] = tempered(found[here], temperature_of(rest, self.labels), known.kind)
        return dataclasses.replace(known, probabilities=found)
