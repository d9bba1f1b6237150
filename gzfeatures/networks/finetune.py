"""train(...): a network trained end to end on galaxies; its checkpoint is a backbone."""

from __future__ import annotations

import dataclasses
import logging
import signal
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
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
from gzfeatures.networks import cnns, hardware
from gzfeatures.networks.augment import Augmentation
from gzfeatures.networks.batches import Frames
from gzfeatures.networks.checkpoint import STATE, EveryEpoch, Watch, WholeFiles, read_state, write_folder
from gzfeatures.networks.curves import write_curves
from gzfeatures.networks.inference import Inference, Validation
from gzfeatures.networks.learner import Learner
from gzfeatures.networks.lessons import Lessons
from gzfeatures.networks.pixelcache import PixelCache, drop
from gzfeatures.networks.recipe import Recipe
from gzfeatures.networks.start import Start
from gzfeatures.networks.trainingbar import TrainingBar
from gzfeatures.results.predictions import Predictions

LIGHTNING_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """What a training gave.

    Parameters
    ----------
    predictions : Predictions
        Of the validation and test galaxies, by the weights of the best epoch, in float32.
    checkpoint : Path
        Folder with `model.safetensors` and `backbone.json`: a backbone.
    seconds : float
        Wall time of this call; where it resumed, of what was left.
    epochs : int
        Epochs trained, those before resuming included.
    history : list of dict
        Per epoch: `epoch`, `training_loss`, `lr`, `seconds` and the validation metrics.
    best_epoch : int
        Epoch whose weights were kept, from 1.
    first : bool
        Whether this process is the first of those that trained together: the one to go on, while the others leave.
    """

    predictions: Predictions
    checkpoint: Path
    seconds: float
    epochs: int
    history: list[dict[str, float]]
    best_epoch: int
    first: bool = True


def train(
    images: ImageSet,
    labels: Labels,
    split: Split,
    network: str | Path | Backbone = "resnet18",
    *,
    folder: str | Path,
    epochs: int = 20,
    seed: int = 0,
    resume: bool = False,
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
    **recipe: Any,
) -> Training:
    """Train a network end to end, or fine-tune one that has weights.

    Parameters
    ----------
    images : ImageSet
        Holds every galaxy of the split, and of `also`.
    labels : Labels
        Holds every galaxy of the split's training and validation sides.
    split : Split
        Trains on train, chooses the epoch on validation, never looks at the labels of test.
    network : str, Path or Backbone
        A network of `cnns.NETWORKS`, a classifier of torchvision, a name in `BACKBONES`, or a checkpoint folder.
    folder : str or Path
        Where the checkpoint goes, with the state to resume from, `history.json` and `curves.png`.
    epochs : int
        Passes over the training galaxies, at most.
    seed : int
        Decides weights, order, augmentation and dropout: on a CPU, the same seed gives the same weights.
    resume : bool
        Go on from the last whole epoch in `folder`, if there is one; on a CPU the result is the same to the bit.
    view : View, optional
        Pixels the network sees; default the backbone's or network's own.
    weights : str or Path, optional
        File to start from, or "own" for the backbone's own; by default a checkpoint folder starts from its weights
        and a name from a random start. The output layer always starts anew.
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
        Draw progress on stderr.
    watch : callable, optional
        Takes the history so far after every epoch, once its state is written.
    **recipe
        Fields of `Recipe`.

    Returns
    -------
    Training

    Raises
    ------
    InputError, UnknownNameError, MissingFileError, WeightsError, OutputError
        An option, name, label, image or weights file is not right; the resumed training had other settings; GPU
        memory does not suffice (with the batch size to try).
    LeakError
        The network was already trained on a test galaxy.
    """
    started = time.monotonic()
    folder = Path(folder)
    plan = Recipe.of({**recipe, "epochs": epochs})
    if not isinstance(augmentation, Augmentation):
        augmentation = Augmentation.of(augmentation or {})
    lessons = Lessons.of(labels, split, plan, target=target, counts=counts, also=also)
    machine = hardware.choose(device, precision, "torch")
    start = Start.of(network, weights, len(labels.classes), view, split, images)
    margin = start.margin(augmentation.margin, min(shelf.reading.field for shelf in images.shelves))
    augmentation = dataclasses.replace(augmentation, margin=margin)
    scratch = Path(cache) if cache is not None else folder / "pixels"
    frames = PixelCache.of(images.select(lessons.ids), start.frame(margin), scratch, progress=progress)
    scored = np.concatenate([split.validation, split.test])
    exact = PixelCache.of(images.select(scored), start.view, scratch, progress=progress) if len(scored) else frames
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, backbone = start.network(labels.scheme, lessons.matrix.shape[1], frames.bands, aux=plan.aux_weight > 0)
        settings = {
            **{"recipe": dataclasses.asdict(plan), "augmentation": dataclasses.asdict(augmentation), "seed": seed},
            **{"network": backbone.architecture, "weights": start.digest, "view": start.view.asdict()},
            "images": fingerprint.of([frames.path.stem, exact.path.stem]),  # named by the images' bytes
            **{"labels": labels.fingerprint, "split": split.fingerprint, "precision": machine.precision},
            **{"target": target or labels.target, "also": None if also is None else also.fingerprint},
        }
        inference = Inference(
            exact, lessons.target, labels.classes, backbone.mean, backbone.std, precision=machine.precision
        )
        learner = Learner(
            module,
            lessons.target,
            plan,
            augmentation,
            Frames(frames, lessons.matrix, lessons.shares, plan.batch_size, seed),
            Validation(inference, labels.select(split.validation)) if len(split.validation) else None,
            class_weights=lessons.class_weights,
            mean=backbone.mean,
            std=backbone.std,
            size=start.view.size,
            seed=seed,
        )
        if compiled:
            module.compile()
        state = _fit(
            learner,
            folder / STATE,
            settings,
            resume,
            callbacks=[*([TrainingBar()] if progress else []), EveryEpoch(folder / STATE, settings, watch)],
            accelerator=machine.device,
            precision=LIGHTNING_PRECISION[machine.precision],
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
        )
    module.load_state_dict(state["best"])
    final = dataclasses.replace(inference, precision="float32", dihedral=dihedral)
    predictions = final.predictions(module.to(machine.device), scored)
    if also is not None:
        cnns.keep_outputs(module, len(labels.classes))
    backbone = dataclasses.replace(
        backbone, classes=len(labels.classes), trained_on=start.seen(images.select(lessons.ids)).encode()
    )
    history: list[dict[str, float]] = state["history"]
    best = state["best_epoch"]
    record = {"classes": list(labels.classes), "scheme": labels.scheme, "metrics": history[best], "settings": settings}
    record["dihedral"] = dihedral
    # under strategies that run the caller's script in every process, all come here
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together:
        torch.distributed.barrier()
    first = not together or torch.distributed.get_rank() == 0
    if first:
        write_folder(folder, backbone, module, record)
        write_curves(folder, history)
        if cache is None:
            drop(scratch)
    return Training(predictions, folder, time.monotonic() - started, len(history), history, best + 1, first)


def _fit(
    learner: Learner, path: Path, settings: dict[str, Any], resume: bool, callbacks: list[pl.Callback], **options: Any
) -> dict[str, Any]:
    """Train, or go on, and return the last state: `best` weights, `best_epoch`, `history`.

    The state comes back through its file: whichever processes trained, all have written it.
    """
    # checked here, for Lightning would compare nothing
    earlier = _earlier(path, settings) if resume and path.exists() else None
    if earlier is not None and earlier["finished"]:
        return earlier
    # Lightning announces devices and its own hints as it would in a script
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=learner.recipe.epochs,
        accumulate_grad_batches=learner.recipe.accumulate,
        gradient_clip_val=learner.recipe.clip or None,
        callbacks=callbacks,
        plugins=[WholeFiles()],
        default_root_dir=path.parent,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 uses a name that torch 2.15 calls deprecated
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            # the running average and frozen stages are meant to be so
            warnings.filterwarnings("ignore", ".*in eval mode at the start of training", UserWarning)
            trainer.fit(learner, ckpt_path=str(path) if earlier else None, weights_only=True)
    except SystemExit as stop:  # Lightning turns Ctrl-C into an exit of its own
        signal.signal(signal.SIGINT, interrupt)
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except torch.OutOfMemoryError:
        size = learner.recipe.batch_size
        raise InputError(
            "GPU memory does not suffice",
            where=f"batch_size {size}",
            remedy=f"try batch_size={max(1, size // 2)} with accumulate={2 * learner.recipe.accumulate}",
        ) from None
    return dict(read_state(path)["gzfeatures"])


def _earlier(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """State to go on from.

    Raises
    ------
    InputError
        It was made with other settings; the first that differs is named.
    """
    state = read_state(path)
    for name, value in settings.items():
        before = state["settings"].get(name)
        if fingerprint.canonical_json(before) != fingerprint.canonical_json(value):
            raise InputError(
                f"training to resume had another {name}",
                where=path,
                rule=f"be {before}",
                found=str(value),
                remedy="resume with the same settings, or train anew without resuming",
            )
    return dict(state["gzfeatures"])
