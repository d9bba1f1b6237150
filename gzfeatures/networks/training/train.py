"""Train a network on galaxies, all layers or only the output layer, and write a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from gzfeatures.features.backbones import Backbone
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.votes.votes import Counts
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.compilation.compiler_cache import private_compiler
from gzfeatures.networks.setup.batches import TrainingPixels
from gzfeatures.networks.setup.options import TrainingOptions
from gzfeatures.networks.setup.pixel_cache import drop
from gzfeatures.networks.training.checkpoint import STATE, EveryEpoch, Watch, write_state
from gzfeatures.networks.training.display.forecast import plan_text, seconds_a_step
from gzfeatures.networks.training.display.progress_bar import TrainingBar
from gzfeatures.networks.training.finish import Finish, diverged, references
from gzfeatures.networks.training.fitting import LIGHTNING_PRECISION, fit
from gzfeatures.networks.training.learner import Diverged, Learner
from gzfeatures.networks.training.preparation import Model, Preparation, TrainingGalaxies
from gzfeatures.networks.training.probe import Teaching, probe
from gzfeatures.networks.training.processes import is_first, speaker, wait_for_all
from gzfeatures.networks.training.refusals import require_sense
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.resuming import EarlierTraining, earlier
from gzfeatures.progress import handed


def train(
    images: ImageSet,
    labels: Labels,
    split: Split,
    network: str | Path | Backbone = "resnet18",
    options: TrainingOptions | None = None,
    *,
    counts: Counts | None = None,
    also: Labels | None = None,
    watch: Watch | None = None,
    **fields: Any,
) -> Training:
    """Train a network from random weights, fine-tune a trained one, or fit its output layer alone.

    The averaged weights of the last epoch are kept. With a monitor, or with the recipe `tune` and
    at least 40 validation galaxies, those of the best epoch are kept, chosen by a running mean of a
    metric on half of the validation galaxies. The other half then calibrates the network: a
    temperature, and with at least a hundred galaxies the conformal sets of `predict`. With fewer of
    both, `tune` keeps weights between the first and the last (`TrainingRecipe.anchor`).

    Parameters
    ----------
    images : ImageSet
        Images of every galaxy of the split and of `also`.
    labels : Labels
        Labels of every training and validation galaxy.
    split : Split
        Training galaxies; validation galaxies, which choose the epoch and calibrate; test galaxies,
        whose labels are never used.
    network : str, Path or Backbone
        A network of `architectures.NETWORKS`, a classifier of torchvision, a name in `BACKBONES`,
        or a checkpoint folder.
    options : TrainingOptions, optional
        Options of the training; by default made from `fields`.
    counts : Counts, optional
        For the target `counts`: how many volunteers gave each of the 37 answers.
    also : Labels, optional
        Labels of a second target, learned together with the first (`TrainingRecipe.also_weight`),
        such as vote fractions with classes. Galaxies outside the split are trained on too; labels
        of validation and test galaxies are not used.
    watch : callable, optional
        Called after every epoch with the metrics of all epochs so far, when the state is written.
    **fields
        In place of `options`: `folder`, other fields of `TrainingOptions`, and fields of
        `TrainingRecipe`.

    Returns
    -------
    Training

    Raises
    ------
    InputError, UnknownNameError, MissingFileError, WeightsError, OutputError
        An option, name, label, image or weights file is wrong; the folder holds a finished training
        with other settings; GPU memory or disk do not suffice; the loss became NaN (the best
        weights before that are kept).
    LeakError
        The network was already trained on a test galaxy.
    """
    started = time.monotonic()
    options = options or TrainingOptions.of(fields)
    galaxies = TrainingGalaxies(images, labels, split, counts, also)
    # keep the folder for compiled code, which only the user can enter, during the whole training:
    # PyTorch compiles again at the first batch of each new size
    with private_compiler(options.compiled):
        return _training(galaxies, network, options, watch, started)


def _training(
    galaxies: TrainingGalaxies,
    network: str | Path | Backbone,
    options: TrainingOptions,
    watch: Watch | None,
    started: float,
) -> Training:
    """Prepare and run a training, predict with the trained network, and write the checkpoint."""
    say = speaker(options.progress)
    ready = Preparation.of(galaxies, network, options, say)
    # draw from the training's own seed, so that it can be repeated, and leave the caller's random
    # generator unchanged
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = Model.of(ready)
        # look for an earlier training only now, when all settings to compare are known
        before = earlier(
            options.folder,
            model.settings,
            resume=options.resume,
            again=options.again,
            say=say,
        )
        require_sense(
            model.recipe, ready.training_targets, model.module, model.score, ready.initialisation
        )
        history, copies = _begun(ready, model, before, started, say)
        anchor = None if before is None or not before.grows else before.state.get("anchor")
        learner = _learner(ready, model, history, anchor)
        learner.images = copies
        ending = _ending(ready, model)
        state = _trained(ready, model, learner, ending, before, watch, say)
    # predict in every process, because each process returns the predictions
    predictions = ending.finished(state, galaxies.scored, ready.machine.device, say=say)
    # let only one process write, because two would replace each other's files
    first = wait_for_all()
    if first:
        ending.write(state)
        if options.cache is None:
            drop(options.scratch)
    history = state["history"]
    return Training(
        predictions,
        options.folder,
        time.monotonic() - started,
        int(history[-1]["epoch"]),
        history,
        int(history[state["kept"]]["epoch"]),
        first,
        model.recipe,
        state["images"],
        ending.calibration.temperature,
    )


def _begun(
    ready: Preparation,
    model: Model,
    before: EarlierTraining | None,
    started: float,
    say: Callable[[str], object],
) -> tuple[list[dict[str, Any]], int]:
    """Return the metrics of the epochs so far, and the number of images already learned from.

    A training with added epochs starts from the earlier weights. An interrupted training gets its
    state back later, by Lightning. A new training, except from scratch, fits its output layer here.
    """
    if before is not None:
        if not before.grows:
            return [], before.state["images"]
        model.module.load_state_dict(before.state["best"])
        earlier, *others = before.state["history"]
        if (solved := before.state.get("solved")) is not None:
            earlier = {**earlier, "shares": solved}
        return [earlier, *others], before.state["images"]
    if model.recipe.recipe == "scratch":
        return [], 0
    training_targets = ready.training_targets
    teaching = Teaching(
        ready.exact,
        training_targets.ids,
        training_targets.matrix,
        training_targets.target,
        training_targets.class_weights,
        model.recipe.label_smoothing,
        ready.split.groups,
        model.backbone.mean,
        model.backbone.std,
        ready.augmentation.dihedral,
        ready.options.seed,
        ready.machine.precision,
    )
    row = probe(model.module, teaching, ready.machine.device)
    first: dict[str, Any] = {"epoch": 0, **row}
    if model.score is not None:
        first |= model.score(model.module)
    first |= {"lr": 0.0, "seconds": time.monotonic() - started}
    say(
        f"output layer solved on {teaching.copies} views of {len(training_targets.ids)} galaxies: "
        f"loss {row['held_out_loss']:.3f} on galaxies left out"
    )
    # move the network from the device back to the CPU, where Lightning expects it
    model.module.cpu().train()
    return [first], len(training_targets.ids) * teaching.copies


def _learner(
    ready: Preparation,
    model: Model,
    history: list[dict[str, Any]],
    anchor: dict[str, torch.Tensor] | None,
) -> Learner:
    """Return a Lightning module with the network, its loss and its training images."""
    training_targets, seed = ready.training_targets, ready.options.seed
    frames = TrainingPixels(
        ready.pixels,
        training_targets.matrix,
        training_targets.shares,
        model.recipe.batch_size,
        seed,
    )
    return Learner(
        model.module,
        training_targets.target,
        model.recipe,
        ready.augmentation,
        frames,
        model.score,
        class_weights=training_targets.class_weights,
        mean=model.backbone.mean,
        std=model.backbone.std,
        size=ready.initialisation.view.size,
        seed=seed,
        before=history,
        anchor=anchor,
    )


def _ending(ready: Preparation, model: Model) -> Finish:
    """Return an object that will predict with the trained network, calibrate it, and write it."""
    galaxies, options, training = ready.galaxies, ready.options, ready.training_targets.ids
    validation = galaxies.images.select(ready.split.validation)
    # galaxies that the starting weights were trained on must not calibrate the network, which is
    # more certain of them than of new galaxies
    met = ready.split.validation[ready.initialisation.seen_before().among_images(validation)]
    return Finish(
        options.folder,
        model.module,
        model.backbone,
        galaxies.labels,
        galaxies.split,
        ready.initialisation.trained_on(
            galaxies.images.select(training), galaxies.images.select(galaxies.scored)
        ),
        model.settings,
        model.inference,
        options.dihedral,
        references(training),
        met,
    )


def _trained(
    ready: Preparation,
    model: Model,
    learner: Learner,
    ending: Finish,
    before: EarlierTraining | None,
    watch: Watch | None,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Train the network if epochs are left; return its best weights and all epochs' metrics."""
    options = ready.options
    path = options.folder / STATE
    if before is not None and before.finished:
        return before.state
    # the recipe `probe` trains no epochs: its output layer is already fitted
    if model.recipe.recipe == "probe":
        state = learner.resumable()
        write_state(path, {"gzfeatures": state, "settings": model.settings})
        return state
    progress = handed(options.progress)
    if progress.shows:
        say(_plan(ready, model, learner, before))
    # compile in place: `torch.compile` would put a prefix before the names of parameters, under
    # which the weights are stored
    if options.compiled:
        model.module.compile()
    bar = [TrainingBar(progress)] if progress.shows else []
    try:
        return fit(
            learner,
            path,
            before,
            [*bar, EveryEpoch(path, model.settings, watch)],
            devices=options.devices,
            nodes=options.nodes,
            accelerator=ready.machine.device,
            precision=LIGHTNING_PRECISION[ready.machine.precision],
            strategy=options.strategy,
        )
    except Diverged as error:
        raise diverged(error, ending, learner, ready.galaxies.scored, say) from None
    except (KeyboardInterrupt, SystemExit):
        # a training that is interrupted is not lost: write the best weights so far as a checkpoint
        if learner.history and is_first():
            ending.interrupted(learner.resumable())
            epoch = learner.history[learner.kept_row]["epoch"]
            say(f"the weights of epoch {epoch:g} are in {options.folder}: a checkpoint")
        raise


def _plan(
    ready: Preparation, model: Model, learner: Learner, before: EarlierTraining | None
) -> str:
    """Return a line that says what the training will do, and how long, from one timed step."""
    step = seconds_a_step(learner, ready.machine.device, ready.machine.precision)
    done = learner.before
    if before is not None and not before.grows:
        done = int(before.state["history"][-1]["epoch"])
    name, watched = model.backbone.architecture, len(model.watched)
    return plan_text(model.recipe, name, learner, watched, step, done, ready.options.members)
