"""The steps of an experiment along its roads: train a network, tabulate a backbone, fit heads."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures import fingerprint
from gzfeatures.cohort import Cohort
from gzfeatures.config import Experiment, FrozenBackbone, HeadChoice, Network
from gzfeatures.errors import LeakError
from gzfeatures.features.backbones import backbone
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import read_note, write_note
from gzfeatures.galaxies.catalog import Catalog
from gzfeatures.galaxies.labels import Labels
from gzfeatures.galaxies.splits import Split
from gzfeatures.images.views import View
from gzfeatures.results.comparison import Pairing, Road
from gzfeatures.results.metrics import evaluate
from gzfeatures.results.predictions import Predictions

if TYPE_CHECKING:
    from gzfeatures.networks.checkpoint import Watch


def train_network(
    network: Network,
    group: Cohort,
    folder: Path,
    settings: Experiment,
    *,
    seed: int,
    again: bool = False,
    watch: Watch | None = None,
) -> Pairing:
    """Train a network end to end and score it on the test galaxies; a finished training of the same inputs is read.

    Parameters
    ----------
    network : Network
        What to train.
    group : Cohort
        On what.
    folder : Path
        Checkpoint folder.
    settings : Experiment
        Precision and device.
    seed : int
        Of the training.
    again : bool
        Train even if the folder holds the same training, finished.
    watch : callable, optional
        Takes the history so far after every epoch.
    """
    from gzfeatures.networks.finetune import train

    key = fingerprint.of(
        [network.model_dump(mode="json"), group.fingerprint, settings.precision, settings.device, seed]
    )
    path, saved = folder / "training.json", folder / "predictions.parquet"
    note = read_note(path)
    known = note.get("key") == key and not again
    if not (known and _is(saved, note)):
        write_note(path, {"key": key})
        training = train(
            group.images, group.labels, group.split, network.name,
            folder=folder, epochs=network.epochs, seed=seed, resume=known, weights=network.weights, watch=watch,
            view=View.parse(network.view) if network.view else None, also=group.also,
            counts=group.catalog.counts if group.catalog and network.options.get("target") == "counts" else None,
            precision=settings.precision, device=settings.device, **network.options,
        )  # fmt: skip
        if not training.first:
            raise SystemExit
        training.predictions.write(saved)
        spent = max(training.seconds, sum(epoch["seconds"] for epoch in training.history))
        note = {"key": key, "seconds": spent, "epochs": training.epochs, "best_epoch": training.best_epoch}
        write_note(path, note | {"sha256": fingerprint.of_file(saved)})
    predictions = Predictions.read(saved).select(group.split.test)
    return Pairing(
        road="end-to-end",
        backbone=network.name,
        head=None,
        scheme=group.labels.scheme,
        split=group.split.fingerprint,
        predictions=predictions,
        scores=evaluate(predictions, group.labels, seed=settings.seed, catalog=group.catalog),
        seconds={"train": note["seconds"]},
        parameters={"epochs": note["epochs"], "best_epoch": note["best_epoch"], **network.options},
        seed=seed,
        cost={"bytes": float((folder / "model.safetensors").stat().st_size)},
    )


def tabulate(
    choice: FrozenBackbone,
    group: Cohort,
    path: Path,
    settings: Experiment,
    *,
    store: Store | None = None,
    again: bool = False,
) -> tuple[EmbeddingTable, dict[str, float]]:
    """Embedding table of every galaxy of the cohort, and the seconds it took when it was made.

    A table at `path` that the same extractor made of the same images is read; neither network nor image is touched.

    Parameters
    ----------
    choice : FrozenBackbone
        Backbone, and what to override.
    group : Cohort
        Galaxies.
    path : Path
        Parquet file to read or write; what it depends on is noted beside it.
    settings : Experiment
        Precision and device.
    store : Store, optional
        Where vectors are kept; default the user's own.
    again : bool
        Ask the extractor even if the file is there.
    """
    from gzfeatures.networks.extract import Extraction

    extraction = Extraction(
        choice.name,
        weights=choice.weights,
        layer=choice.layer,
        view=View.parse(choice.view, backbone(choice.name).view) if choice.view else None,
        dihedral=choice.dihedral,
        precision=settings.precision,
        device=settings.device,
        store=store,
    )
    key = fingerprint.of([extraction.extractor.fingerprint, group.images.stamp()])
    beside = path.with_suffix(".json")
    note = read_note(beside)
    if again or note.get("key") != key or not _is(path, note):
        made = extraction.write(group.images, path).made
        note = {"key": key, "sha256": fingerprint.of_file(path), **dataclasses.asdict(made)}
        write_note(beside, note)
    table = EmbeddingTable.read(path)
    return table, {"extract": note["seconds"]}


def _is(path: Path, note: Mapping[str, Any]) -> bool:
    """Whether a file is the very one that was noted."""
    return path.exists() and note.get("sha256") == fingerprint.of_file(path)


def fit_heads(
    table: EmbeddingTable,
    labels: Labels,
    seen: Split,
    choices: Sequence[HeadChoice],
    *,
    seed: int,
    folder: Path,
    split: Split | None = None,
    road: Road = "frozen",
    seconds: Mapping[str, float] | None = None,
    catalog: Catalog | None = None,
    allow_seen: bool = False,
) -> list[Pairing]:
    """Fit heads on the training galaxies, save them, and score them on the test galaxies.

    Parameters
    ----------
    table : EmbeddingTable
        Holds every galaxy of the split.
    labels : Labels
        Their labels.
    seen : Split
        Heads see its training side only, and are scored on its test side.
    choices : sequence of HeadChoice
        Names and parameters.
    seed : int
        Of every fit.
    folder : Path
        Where `<head>.skops` go.
    split : Split, optional
        The whole split, where heads see only a part of its training side: what the comparison is on.
    road : {"frozen", "fine-tuned"}
        Which road the table is on.
    seconds : mapping of str to float, optional
        What was spent before: `extract`, `train`.
    catalog : Catalog, optional
        Scores are given along its redshift, magnitude and size.
    allow_seen : bool
        Score also on test galaxies that the backbone was trained on; such pairings bear a dagger.

    Raises
    ------
    LeakError
        The backbone was trained on a test galaxy, and that is not allowed.
    """
    from gzfeatures.heads.fit import fit
    from gzfeatures.heads.trials import draw_trials

    split = split or seen
    if not allow_seen:
        _refuse_seen(table, split)
    pairings = []
    for choice in choices:
        start = time.perf_counter()
        head = fit(table, labels, choice.name, split=seen, seed=seed, tune=choice.tune, **choice.parameters)
        fitted = time.perf_counter()
        predictions = head.predict(table.select(split.test))
        dagger = allow_seen and predictions.seen is not None and bool(predictions.seen.any())
        predictions = predictions.unmarked() if dagger else predictions
        predicted = time.perf_counter()
        path = head.write(folder / f"{choice.name}.skops")
        if head.trials:
            draw_trials(head.trials, folder / f"{choice.name}-trials.png")
        pairings.append(
            Pairing(
                road=road,
                backbone=table.extractor.backbone,
                head=choice.name,
                scheme=labels.scheme,
                split=split.fingerprint,
                predictions=predictions,
                scores=evaluate(predictions, labels, seed=seed, catalog=catalog),
                seconds={**(seconds or {}), "fit": fitted - start, "predict": predicted - fitted},
                parameters=head.parameters,
                seed=seed,
                dagger=dagger,
                cost={"parameters": float(head.numbers), "bytes": float(path.stat().st_size)},
            )
        )
    return pairings


def learning_curves(
    path: Path, labels: Labels, seen: Split, settings: Experiment
) -> dict[str, list[tuple[int, float, float, float]]]:
    """How many labels each head needs on the table at `path`: pairing → (galaxies, accuracy, lowest, highest)."""
    from gzfeatures.heads.learning import curve, learning_curve

    table, heads = EmbeddingTable.read(path), [choice.name for choice in settings.heads]
    rows = learning_curve(table, labels, seen, heads, settings.learning_curve, allow_seen=settings.allow_seen)
    return {f"{table.extractor.backbone} + {head}": curve(rows, head) for head in heads}


def _refuse_seen(table: EmbeddingTable, split: Split) -> None:
    if table.extractor.trained_on is None:
        return
    seen = TrainedOn.decode(table.extractor.trained_on).contains(split.test)
    if seen.any():
        raise LeakError(
            f"backbone was trained on {int(seen.sum())} of {len(split.test)} test galaxies",
            where=table.extractor.backbone,
            found=str(split.test[seen.argmax()]),
            remedy="score it on galaxies it has not seen, or with allow_seen (--allow-seen) and a dagger in the report",
        )
