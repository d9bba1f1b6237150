"""train(...): a network trained on galaxies, end to end or its output layer alone; its checkpoint is a backbone."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.features.backbones import Backbone
from gzfeatures.galaxies.labels import Labels
from gzfeatures.galaxies.splits import Split
from gzfeatures.galaxies.votes import Counts
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.views import View
from gzfeatures.networks import hardware
from gzfeatures.networks.augment import Augmentation
from gzfeatures.networks.batches import Frames
from gzfeatures.networks.blocks import blocks
from gzfeatures.networks.checkpoint import STATE, EveryEpoch, Watch, write_state
from gzfeatures.networks.ending import Ending, references, scoring_part
from gzfeatures.networks.fitting import LIGHTNING_PRECISION, fit
from gzfeatures.networks.inference import Inference, Validation
from gzfeatures.networks.learner import Diverged, Learner
from gzfeatures.networks.lessons import Lessons
from gzfeatures.networks.outlook import pixel_bytes, plan_text, require_room, seconds_a_step, size_text
from gzfeatures.networks.pixelcache import PixelCache, drop
from gzfeatures.networks.probe import Teaching, probe
from gzfeatures.networks.recipe import Recipe
from gzfeatures.networks.refusals import require_sense
from gzfeatures.networks.resuming import SETTINGS_FORMAT, earlier
from gzfeatures.networks.start import Start
from gzfeatures.networks.trainingbar import TrainingBar
from gzfeatures.results.predictions import Predictions


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """What a training gave.

    Parameters
    ----------
    predictions : Predictions
        Of the validation and test galaxies, by the weights kept, in float32, calibrated; with sets of classes and
        familiarity where they are promised.
    checkpoint : Path
        Folder with `model.safetensors` and `backbone.json`: a backbone.
    seconds : float
        Wall time of this call; where it resumed, of what was left.
    epochs : int
        Epochs trained, those before resuming included; 0 where the output layer alone was solved.
    history : list of dict
        Per epoch: `epoch`, `training_loss`, `lr`, `seconds` and the validation metrics; epoch 0 is the solved output
        layer.
    best_epoch : int
        Epoch whose weights were kept, from 1; 0 for the solved output layer.
    first : bool
        Whether this process is the first of those that trained together: the one to go on, while the others leave.
    recipe : Recipe, optional
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
    history: list[dict[str, float]]
    best_epoch: int
    first: bool = True
    recipe: Recipe | None = None
    images_seen: int = 0
    temperature: float = 1.0


def train(
    images: ImageSet,
    labels: Labels,
    split: Split,
    network: str | Path | Backbone = "resnet18",
    *,
    folder: str | Path,
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
    again: bool = False,
    view: View | None = None,
    weights: str | Path | None = None,
    target: str | None = None,
    counts: Counts | None = None,
    also: Labels | None = None,
    augmentation: Augmentation | Mapping[str, Any] | None = None,
    dihedral: bool = False,
    precision: str = "auto",
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: str = "auto",
    compiled: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    watch: Watch | None = None,
    **numbers: Any,
) -> Training:
    """Train a network end to end, fine-tune one that has weights, or solve its output layer alone.

    The weights kept are the averaged last ones; of a tuned network, or where a monitor is asked for, those of the best
    epoch by a running mean, on half of the validation galaxies. The galaxies that chose nothing calibrate: a
    temperature, and from a hundred on the sets of classes of `predict`.

    Parameters
    ----------
    images : ImageSet
        Holds every galaxy of the split, and of `also`.
    labels : Labels
        Holds every galaxy of the split's training and validation sides.
    split : Split
        Trains on train, watches and calibrates on validation, never looks at the labels of test.
    network : str, Path or Backbone
        A network of `cnns.NETWORKS`, a classifier of torchvision, a name in `BACKBONES`, or a checkpoint folder.
    folder : str or Path
        Where the checkpoint goes, with the state to resume from, `history.json` and `curves.png`.
    recipe : {"probe", "tune", "scratch"}, optional
        See `recipe.RECIPES`; by default tune where there are weights to start from, else scratch.
    epochs : int, optional
        At most; by default as many as the number of galaxies asks (`Recipe.settled`).
    seed : int
        Decides weights, order, augmentation and dropout: on a CPU, the same seed gives the same weights.
    resume : bool
        Insist on going on from the last whole epoch in `folder`, if there is one: other settings are an error. An
        unfinished training of the same settings goes on in any case; on a CPU the result is the same to the bit.
    again : bool
        Train anew, whatever the folder holds.
    view : View, optional
        Pixels the network sees; default the backbone's or network's own.
    weights : str or Path, optional
        File to start from, or "own" for the backbone's own; by default a checkpoint folder starts from its weights
        and a name from a random start, which is said. The output layer starts anew, unless the weights are those of a
        checkpoint with the same classes.
    target : str, optional
        Entry of `targets.TARGETS`; default the kind of the labels.
    counts : Counts, optional
        For the target `counts`: how many volunteers gave each of the 37 answers.
    also : Labels, optional
        Second target, learned beside the first for the galaxies it knows (`Recipe.also_weight`), such as vote fractions
        beside classes. Its galaxies on no side of the split train too; those of validation and test are not used.
    augmentation : Augmentation or mapping, optional
        What may happen to training galaxies, or its fields; default `Augmentation()`.
    dihedral : bool
        Average the returned predictions over the 8 symmetries of the square.
    precision, device : str
        As `hardware.choose`; weights are float32 in any case.
    devices, nodes : int
    strategy : str
        Processes and machines, as Lightning names them ("ddp", "ddp_spawn", …).
    compiled : bool
        Compile the network (torch.compile): pays on CUDA in long trainings, not on CPUs.
    cache : str or Path, optional
        Folder of decoded pixels, to share among trainings; by default one in `folder`, removed at the end.
    progress : bool
        Say on stderr what will be done before the first step, and draw progress.
    watch : callable, optional
        Takes the history so far after every epoch, once its state is written.
    **numbers
        Fields of `Recipe`.

    Returns
    -------
    Training

    Raises
    ------
    InputError, UnknownNameError, MissingFileError, WeightsError, OutputError
        An option, name, label, image or weights file is not right; the folder holds a finished training of other
        settings; GPU memory or disk do not suffice; the loss became NaN (the best weights before are kept).
    LeakError
        The network was already trained on a test galaxy.
    """
    started = time.monotonic()
    folder = Path(folder)
    say = _speaker(progress)
    start = Start.of(network, weights, len(labels.classes), view, split, images)
    if start.hint:
        say(start.hint)
    name = recipe or ("scratch" if start.backbone is None else "tune")
    plan = Recipe.of({**numbers, "epochs": epochs}, name)
    if not isinstance(augmentation, Augmentation):
        augmentation = Augmentation.of(augmentation or {})
    lessons = Lessons.of(labels, split, plan, target=target, counts=counts, also=also)
    machine = hardware.choose(device, precision, "torch")
    margin = start.margin(augmentation.margin, min(shelf.reading.field for shelf in images.shelves))
    augmentation = dataclasses.replace(augmentation, margin=margin)
    scratch = Path(cache) if cache is not None else folder / "pixels"
    frames, exact = _pixels(images, lessons, split, start, plan, margin, scratch, say=say, progress=progress)
    scored = np.concatenate([split.validation, split.test])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        outputs, aux = lessons.matrix.shape[1], plan.aux_weight > 0
        module, backbone = start.network(labels.scheme, labels.classes, outputs, frames.bands, aux=aux)
        plan = plan.settled(len(lessons.ids), len(blocks(module)))
        settings = {
            **{"format": SETTINGS_FORMAT, "recipe": dataclasses.asdict(plan)},
            **{"augmentation": dataclasses.asdict(augmentation), "seed": seed},
            **{"network": backbone.architecture, "weights": start.digest, "view": start.view.asdict()},
            "images": fingerprint.of([frames.path.stem, exact.path.stem]),  # named by the images' bytes
            **{"labels": labels.fingerprint, "split": split.fingerprint, "precision": machine.precision},
            **{"target": target or labels.target, "also": None if also is None else also.fingerprint},
        }
        before = earlier(folder, settings, resume=resume, again=again, say=say)
        inference = Inference(
            exact, lessons.target, labels.classes, backbone.mean, backbone.std, precision=machine.precision
        )
        watched = scoring_part(split, plan, seed)
        score = Validation(inference, labels.select(watched)) if len(watched) else None
        require_sense(plan, lessons, module, score, start)
        history: list[dict[str, float]] = []
        solved = 0
        if before is not None and before.grows:
            module.load_state_dict(before.state["best"])
            history = before.state["history"]
        elif before is None and plan.recipe != "scratch":
            teaching = Teaching(
                exact, lessons.ids, lessons.matrix, lessons.target, lessons.class_weights, plan.label_smoothing,
                split.groups, backbone.mean, backbone.std, augmentation.dihedral, seed, machine.precision,
            )  # fmt: skip
            row = probe(module, teaching, machine.device)
            solved = len(lessons.ids) * teaching.copies
            history = [{"epoch": 0, **row, **({} if score is None else score(module)), "lr": 0.0}]
            history[0]["seconds"] = time.monotonic() - started
            say(
                f"output layer solved on {teaching.copies} views of {len(lessons.ids)} galaxies: loss "
                f"{row['held_out_loss']:.3f} on galaxies left out"
            )
            module.cpu().train()
        learner = Learner(
            module,
            lessons.target,
            plan,
            augmentation,
            Frames(frames, lessons.matrix, lessons.shares, plan.batch_size, seed),
            score,
            class_weights=lessons.class_weights,
            mean=backbone.mean,
            std=backbone.std,
            size=start.view.size,
            seed=seed,
            before=history,
        )
        learner.images = solved if before is None else before.state["images"]
        seen = start.seen(images.select(lessons.ids), images.select(scored))
        met = split.validation[start.seen_before().among_images(images.select(split.validation))]
        ending = Ending(
            folder, module, backbone, labels, split, seen, settings, inference, dihedral, references(lessons.ids), met
        )
        state = None if before is None or not before.finished else before.state
        if state is None and plan.recipe == "probe":
            state = learner.state()
            write_state(folder / STATE, {"gzfeatures": state, "settings": settings})
        if state is None:
            if progress:
                step = seconds_a_step(learner, machine.device, machine.precision)
                done = learner.before if before is None or before.grows else int(before.state["history"][-1]["epoch"])
                say(plan_text(plan, backbone.architecture, learner, len(watched), step, done))
            if compiled:
                module.compile()
            try:
                state = fit(
                    learner,
                    folder / STATE,
                    before,
                    [*([TrainingBar()] if progress else []), EveryEpoch(folder / STATE, settings, watch)],
                    devices=devices,
                    nodes=nodes,
                    accelerator=machine.device,
                    precision=LIGHTNING_PRECISION[machine.precision],
                    strategy=strategy,
                )
            except Diverged as error:
                raise _diverged(error, ending, learner, scored, folder, say) from None
            except (KeyboardInterrupt, SystemExit):
                if learner.history and _first():
                    ending.interrupted(learner.state())
                    say(
                        f"the weights of epoch {learner.history[learner.kept]['epoch']:g} are in {folder}: a checkpoint"
                    )
                raise
    predictions = ending.finished(state, scored, machine.device, say=say)
    # under strategies that run the caller's script in every process, all come here
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together:
        torch.distributed.barrier()
    first = not together or torch.distributed.get_rank() == 0
    if first:
        ending.write(state)
        if cache is None:
            drop(scratch)
    history = state["history"]
    return Training(
        predictions, folder, time.monotonic() - started, int(history[-1]["epoch"]), history,
        int(history[state["kept"]]["epoch"]), first, plan, state["images"], ending.calibration.temperature,
    )  # fmt: skip


def _first() -> bool:
    """Whether this process is the first, or the only one, of a training."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def _speaker(progress: bool) -> Callable[[str], object]:
    """Takes lines for the person; silent without progress, and in all processes but the first."""
    if progress and _first():
        return lambda text: print(text, file=sys.stderr, flush=True)
    return lambda text: None


def _pixels(
    images: ImageSet,
    lessons: Lessons,
    split: Split,
    start: Start,
    plan: Recipe,
    margin: float,
    scratch: Path,
    *,
    say: Callable[[str], object],
    progress: bool,
) -> tuple[PixelCache, PixelCache]:
    """Frames that training copies are cut from, and the exact views of what is scored, or solved on."""
    scored = np.concatenate([split.validation, split.test])
    compared = references(lessons.ids) if plan.recipe == "scratch" else lessons.ids
    exact = np.concatenate([compared, scored])
    wide = lessons.ids if plan.recipe != "probe" else lessons.ids[:0]
    bands = 1 if start.view.grey else len(start.view.bands or "rgb")
    needed = pixel_bytes(len(exact), start.view, bands) + pixel_bytes(len(wide), start.frame(margin), bands)
    require_room(scratch, needed)
    say(f"pixels of {len(set(exact) | set(wide))} galaxies: {size_text(needed)} in {scratch}")
    near = PixelCache.of(images.select(exact), start.view, scratch, progress=progress) if len(exact) else None
    far = PixelCache.of(images.select(wide), start.frame(margin), scratch, progress=progress) if len(wide) else None
    if far is None and near is None:
        raise InputError("training galaxies", rule="be at least one", found=0)
    first, second = far or near, near or far
    return first, second  # type: ignore[return-value]  # one of them is there


def _diverged(
    error: Diverged, ending: Ending, learner: Learner, scored: Any, folder: Path, say: Callable[[str], object]
) -> InputError:
    """What is said of a training whose loss became NaN; the weights before are kept as a checkpoint."""
    kept = "nothing was kept, for no epoch was whole"
    if learner.history and _first():
        state = learner.state()
        ending.finished(state, scored, "cpu", say=say)
        ending.write(state)
        kept = f"the weights of epoch {learner.history[state['kept']]['epoch']:g} are kept as a checkpoint"
    slower = learner.recipe.lr / 10
    return InputError(
        f"training diverged: {error}; {kept}",
        where=folder,
        remedy=f"lower the learning rate (--set lr={slower:g}), or limit the gradient (--set clip=1)",
    )
