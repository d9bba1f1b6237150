"""Train an experiment's networks, and extract the embeddings of its galaxies into tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, NotFirstProcess, parsing
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.metrics import headline
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.config import Experiment
from gzfeatures.experiment.sample import LabelledSample, require_unchanged
from gzfeatures.experiment.settings.approaches import FrozenBackbone, NetworkChoice
from gzfeatures.experiment.trained_networks import TrainedNetwork, ensemble_name, validation_curve
from gzfeatures.features.backbones import RECORD, TENSORS
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.files import read_sidecar, write_sidecar
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.images.view import View
from gzfeatures.progress import SILENT, Progress
from gzfeatures.report.worst_errors import write_worst_errors

if TYPE_CHECKING:
    from gzfeatures.networks.training.checkpoint import Watch

PREDICTIONS = "predictions.parquet"
CHECKPOINT = (TENSORS, RECORD)
HISTORY = "history.json"
FINISHED = (*CHECKPOINT, PREDICTIONS, HISTORY, "curves.png")
"""Files of a finished training; if one is missing or damaged, the training continues."""


def train_network(
    network: NetworkChoice,
    group: LabelledSample,
    folder: Path,
    settings: Experiment,
    *,
    seed: int,
    again: bool = False,
    watch: Watch | None = None,
    progress: Progress = SILENT,
) -> Candidate:
    """Train a network end to end, and score it on the test galaxies.

    If the folder has a finished training with the same inputs, read its results instead.

    Parameters
    ----------
    network : NetworkChoice
        Network to train, with the settings of its training.
    group : LabelledSample
        Images, labels and split of the galaxies.
    folder : Path
        Checkpoint folder.
    settings : Experiment
        Settings of the experiment, with precision and device.
    seed : int
        Seed of the training.
    again : bool
        Whether to train even if the folder has the finished training.
    watch : callable, optional
        Function that is called with the training history after every epoch.
    progress : Progress
        Object that shows messages and progress bars; shows nothing by default.

    Raises
    ------
    NotFirstProcess
        Several processes trained together, and this is not the first one, which continues alone.
    """
    # training.json stores the sha256 of all inputs of the last training in this folder
    key = _training_key(network, group, settings, seed)
    note = read_sidecar(folder / "training.json")
    unchanged = note.get("key") == key and not again
    if not (unchanged and _noted(folder, note)):
        note = _train(
            network,
            group,
            folder,
            settings,
            key,
            again=not unchanged,
            seed=seed,
            watch=watch,
            progress=progress,
        )
    return _scored(network, group, folder, note, seed)


def _training_key(
    network: NetworkChoice, group: LabelledSample, settings: Experiment, seed: int
) -> str:
    """Return a sha256 of everything that a network's trained weights depend on, seed included."""
    # leave out these settings, which ask for further trainings: what `members` changes in this
    # training is added below
    chosen = network.model_dump(mode="json", exclude={"seeds", "learning_curve", "members"})
    # all members of an ensemble choose their best epoch on one half of the validation galaxies;
    # the first seed draws this half, so the weights of all members depend on it
    if network.members > 1:
        chosen["halved_by"] = network.seeds_from(settings.seed)[0]
    made = [group.fingerprint, settings.precision, settings.device, seed]
    return fingerprint.of([chosen, *made, *_starting_weights(network)])


def _starting_weights(network: NetworkChoice) -> list[str]:
    """Return the sha256 of the file of weights that a training starts from; [] without a file.

    A checkpoint folder or file may hold other weights under the same path in a later run.
    """
    if network.weights == "none":
        return []
    own = network.weights in (None, "own")
    file = Path(network.name) / TENSORS if own else Path(str(network.weights))
    return [fingerprint.of_file(file)] if file.is_file() else []


def _train(
    network: NetworkChoice,
    group: LabelledSample,
    folder: Path,
    settings: Experiment,
    key: str,
    *,
    again: bool,
    seed: int,
    watch: Watch | None,
    progress: Progress,
) -> dict[str, Any]:
    """Train a network, and write its predictions, its costs and the sha256 of its files."""
    from gzfeatures.networks.setup.options import TrainingOptions
    from gzfeatures.networks.training.train import train

    path = folder / "training.json"
    # do not list output files in `training.json` yet: from their absence, a later run sees that
    # this training was interrupted
    write_sidecar(path, {"key": key})
    fields = {
        **{"folder": folder, "recipe": network.recipe, "epochs": network.epochs, "seed": seed},
        **{"again": again, "weights": network.weights},
        **{"view": View.parse(network.view) if network.view else None},
        **{"precision": settings.precision, "device": settings.device, "progress": progress},
    }
    if network.members > 1:
        fields["halving_seed"] = network.seeds_from(settings.seed)[0]
    counted = network.options.get("target") == "counts"
    training = train(
        group.images,
        group.labels,
        group.split,
        network.name,
        TrainingOptions.of(fields | network.options),
        counts=group.catalog.counts if group.catalog and counted else None,
        also=group.auxiliary_labels,
        watch=watch,
    )
    if not training.first:
        raise NotFirstProcess
    training.predictions.write(folder / PREDICTIONS)
    tested = training.predictions.select(group.split.test)
    write_worst_errors(folder, tested, group.labels, group.images, "test")
    # sum the seconds of all epochs: if the training was interrupted, `training.seconds` only covers
    # the time after it was resumed
    spent = max(training.seconds, sum(epoch["seconds"] for epoch in training.history))
    note = {
        **{"key": key, "seconds": spent, "epochs": training.epochs},
        **{"best_epoch": training.best_epoch, "images_seen": training.images_seen},
        "recipe": training.recipe.recipe if training.recipe else None,
    }
    digests = {name: fingerprint.of_file(folder / name) for name in FINISHED}
    write_sidecar(path, note | {"files": digests})
    return note


def join_members(
    network: NetworkChoice,
    group: LabelledSample,
    folder: Path,
    settings: Experiment,
    *,
    members: Sequence[Path],
    seconds: float,
    curve: tuple[float, ...] = (),
    progress: Progress = SILENT,
) -> Candidate:
    """Join trained networks into an ensemble, and score the ensemble on the test galaxies.

    If the folder already has an ensemble of the same members, read its results instead.

    Parameters
    ----------
    network : NetworkChoice
        Network that was trained with several seeds, with the settings of its training.
    group : LabelledSample
        Images, labels and split of the galaxies.
    folder : Path
        Checkpoint folder of the ensemble.
    settings : Experiment
        Settings of the experiment, with the device.
    members : sequence of Path
        Checkpoint folders of the trained networks, in the order of their seeds.
    seconds : float
        Sum of the seconds of all trainings.
    curve : tuple of float
        Mean of the networks' validation curves.
    progress : Progress
        Object that shows messages and progress bars; shows nothing by default.
    """
    from gzfeatures.networks.setup.options import TrainingOptions
    from gzfeatures.networks.training.members import join
    from gzfeatures.networks.training.preparation import TrainingGalaxies

    seed = network.seeds_from(settings.seed)[0]
    weights = [fingerprint.of_file(member / name) for member in members for name in CHECKPOINT]
    key = fingerprint.of([weights, group.fingerprint, settings.device])
    note = read_sidecar(folder / "training.json")
    if note.get("key") != key or not _noted(folder, note):
        write_sidecar(folder / "training.json", {"key": key})
        fields = {"folder": folder, "seed": seed, "weights": network.weights}
        fields["progress"] = progress
        fields |= {"device": settings.device, "dihedral": network.options.get("dihedral", False)}
        galaxies = TrainingGalaxies(group.images, group.labels, group.split)
        predictions, _ = join(galaxies, network.name, members, TrainingOptions.of(fields))
        predictions.write(folder / PREDICTIONS)
        tested = predictions.select(group.split.test)
        write_worst_errors(folder, tested, group.labels, group.images, "test")
        note = {"key": key, "seconds": seconds}
        files = {name: fingerprint.of_file(folder / name) for name in (*CHECKPOINT, PREDICTIONS)}
        write_sidecar(folder / "training.json", note | {"files": files})
    trained = TrainedNetwork(
        ensemble_name(network.name, network.members),
        folder,
        note["seconds"],
        {"members": network.members, **network.options},
        seed,
        curve,
    )
    predictions = _predictions(folder, group)
    return trained.candidate(predictions, group.labels, group.split, group.catalog)


def _predictions(folder: Path, group: LabelledSample) -> Predictions:
    """Read the predictions that a finished training made for the test galaxies."""
    target = group.labels.target
    # pass on whether predicted numbers are redshifts: the file of predictions does not say so
    number = target if target in VALUE_TARGETS else None
    return Predictions.read(folder / PREDICTIONS, number=number).select(group.split.test)


def _curve(folder: Path, group: LabelledSample) -> tuple[float, ...]:
    """Read the validation score after each epoch from the history of a finished training."""
    with parsing("history of a training cannot be read", folder / HISTORY):
        history = json.loads((folder / HISTORY).read_text("utf-8"))
        return validation_curve(history, group.labels.target)


def _scored(
    network: NetworkChoice,
    group: LabelledSample,
    folder: Path,
    sidecar: Mapping[str, Any],
    seed: int,
) -> Candidate:
    """Score a finished training on the test galaxies, from its file of predictions."""
    # the file also has the validation galaxies, on which the best epoch was chosen: their scores
    # would be too good, so read the test galaxies only
    predictions = _predictions(folder, group)
    trained = TrainedNetwork(
        network.name,
        folder,
        sidecar["seconds"],
        {
            **{name: sidecar[name] for name in ("recipe", "epochs", "best_epoch", "images_seen")},
            **network.options,
        },
        seed,
        _curve(folder, group),
    )
    return trained.candidate(predictions, group.labels, group.split, group.catalog)


def network_curve(
    network: NetworkChoice,
    group: LabelledSample,
    folder: Path,
    settings: Experiment,
    *,
    seed: int,
    whole: Candidate,
    progress: Progress = SILENT,
) -> list[tuple[int, float, float, float]]:
    """Train a network anew on each of several numbers of training galaxies, and score it each time.

    Returns
    -------
    list of (galaxies, accuracy, low, high)
        Number of training galaxies, accuracy on the test galaxies (RMSE for vote fractions or
        numbers), and its confidence interval.
    """
    from gzfeatures.heads.learning_curve import nested

    # the first n galaxies in `train` are the sample of n labels: each sample contains all smaller
    # samples
    train = nested(group.split.train, group.labels, seed)
    plain = network.model_copy(update={"learning_curve": ()})
    candidate_of = {len(train): whole}
    # train on smaller samples only: the network trained on all galaxies exists already
    for size in sorted(size for size in network.learning_curve if size < len(train)):
        part = dataclasses.replace(
            group, split=dataclasses.replace(group.split, train=train[:size])
        )
        candidate_of[size] = train_network(
            plain, part, folder / f"labels-{size}", settings, seed=seed, progress=progress
        )
    metric = headline(group.labels.target)
    return [
        (
            size,
            candidate.scores.metrics[metric],
            *candidate.scores.intervals.get(metric, (float("nan"), float("nan"))),
        )
        for size, candidate in sorted(candidate_of.items())
    ]


def extract_table(
    choice: FrozenBackbone,
    group: LabelledSample,
    path: Path,
    settings: Experiment,
    *,
    store: Store,
    again: bool = False,
    progress: Progress = SILENT,
) -> tuple[EmbeddingTable, dict[str, float]]:
    """Extract or read an embedding table of all galaxies; also return the seconds of extraction.

    If `path` has a table of the same images, made in the same way (network, weights, layer, crop
    and size), read this table without running a network.

    Parameters
    ----------
    choice : FrozenBackbone
        Backbone, with settings that replace its own.
    group : LabelledSample
        Images of the galaxies.
    path : Path
        Parquet file to read or write; a JSON file next to it stores a hash of its inputs.
    settings : Experiment
        Settings of the experiment, with precision and device.
    store : Store
        Cache of embeddings on disk.
    again : bool
        Whether to extract even if the file exists.
    progress : Progress
        Object that shows messages and progress bars; shows nothing by default.
    """
    from gzfeatures.networks.extraction.extract import write_table
    from gzfeatures.networks.extraction.spec import Extraction, description_of

    backbone = choice.backbone()
    spec = description_of(backbone, choice.own_weights)
    extraction = Extraction(
        backbone,
        weights=choice.own_weights,
        layer=choice.layer,
        view=View.parse(choice.view, spec.view) if choice.view else None,
        dihedral=choice.dihedral,
        precision=settings.precision,
        device=settings.device,
        store=store,
        progress=progress,
    )
    # embeddings depend only on the images and on network, layer, crop and size: labels and split
    # are no part of the key
    extractor = extraction.extractor  # a property, which reads the whole file of weights
    key = fingerprint.of([extractor.fingerprint, group.stamp])
    beside = path.with_suffix(".json")
    note = read_sidecar(beside)
    # extraction is slow: read the table if it has this key and is undamaged
    written = not again and note.get("key") == key and _noted(path.parent, note)
    # the table also stores on which galaxies the network was trained, which is no part of the key
    if not written or _record(path) != extractor.trained_on:
        cost = write_table(group.images, extraction, path).made
        try:
            # networks were trained on the images as they were: if images changed since, remove the
            # table made from the changed ones
            require_unchanged(group.images, group.stamp)
        except InputError:
            path.unlink()
            raise
        note = {
            "key": key,
            "files": {path.name: fingerprint.of_file(path)},
            **dataclasses.asdict(cost),
        }
        write_sidecar(beside, note)
    table = EmbeddingTable.read(path)
    return table, {"extract": note["seconds"]}


def _record(path: Path) -> str | None:
    """Return the record of galaxies that a written table's network was trained on."""
    return EmbeddingTable.open(path).extractor.trained_on


def _noted(folder: Path, sidecar: Mapping[str, Any]) -> bool:
    """Return True if all files listed by an earlier run exist and have not changed since."""
    files = sidecar.get("files", {})
    return bool(files) and all(
        (folder / name).exists() and fingerprint.of_file(folder / name) == digest
        for name, digest in files.items()
    )
