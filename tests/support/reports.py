"""A report made of drawn numbers, for tests of what is done with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.config import Experiment
from gzfeatures.experiment.folder import LABELS, write_candidates
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.report.report import Report

SHAPES = ("round", "in-between", "cigar", "edge-on", "spiral")
ROADS = (
    ("end-to-end", "resnet18", None, 3.2, {"train": 800.0, "predict": 22.0}),
    ("frozen", "mobilenet-v2", "logistic", 1.0, {"extract": 100.0, "fit": 0.8, "predict": 0.1}),
    ("frozen", "mobilenet-v2", "svm", 1.6, {"extract": 100.0, "fit": 2.2, "predict": 0.5}),
    (
        "fine-tuned",
        "resnet18",
        "svm",
        4.0,
        {"train": 800.0, "extract": 40.0, "fit": 1.8, "predict": 0.2},
    ),
)


def labelled(
    count: int = 300, classes: Sequence[str] = SHAPES, ids: Sequence[str] = (), seed: int = 0
) -> Labels:
    """Galaxies of drawn classes; `ids` come first, numbered ones fill up."""
    rng = np.random.default_rng(seed)
    names = np.array(
        [*ids, *(str(587722981736120000 + i) for i in range(count - len(ids)))], dtype=object
    )
    codes = np.arange(count) % len(classes)
    soft = rng.dirichlet(np.ones(len(classes)), count)
    return Labels(names, tuple(classes), codes, scheme="zhu-5class", soft=soft)


def guessed(labels: Labels, split: Split, quality: float, seed: int) -> Predictions:
    """Probabilities that lean to the truth by `quality`."""
    rng = np.random.default_rng(seed)
    codes = labels.select(split.test).codes
    logits = rng.normal(size=(len(codes), len(labels.classes)))
    logits[np.arange(len(codes)), codes] += quality
    p = np.exp(1.5 * logits)
    return Predictions(split.test, p / p.sum(1, keepdims=True), labels.classes)


def pairings(labels: Labels, split: Split, **fields: Any) -> tuple[Candidate, ...]:
    made = []
    for seed, (road, backbone, head, quality, seconds) in enumerate(ROADS):
        predictions = guessed(labels, split, quality, seed)
        scores = evaluate(predictions, labels, intervals=100)
        settings = {"C": 1.0, "kernel": {"name": "rbf", "gamma": None}}
        guess = (labels.scheme, split.fingerprint, predictions, scores, seconds, settings)
        made.append(Candidate(road, backbone, head, *guess, **fields))
    return tuple(made)


def report(labels: Labels | None = None, **fields: Any) -> Report:
    """A report of four pairings on a third of the galaxies."""
    labels = labelled() if labels is None else labels
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    made = pairings(labels, split)
    settings = {"name": "gz2", "provenance": {"seed": 0, "git": {"commit": "abc"}}} | fields
    return Report(
        candidates=made,
        comparison=compare(made, labels, resamples=200),
        labels=labels,
        split=split,
        **settings,
    )


def pictures(folder: Path, labels: Labels) -> ImageSet:
    """One small JPEG per galaxy whose id is a file name."""
    folder.mkdir()
    for number, name in enumerate(labels.ids):
        if name.isdigit():
            Image.new("RGB", (64, 64), (number % 256, 40, 80)).save(folder / f"{name}.jpg")
    return ImageSet.of(folder)


def finished(folder: Path, made: Report | None = None, **settings: Any) -> Report:
    """Write what a run leaves in its folder, but for its page, networks, tables and map."""
    made = report() if made is None else made
    folder.mkdir(parents=True, exist_ok=True)
    provenance = {
        "left_out": {"no rule claims it": 17},
        "grouped": "not grouped: no group has two galaxies",
        "skipped": [],
        "python": "3.11.7",
        "versions": {
            name: f"{number}.2"
            for number, name in enumerate(
                ("gzfeatures", "torch", "torchvision", "lightning", "scikit-learn", "numpy")
            )
        },
    }
    made = Report(
        made.name,
        made.candidates,
        compare(made.candidates, made.labels),
        made.labels,
        made.split,
        provenance,
        made.curves,
    )
    write_candidates(folder, made.candidates)
    write_labels(folder / LABELS, made.labels, made.split)
    (folder / "report.json").write_text(json.dumps(made.asdict()))
    galaxies = {"catalog": str(folder / "catalog.csv"), "images": str(folder / "images")}
    experiment = Experiment.model_validate(
        {
            "name": "gz2",
            "galaxies": galaxies,
            "backbones": [{"name": "mobilenet-v2"}],
            "networks": [{"name": "resnet18"}],
            "heads": [{"name": "svm"}, {"name": "logistic"}],
            **settings,
        }
    )
    (folder / "experiment.json").write_text(experiment.model_dump_json())
    return made
