"""Networks on one number: every recipe learns it in its own unit, calibrates it, and predicts it
again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from trainings import NETWORK, VIEW
from verbs import called, gz

from gzfeatures.errors import GzError, InputError
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import as_ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.inference.probabilities import classify
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.train import train

N = 240
ZERO, UNIT = 1e9, 40.0
"""The number of a galaxy is 1e9 + 40 × its brightness in [0, 1]: digits that single precision
lacks."""


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs of a brightness of their own, on noise."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    for row, brightness in enumerate(brightnesses()):
        pixels = 20 + 5 * rng.normal(size=(32, 32, 3))
        pixels[np.hypot(x, y) < 9] += 200 * brightness
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"g{row:03d}.png")
    return folder


@pytest.fixture(scope="module")
def images(discs: Path) -> ImageSet:
    return ImageSet.of(discs)


def brightnesses() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, N)


@pytest.fixture(scope="module")
def labels() -> Labels:
    ids = as_ids([f"g{row:03d}" for row in range(N)])
    return Labels(ids, ("flux",), ZERO + UNIT * brightnesses()[:, None], "value", "flux")


@pytest.fixture(scope="module")
def split(labels: Labels) -> Split:
    return Split.draw(labels, (0.5, 0.3, 0.2), seed=0)


@pytest.fixture(scope="module")
def trained_on(images: ImageSet, labels: Labels, split: Split) -> Callable[..., Training]:
    def call(folder: Path, **options: Any) -> Training:
        settings = {"batch_size": 24, "view": VIEW, "progress": False, "precision": "float32"}
        network = options.pop("network", NETWORK)
        known = options.pop("labels", labels)
        return train(images, known, split, network, folder=folder, **{**settings, **options})

    return call


@pytest.fixture(scope="module")
def scratch(
    trained_on: Callable[..., Training], tmp_path_factory: pytest.TempPathFactory
) -> Training:
    return trained_on(tmp_path_factory.mktemp("scratch") / "net", epochs=25, lr=3e-3)


def error(training: Training, labels: Labels, split: Split) -> float:
    """RMSE on the test galaxies over that of the training galaxies' median."""
    scores = evaluate(training.predictions.select(split.test), labels, train=split.train)
    assert scores.rmse is not None
    return scores.rmse / scores.baselines["median"]["rmse"]


def test_a_network_from_nothing_learns_a_number_and_predicts_it_again(
    scratch: Training, images: ImageSet, labels: Labels, split: Split
) -> None:
    assert error(scratch, labels, split) < 0.5
    record = json.loads((scratch.checkpoint / "backbone.json").read_text())
    train_values = labels.select(split.train).values
    assert record["settings"]["number"] == {
        "mean": pytest.approx(train_values.mean(), abs=1e-6),
        "scale": pytest.approx(train_values.std(), rel=1e-9),
    }
    assert record["temperature"] == 1.0
    # the checkpoint alone predicts what the training did, with its intervals
    again = classify(images.select(split.test), scratch.checkpoint, progress=False)
    before = scratch.predictions.select(split.test)
    np.testing.assert_allclose(again.values, before.values, rtol=0, atol=1e-3)
    assert again.bounds is not None and before.bounds is not None
    np.testing.assert_allclose(again.bounds, before.bounds, rtol=0, atol=1e-3)
    assert again.familiarity is not None and again.kind == "value"
    true = labels.select(split.test).values[:, 0]
    held = ((again.bounds[:, 0] <= true) & (true <= again.bounds[:, 1])).mean()
    assert held >= 0.75
    wide = classify(images.select(split.test), scratch.checkpoint, progress=False, coverage=0.95)
    assert wide.bounds is not None and (np.diff(wide.bounds) >= np.diff(again.bounds)).all()


@pytest.mark.parametrize("recipe", ["probe", "tune"])
def test_a_network_with_weights_learns_another_number(
    recipe: str,
    scratch: Training,
    trained_on: Callable[..., Training],
    labels: Labels,
    split: Split,
    tmp_path: Path,
) -> None:
    # the number is turned round, so that the output layer of the start knows nothing of it
    values = 0.5 - 0.4 * (labels.values - ZERO) / UNIT
    turned = Labels(labels.ids, ("z",), values, "redshift", "z")
    training = trained_on(
        tmp_path / recipe,
        network=scratch.checkpoint,
        recipe=recipe,
        labels=turned,
        **({"epochs": 3} if recipe == "tune" else {}),
    )
    assert error(training, turned, split) < 0.5
    assert training.predictions.kind == "redshift"
    assert "rmse" in training.history[-1] and "sigma_nmad" in training.history[-1]
    # a half of the 72 validation galaxies calibrates where the other half chose the epoch
    assert training.predictions.bounds is not None


def test_galaxies_that_chose_the_epoch_promise_no_interval(
    scratch: Training,
    images: ImageSet,
    labels: Labels,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = Split.draw(labels, (0.8, 0.1, 0.1), seed=0)
    assert 20 <= len(few.validation) < 40
    fields: dict[str, Any] = {"view": VIEW, "epochs": 1, "batch_size": 24, "progress": True}
    fields["keep"] = "best"
    training = train(images, labels, few, scratch.checkpoint, folder=tmp_path / "tuned", **fields)
    assert training.predictions.bounds is None
    assert "no interval is promised: all validation galaxies chose the epoch" in (
        capsys.readouterr().err
    )
    with pytest.raises(InputError, match="no class sets, and no intervals of numbers"):
        classify(images, training.checkpoint, progress=False, coverage=0.8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "weights"}, r"recipe balance.*a number has no classes"),
        ({"label_smoothing": 0.1}, r"recipe label_smoothing.*be 0"),
        ({"target": "soft-classes"}, r"target soft-classes.*left out where a number is learned"),
        ({"monitor": "accuracy"}, r"monitor of value.*must be one of rmse"),
    ],
)
def test_what_is_about_classes_is_refused_before_the_first_step(
    trained_on: Callable[..., Training], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(GzError, match=message):
        trained_on(tmp_path / "net", epochs=1, **options)
    assert not (tmp_path / "net" / "training.ckpt").exists()


def test_a_checkpoint_of_a_number_without_its_scale_is_refused(
    scratch: Training, images: ImageSet, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(scratch.checkpoint, folder)
    record = json.loads((folder / "backbone.json").read_text())
    for numbers in (None, {"mean": 1.0}, {"mean": 1.0, "scale": 0.0}, {"mean": "1", "scale": 1.0}):
        record["settings"]["number"] = numbers
        (folder / "backbone.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match=r"hold mean and deviation of its training galaxies"):
            classify(images, folder, progress=False)


def test_the_verb_trains_on_a_column_and_refuses_what_is_about_classes(
    discs: Path,
    labels: Labels,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drawn: None,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    part = {name: side for side in ("train", "validation", "test") for name in getattr(split, side)}
    table = pd.DataFrame(
        {
            "galaxy_id": labels.ids,
            "split": [part[name] for name in labels.ids],
            "zspec": 0.2 * (labels.values[:, 0] - ZERO) / UNIT,
        }
    )
    table.loc[:4, "zspec"] = np.nan
    table.to_csv(tmp_path / "sample.csv", index=False)
    words = ("finetune", discs, "--labels", tmp_path / "sample.csv", "--network", NETWORK)
    more = ("--epochs", 20, "--set", "lr=3e-3", "--set", "batch_size=24", "--view", "size=16")
    trained = gz(*words, *more, "--target", "zspec", "-o", tmp_path / "net")
    assert trained["target"] == "zspec" and trained["kind"] == "redshift"
    assert trained["rmse"] < trained["baselines"]["median"]["rmse"]
    assert trained["prediction_intervals"]["n"] + 5 >= len(split.test)
    assert set(trained["intervals"]) == {"rmse", "bias", "sigma_nmad", "outlier_share"}
    assert (tmp_path / "net" / "predicted.png").stat().st_size > 10_000
    gz("predict", tmp_path / "net", discs, "-o", tmp_path / "p.parquet")
    predictions = Predictions.read(tmp_path / "p.parquet")
    assert predictions.kind == "redshift" and len(predictions) == N
    several = called(*words, "--target", "zspec", "--members", 2, "-o", tmp_path / "several")
    assert several.returncode == 1 and "members of an ensemble" in several.stderr
