"""Train networks of several seeds, and join them into an ensemble that predicts their mean."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import RECORD, Backbone, backbone
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import read_sidecar
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.networks.hardware import choose
from gzfeatures.networks.inference.output_calibration import calibration_of
from gzfeatures.networks.inference.probabilities import Inference
from gzfeatures.networks.models.ensemble import NetworkEnsemble, member_layer
from gzfeatures.networks.models.load import load
from gzfeatures.networks.setup.options import TrainingOptions
from gzfeatures.networks.setup.pixel_cache import PixelCache, drop
from gzfeatures.networks.setup.targets import TARGETS
from gzfeatures.networks.training.checkpoint import STATE, write_folder
from gzfeatures.networks.training.finish import Finish, references
from gzfeatures.networks.training.initialisation import seen_by
from gzfeatures.networks.training.preparation import TrainingGalaxies
from gzfeatures.networks.training.processes import speaker
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.train import train

FOLDER = "members"
"""Name of the subfolder of an ensemble's folder that holds the members' checkpoints."""
LINK_OF = {
    "classes": "softmax",
    "soft-classes": "softmax",
    "multi-label": "sigmoid",
    "sigmoid-fractions": "sigmoid",
}
"""Targets that an ensemble can average, with the function from logits to probabilities."""


@dataclasses.dataclass(frozen=True, eq=False)
class JoinedTraining:
    """Collect the result of an ensemble's training: predictions, checkpoint folder, member results.

    Parameters
    ----------
    predictions : Predictions
        Predictions of the validation and test galaxies: the mean of the members' calibrated
        probabilities, calibrated again.
    checkpoint : Path
        Folder with `model.safetensors` and `backbone.json`: a backbone.
    members : tuple of Training
        Results of the members, in the order of their seeds.
    seconds : float
        Wall time of this call.
    temperature : float
        Temperature that calibrates the mean.
    """

    predictions: Predictions
    checkpoint: Path
    members: tuple[Training, ...]
    seconds: float
    temperature: float


def train_members(
    galaxies: TrainingGalaxies,
    network: str | Path | Backbone,
    options: TrainingOptions,
    members: int,
    train_one: Callable[[TrainingOptions], Training] | None = None,
) -> JoinedTraining | Training:
    """Train a network once with each of several seeds, and join the results into an ensemble.

    Each member is trained like a single network, in a folder of its own. An interrupted member is
    continued, a finished one is read from disk.

    Parameters
    ----------
    galaxies : TrainingGalaxies
        Galaxies that all members are trained and scored on.
    network, options
        As for `train`; the first member has the seed of the options, each next one a seed larger by
        1.
    members : int
        Number of networks, at least 2.
    train_one : callable, optional
        Function that trains a member with given options, in place of `train`, for instance to
        record the training as well.

    Returns
    -------
    JoinedTraining
        Or the last member's `Training`, in processes other than the first.

    Raises
    ------
    InputError
        Fewer than two members; a target whose mean cannot be written as logits; the folder holds
        the training of a single network.
    GzError
        As `train`.
    """
    started = time.monotonic()
    _require_members(galaxies, options, members)

    def plainly(member: TrainingOptions) -> Training:
        return train(
            galaxies.images,
            galaxies.labels,
            galaxies.split,
            network,
            member,
            counts=galaxies.counts,
            also=galaxies.also,
        )

    trained = [
        (train_one or plainly)(dataclasses.replace(member_options(options, seed), members=members))
        for seed in range(options.seed, options.seed + members)
    ]
    if not trained[-1].first:
        return trained[-1]
    places = [each.checkpoint for each in trained]
    predictions, temperature = join(galaxies, network, places, options)
    if options.cache is None:
        drop(options.scratch)
    seconds = time.monotonic() - started
    return JoinedTraining(predictions, options.folder, tuple(trained), seconds, temperature)


def member_options(options: TrainingOptions, seed: int) -> TrainingOptions:
    """Return an ensemble member's options: its seed and folder, and the common decoded pixels."""
    return dataclasses.replace(
        options,
        folder=options.folder / FOLDER / f"seed-{seed}",
        seed=seed,
        halving_seed=options.halves_by,
        cache=options.scratch,
    )


def join(
    galaxies: TrainingGalaxies,
    network: str | Path | Backbone,
    places: Sequence[Path],
    options: TrainingOptions,
) -> tuple[Predictions, float]:
    """Join trained networks into an ensemble's checkpoint, and calibrate their mean prediction.

    Parameters
    ----------
    galaxies : TrainingGalaxies
        Galaxies that all members were trained and scored on.
    network : str, Path or Backbone
        Network and weights that the members started from.
    places : sequence of Path
        Checkpoint folders of the members, which share one split, and one half of the validation
        galaxies that chose their epochs.
    options : TrainingOptions
        Options of the ensemble, of which folder, weights, device, symmetries and pixel cache are
        used.

    Returns
    -------
    Predictions
        Calibrated predictions of the validation and test galaxies.
    float
        Temperature that calibrates the mean.
    """
    spec, ensemble, settings = _joined_network(places)
    training = references(galaxies.split.train)
    scored = galaxies.scored
    machine = choose(options.device, "float32").device
    pixels = PixelCache.of(
        galaxies.images.select(np.concatenate([training, scored])),
        spec.view,
        options.scratch,
        progress=options.progress,
    )
    # galaxies that the starting weights were trained on must not calibrate the ensemble
    validation = galaxies.images.select(galaxies.split.validation)
    met = seen_by(network, validation, options.weights)
    inference = Inference(
        pixels, TARGETS[settings["target"]], galaxies.labels.classes, spec.mean, spec.std
    )
    ending = Finish(
        options.folder,
        ensemble,
        spec,
        galaxies.labels,
        galaxies.split,
        TrainedOn.decode(str(spec.trained_on)),
        settings,
        inference,
        options.dihedral,
        training,
        met,
    )
    # all members split the validation galaxies into the same two halves: the half that chose no
    # member's epoch calibrates the ensemble
    predictions = ending.finished(
        {"best": ensemble.state_dict()}, scored, machine, say=speaker(options.progress)
    )
    _write(ending, places)
    return predictions, ending.calibration.temperature


def _joined_network(places: Sequence[Path]) -> tuple[Backbone, NetworkEnsemble, dict[str, Any]]:
    """Join the networks of checkpoints into an ensemble; return backbone, network and settings."""
    specs = [backbone(place) for place in places]
    settings = dict(read_sidecar(places[0] / RECORD)["settings"])
    # divide each member's logits by its own temperature, so that no member is overconfident
    temperatures = [calibration_of(place).temperature for place in places]
    link = require_mean(settings["target"])
    ensemble = NetworkEnsemble([load(spec) for spec in specs], link, temperatures)
    first = specs[0]
    record = TrainedOn.joined([spec.trained_on for spec in specs])
    spec = dataclasses.replace(
        first,
        name=f"{first.name}-x{len(specs)}",
        layer=member_layer(first.layer, len(specs)),
        dim=len(specs) * first.dim,
        weights=None,
        sha256="",
        members=len(specs),
        link=link,
        trained_on=record.encode(),
    )
    return spec, ensemble.eval(), settings


def _write(ending: Finish, places: Sequence[Path]) -> None:
    """Write an ensemble's checkpoint, with folder, seed and weights' sha256 of each member."""
    records = [json.loads((place / RECORD).read_text("utf-8")) for place in places]
    seeds = [record["settings"]["seed"] for record in records]
    record = {
        "classes": list(ending.labels.classes),
        "scheme": ending.labels.scheme,
        # write all seeds as a list: with one seed, the ensemble would be taken for a single
        # training in the same folder
        "settings": ending.settings | {"seed": seeds},
        "dihedral": ending.dihedral,
        "members": [
            {"folder": place.name, "seed": seed, "weights_sha256": each["weights_sha256"]}
            for place, seed, each in zip(places, seeds, records, strict=True)
        ],
        **ending.calibration.asdict(),
    }
    write_folder(ending.folder, ending.backbone, ending.network, record)


def require_mean(target: str) -> str:
    """Return "softmax" or "sigmoid", the function whose values an ensemble averages.

    Raises
    ------
    InputError
        The mean of such predictions cannot be written as logits.
    """
    if target in (*TARGETS, *VALUE_TARGETS) and target not in LINK_OF:
        raise InputError(
            "members of an ensemble",
            where=f"target {target}",
            rule=f"learn one of {', '.join(LINK_OF)}",
            found=target,
            remedy="choose such a target (sigmoid-fractions for vote fractions), "
            "or train single networks",
        )
    return LINK_OF.get(target, "softmax")


def _require_members(galaxies: TrainingGalaxies, options: TrainingOptions, members: int) -> None:
    """Refuse fewer than 2 members, targets without a mean, and the folder of a single network."""
    if members < 2:
        raise InputError("members of an ensemble", rule="be at least 2", found=members)
    require_mean(options.target or galaxies.labels.target)
    single = options.folder / STATE
    if single.exists() and not options.again:
        raise InputError(
            "folder holds the training of a single network",
            where=single,
            rule="hold an ensemble's members, or nothing",
            remedy="choose another folder, or replace it with --again",
        )
