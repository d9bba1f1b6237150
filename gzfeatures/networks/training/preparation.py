"""Prepare a training before its first step: weights, settings, and decoded pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.features.backbones import Backbone
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.votes.votes import Counts
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks import hardware
from gzfeatures.networks.inference.probabilities import Inference, Validation
from gzfeatures.networks.models.blocks import blocks
from gzfeatures.networks.setup.augment import Augmentation
from gzfeatures.networks.setup.best_epoch import monitor_of
from gzfeatures.networks.setup.number_target import settings_of
from gzfeatures.networks.setup.options import TrainingOptions
from gzfeatures.networks.setup.pixel_cache import PixelCache
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.setup.training_targets import TrainingTargets
from gzfeatures.networks.training.display.forecast import pixel_bytes, require_free_bytes, size_text
from gzfeatures.networks.training.finish import references, scoring_part
from gzfeatures.networks.training.initialisation import Initialisation
from gzfeatures.networks.training.resuming import SETTINGS_FORMAT


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingGalaxies:
    """Collect the images, labels and split with which a network is trained and scored.

    Parameters
    ----------
    images : ImageSet
        Images of every galaxy of the split and of `also`.
    labels : Labels
        Labels of every training and validation galaxy.
    split : Split
        Training galaxies; validation galaxies, which choose the epoch and calibrate; test galaxies,
        whose labels are never used.
    counts : Counts, optional
        For the target `counts`: how many volunteers gave each of the 37 answers.
    also : Labels, optional
        Labels of a second target, learned together with the first.
    """

    images: ImageSet
    labels: Labels
    split: Split
    counts: Counts | None = None
    also: Labels | None = None

    @property
    def scored(self) -> Ids:
        """Return the ids of the galaxies to predict: validation galaxies, then test galaxies."""
        ids: Ids = np.concatenate([self.split.validation, self.split.test])
        return ids


@dataclasses.dataclass(frozen=True, eq=False)
class Preparation:
    """Collect what is ready before a network is built: weights, recipe, hardware, decoded images.

    Parameters
    ----------
    galaxies : TrainingGalaxies
    options : TrainingOptions
    initialisation : Initialisation
        Architecture, starting weights, and crop and size of images.
    recipe : TrainingRecipe
        Chosen recipe; numbers that depend on the network's depth are still None.
    training_targets : TrainingTargets
        Training galaxies, and what the network shall predict of each.
    machine : Hardware
        Device and precision.
    augmentation : Augmentation
        Random changes of training images, with the margin that the images allow.
    pixels, exact : PixelCache
        Images with a margin, from which training copies are cut, and images without margin, on
        which the output layer is fitted and the network is scored.
    """

    galaxies: TrainingGalaxies
    options: TrainingOptions
    initialisation: Initialisation
    recipe: TrainingRecipe
    training_targets: TrainingTargets
    machine: hardware.Hardware
    augmentation: Augmentation
    pixels: PixelCache
    exact: PixelCache

    @classmethod
    def of(
        cls,
        galaxies: TrainingGalaxies,
        network: str | Path | Backbone,
        options: TrainingOptions,
        say: Callable[[str], object],
    ) -> Preparation:
        """Find starting weights, choose recipe and hardware, and decode the galaxies' images."""
        # choose the weights before images are decoded, which takes long: weights that were trained
        # on a test galaxy are refused here
        start = Initialisation.of(
            network,
            options.weights,
            len(galaxies.labels.classes),
            options.view,
            galaxies.split,
            galaxies.images,
        )
        if start.hint:
            say(start.hint)
        # the recipe `tune` needs trained weights: with random ones, choose `scratch`
        name = options.recipe or ("scratch" if start.backbone is None else "tune")
        recipe = TrainingRecipe.of({**options.numbers, "epochs": options.epochs}, name)
        training_targets = TrainingTargets.of(
            galaxies.labels,
            galaxies.split,
            recipe,
            target=options.target,
            counts=galaxies.counts,
            also=galaxies.also,
        )
        machine = hardware.choose(options.device, options.precision, "torch")
        # an image that shows a smaller field of the sky has less margin around the network's view:
        # the smallest one limits the margin of all
        field = min(files.reading.field for files in galaxies.images.galaxy_files)
        margin = start.margin(options.augmentation.margin, field)
        augmentation = dataclasses.replace(options.augmentation, margin=margin)
        frames, exact = _pixels(galaxies, training_targets, start, recipe, margin, options, say)
        return cls(
            galaxies, options, start, recipe, training_targets, machine, augmentation, frames, exact
        )

    @property
    def split(self) -> Split:
        """Return the split into training, validation and test galaxies."""
        return self.galaxies.split


def _pixels(
    galaxies: TrainingGalaxies,
    training_targets: TrainingTargets,
    initialisation: Initialisation,
    recipe: TrainingRecipe,
    margin: float,
    options: TrainingOptions,
    say: Callable[[str], object],
) -> tuple[PixelCache, PixelCache]:
    """Decode training images with a margin for rotation, and validation and test images without."""
    scored, images, view = galaxies.scored, galaxies.images, initialisation.view
    # random turns and shifts need training images with a margin. Training images without it serve
    # two purposes: the output layer is fitted to them, and new galaxies are compared with them
    # (familiarity). Training from scratch does not fit the output layer first, so it needs only the
    # images to compare with
    compared = (
        references(training_targets.ids) if recipe.recipe == "scratch" else training_targets.ids
    )
    exact = np.concatenate([compared, scored])
    wide = training_targets.ids if recipe.recipe != "probe" else training_targets.ids[:0]
    frame = initialisation.frame(margin)
    bands = 1 if view.grey else len(view.bands or "rgb")
    needed = pixel_bytes(len(exact), view, bands) + pixel_bytes(len(wide), frame, bands)
    # check the disk space now, not after an hour of decoding
    require_free_bytes(options.scratch, needed)
    count = len(set(exact) | set(wide))
    say(f"pixels of {count} galaxies: {size_text(needed)} in {options.scratch}")
    near = far = None
    if len(exact):
        near = PixelCache.of(images.select(exact), view, options.scratch, progress=options.progress)
    if len(wide):
        far = PixelCache.of(images.select(wide), frame, options.scratch, progress=options.progress)
    if far is None and near is None:
        raise InputError("training galaxies", rule="be at least one", found=0)
    first, second = far or near, near or far
    return first, second  # type: ignore[return-value]  # not both are None


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """Collect a network with its starting weights, recipe, and the galaxies on which it is scored.

    Parameters
    ----------
    module : nn.Module
    backbone : Backbone
        Description of the network as a backbone.
    recipe : TrainingRecipe
        Recipe with every number filled in.
    settings : dict
        Settings that decide the result of the training, as JSON values.
    inference : Inference
        How probabilities are computed.
    watched : Ids
        Validation galaxies that are scored after every epoch.
    score : Validation, optional
        Computes a network's metrics on the watched galaxies; None if there are none.
    """

    module: nn.Module
    backbone: Backbone
    recipe: TrainingRecipe
    settings: dict[str, Any]
    inference: Inference
    watched: Ids
    score: Validation | None

    @classmethod
    def of(cls, ready: Preparation) -> Model:
        """Build the network to train; random weights come from PyTorch's current seed."""
        labels, recipe = ready.galaxies.labels, ready.recipe
        training_targets = ready.training_targets
        # count the columns of the target matrix, not the classes: a second set of labels adds
        # columns
        outputs = training_targets.matrix.shape[1]
        module, backbone = ready.initialisation.network(
            labels.scheme,
            labels.classes,
            outputs,
            ready.pixels.bands,
            aux=recipe.aux_weight > 0,
        )
        recipe = recipe.settled(
            len(training_targets.ids), len(blocks(module)), len(ready.split.validation)
        )
        inference = Inference(
            ready.exact,
            training_targets.target,
            labels.classes,
            backbone.mean,
            backbone.std,
            precision=ready.machine.precision,
        )
        watched = scoring_part(ready.split, recipe, ready.options.halves_by)
        monitor = monitor_of(recipe, training_targets.target.kind)
        score = Validation(inference, labels.select(watched), monitor) if len(watched) else None
        settings = _settings(ready, recipe, backbone)
        # earlier versions compared epochs by the log loss as it is; a training that compares none
        # has equal settings as before, and can be resumed
        compares = recipe.keep == "best" or recipe.patience is not None
        if compares and score is not None and monitor == "log_loss":
            settings["compared"] = "after calibration"
        return cls(module, backbone, recipe, settings, inference, watched, score)


def _settings(ready: Preparation, recipe: TrainingRecipe, backbone: Backbone) -> dict[str, Any]:
    """Return the settings that decide the weights; a training resumes only if all are equal."""
    galaxies, options, start = ready.galaxies, ready.options, ready.initialisation
    # earlier versions stored no `halving_seed`: store it only if it differs from `seed`, so that
    # their trainings still have equal settings, and can be resumed
    halved = {} if options.halves_by == options.seed else {"halving_seed": options.halves_by}
    return {
        **halved,
        **settings_of(ready.training_targets.target),
        "format": SETTINGS_FORMAT,
        "recipe": dataclasses.asdict(recipe),
        "augmentation": dataclasses.asdict(ready.augmentation),
        "seed": options.seed,
        "network": backbone.architecture,
        "weights": start.digest,
        "view": start.view.asdict(),
        # these file names contain a hash of the images: a changed image changes the setting
        "images": fingerprint.of([ready.pixels.path.stem, ready.exact.path.stem]),
        "labels": galaxies.labels.fingerprint,
        "split": galaxies.split.fingerprint,
        "precision": ready.machine.precision,
        "target": options.target or galaxies.labels.target,
        "also": None if galaxies.also is None else galaxies.also.fingerprint,
    }
