"""Heads and networks on the same growing draws of labels, in one plot that answers a question."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from reports import labelled, pairings
from trainings import NETWORK
from verbs import called, gz

from gzfeatures.errors import InputError
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.config import Experiment
from gzfeatures.experiment.label_sizes import FILES, read_sizes, sizes_of
from gzfeatures.experiment.run import run as run_experiment
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.report.payoff import answer, payoffs

SIZES = "24,48"
VIEW = "size=16,crop=0.75"


@pytest.fixture(scope="module")
def desk(
    folder: Path, labels: Labels, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Labels with their split, a table, and the curves of two heads and of a network."""
    place = tmp_path_factory.mktemp("sizes")
    write_labels(place / "labels.csv", labels, split)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")
        gz("extract", folder, "--backbone", "resnet18", "--weights", "none", "--view", "size=32",
           "-o", place / "t.parquet")  # fmt: skip
        gz("fit", place / "t.parquet", "--labels", place / "labels.csv", "-H", "prototype",
           "-H", "logistic", "--sizes", SIZES, "-o", place / "heads")  # fmt: skip
        tune(place, folder, "--with-curve", place / "heads" / "learning_curve.json")
        yield place


def tune(place: Path, folder: Path, *more: object) -> dict[str, Any]:
    words = ["--network", NETWORK, "--view", VIEW, "--epochs", 2, "--set", "batch_size=24"]
    return gz("finetune", folder, "--labels", place / "labels.csv", *words, "--sizes", SIZES,
              *more, "-o", place / "nets")  # fmt: skip


def test_heads_and_networks_stand_in_one_curve_on_the_same_galaxies(desk: Path) -> None:
    curve = json.loads((desk / "nets" / "learning_curve.json").read_text())
    methods = {(row["road"], row["head"], row["labels"]) for row in curve["points"]}
    assert methods == {
        (road, head, size)
        for road, head in (("end-to-end", None), ("frozen", "prototype"), ("frozen", "logistic"))
        for size in (24, 48)
    }
    # who was compared had the very same training, validation and test galaxies
    for size in (24, 48):
        splits = {row["split"] for row in curve["candidates"] if row["labels"] == size}
        assert len(splits) == 1
    assert {row["labels"]: row["train"] + row["validation"] for row in curve["points"]} == {
        24: 24,
        48: 48,
    }
    for row in curve["points"]:
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    assert [row["labels"] for row in curve["payoff"]] == [24, 48]
    assert curve["answer"].startswith("fine-tuning ")
    with (desk / "nets" / "learning_curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [row["accuracy"] for row in curve["points"]]
    with Image.open(desk / "nets" / "learning_curve.png") as picture:
        assert picture.width > 600 and len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_points_are_scored_by_the_predictions_beside_them(
    desk: Path, labels: Labels, split: Split
) -> None:
    curve = json.loads((desk / "nets" / "learning_curve.json").read_text())
    for row, point in zip(curve["candidates"], curve["points"], strict=True):
        predictions = Predictions.read(desk / "nets" / row["predictions"])
        assert sorted(predictions.ids) == sorted(split.test)
        ordered = labels.ordered(predictions.classes)
        assert evaluate(predictions, ordered).accuracy == point["accuracy"]
    assert (desk / "nets" / "labels-24" / "model.safetensors").exists()
    assert (desk / "heads" / "labels-48" / "logistic.skops").exists()


def test_a_curve_that_is_finished_is_read_and_one_more_size_trains_it_alone(
    desk: Path, folder: Path
) -> None:
    weights = [desk / "nets" / f"labels-{size}" / "training.ckpt" for size in (24, 48)]
    before = [path.stat().st_mtime_ns for path in weights]
    first = json.loads((desk / "nets" / "learning_curve.json").read_text())["points"]
    heads = desk / "heads" / "learning_curve.json"
    tune(desk, folder, "--with-curve", heads)
    again = json.loads((desk / "nets" / "learning_curve.json").read_text())["points"]
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in first]
    grown = tune(desk, folder, "--sizes", "24,48,60")
    assert [row["labels"] for row in grown["points"]] == [24, 48, 60]
    assert [path.stat().st_mtime_ns for path in weights] == before


def test_a_curve_of_other_labels_is_refused_before_anything_is_fitted(
    desk: Path, tmp_path: Path
) -> None:
    known, split = read_labels(desk / "labels.csv")
    renamed = dataclasses.replace(known, classes=tuple(f"{name}-galaxy" for name in known.classes))
    write_labels(tmp_path / "other.csv", renamed, split)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="predictions and labels"):
        gz(
            *("fit", desk / "t.parquet", "--labels", tmp_path / "other.csv", "-H", "prototype"),
            *("--sizes", "24", "--with-curve", desk / "heads" / "learning_curve.json", "-o", out),
        )
    assert not list(out.glob("**/*.skops"))


def test_what_cannot_be_compared_is_refused(desk: Path, folder: Path, tmp_path: Path) -> None:
    fit = ["fit", desk / "t.parquet", "--labels", desk / "labels.csv", "-H", "prototype"]
    heads = desk / "heads" / "learning_curve.json"
    with pytest.raises(InputError, match="differ in their seed of the draw"):
        gz(*fit, "--sizes", "24", "--seed", 1, "--with-curve", heads, "-o", tmp_path)
    with pytest.raises(InputError, match="24 labels: method is in two learning curves"):
        gz(*fit, "--sizes", "24", "--with-curve", heads, "-o", tmp_path)
    known, split = read_labels(desk / "labels.csv")
    assert split is not None
    turned = Split(split.train, split.test, split.validation, split.groups)
    write_labels(tmp_path / "other.csv", known, turned)
    other = [tmp_path / "other.csv" if word == desk / "labels.csv" else word for word in fit]
    with pytest.raises(InputError, match="differ in their split"):
        gz(*other, "--sizes", "24", "--with-curve", heads, "-o", tmp_path)
    with pytest.raises(InputError, match=r"must be 2…\d+.*found 4000"):
        gz(*fit, "--sizes", "24,4000", "-o", tmp_path)
    alone = called(*fit, "--with-curve", heads, "-o", tmp_path, "--json")
    assert alone.returncode == 2 and "--sizes" in alone.stderr


@pytest.mark.parametrize("text", ["", "100,", "1", "-5", "1e3", "١٢٣"])
def test_sizes_that_are_no_numbers_of_labels_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="must be numbers of labels above 1"):
        sizes_of(text)


def test_it_pays_from_where_every_larger_number_is_better_beyond_chance() -> None:
    labels = labelled(2000)
    split = Split.draw(labels, (0.2, 0.1, 0.7))
    network, head, *_ = pairings(labels, split)
    poor, good = (
        dataclasses.replace(network, predictions=p, scores=evaluate(p, labels))
        for p in (noisy(labels, split, 0.5), noisy(labels, split, 6.0))
    )
    rows = payoffs({100: [poor, head], 300: [good, head], 1000: [good, head]}, labels, "accuracy")
    assert [row.pays for row in rows] == [False, True, True]
    for row, one in zip(rows, (poor, good, good), strict=True):
        gap = one.scores.metrics["accuracy"] - head.scores.metrics["accuracy"]
        assert row.advantage == pytest.approx(gap)
        assert row.interval[0] < gap < row.interval[1]
    assert answer(rows, "accuracy", 1400).startswith("fine-tuning pays from 300 labels on (")
    assert answer(rows[:1], "accuracy", 9).startswith(
        "fine-tuning does not pay beyond chance up to 100 labels ("
    )
    lucky = [rows[1], dataclasses.replace(rows[0], labels=1000)]
    assert "at 300 labels alone, which may be chance" in answer(lucky, "accuracy", 1400)
    # of a loss less is better: the same networks win by it
    losses = payoffs({100: [poor, head], 300: [good, head]}, labels, "log_loss")
    for row, one in zip(losses, (poor, good), strict=True):
        gap = head.scores.metrics["log_loss"] - one.scores.metrics["log_loss"]
        assert row.advantage == pytest.approx(gap)
        assert row.interval[0] < gap < row.interval[1]


def noisy(labels: Labels, split: Split, quality: float) -> Predictions:
    from reports import guessed

    return guessed(labels, split, quality, seed=5)


def test_an_experiment_draws_its_curve_and_says_from_where_fine_tuning_pays(
    desk: Path, folder: Path, labels: Labels, tmp_path: Path
) -> None:
    pd.DataFrame({"galaxy_id": labels.ids}).to_csv(tmp_path / "catalog.csv", index=False)
    chosen = {
        "name": "sizes",
        "device": "cpu",
        "precision": "float32",
        "map": False,
        "sizes": [24, 48],
        "galaxies": {
            "catalog": tmp_path / "catalog.csv",
            "images": folder,
            "labels": desk / "labels.csv",
        },
        "networks": [
            {
                "name": NETWORK,
                "view": VIEW,
                "epochs": 1,
                "as_backbone": False,
                "options": {"batch_size": 24, "progress": False},
            }
        ],
        "backbones": [{"name": "resnet18", "weights": "none", "view": "size=32"}],
        "heads": [{"name": "prototype"}],
    }
    place = tmp_path / "run"
    done = run_experiment(Experiment.model_validate(chosen), folder=place)
    assert done.label_sizes is not None and done.label_sizes.answer().startswith("fine-tuning ")
    assert all((place / "sizes" / name).exists() for name in FILES)
    curve = read_sizes(place / "sizes" / "learning_curve.json", done.label_sizes.truth)
    rows = {(each.labels, each.candidate.name) for each in curve.points}
    assert len(rows) == 4 and {size for size, _ in rows} == {24, 48}
    # networks of the run and of the verbs were drawn alike
    verb = json.loads((desk / "heads" / "learning_curve.json").read_text())["candidates"]
    assert {each.candidate.split for each in curve.points} == {row["split"] for row in verb}
    state = place / "sizes" / "labels-24" / "networks" / f"00-{NETWORK}" / "training.ckpt"
    before = state.stat().st_mtime_ns
    run_experiment(place, folder=place)
    assert state.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="take the place of learning_curve"):
        Experiment.model_validate({**chosen, "learning_curve": [10]})
    assert np.isfinite([each.candidate.scores.accuracy for each in curve.points]).all()
