"""The verbs `finetune` and `fit` reach every option of the training, and the flag for galaxies that
were trained on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from shortcuts.undrawn import undrawn
from verbs import called, gz

from gzfeatures.errors import InputError, LeakError
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.networks.models import architectures
from gzfeatures.networks.setup.augment import Augmentation
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.synthetic.survey import MockSurvey, draw_survey
from gzfeatures.tracking import Tracking

VIEW = "size=32,crop=0.5"


@pytest.fixture(scope="module", autouse=True)
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """Where the trainings of this file are recorded."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("mlruns")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        yield Tracking()


@pytest.fixture(autouse=True)
def _undrawn() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> MockSurvey:
    return draw_survey(tmp_path_factory.mktemp("survey"), n=60, seed=3, size=64, progress=False)


@pytest.fixture(scope="module")
def labels(survey: MockSurvey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    gz("sample", survey.catalog, "--scheme", "smooth-featured", "--split", "3/1/1", "-o", path)
    return path


@pytest.fixture(scope="module")
def checkpoint(survey: MockSurvey, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained with every option at a value that is not its default."""
    folder = tmp_path_factory.mktemp("trained") / "checkpoint"
    given = {
        **{
            "batch_size": 8,
            "accumulate": 2,
            "optimizer": '"sgd"',
            "schedule": '"cosine"',
            "lr": 0.01,
        },
        **{"weight_decay": 0.01, "lr_decay": 0.9, "label_smoothing": 0.1, "balance": '"sampling"'},
        **{
            "balance_power": 1.0,
            "mixup": 0.2,
            "cutmix": 0.5,
            "ema": 0.9,
            "clip": 1.0,
            "aux_weight": 0.1,
        },
        **{
            "patience": 5,
            "monitor": '"accuracy"',
            "also_weight": 0.5,
            "passes": 2,
            "keep": '"last"',
            "batch_statistics": '"frozen"',
            "anchor": 0.25,
        },
        **{f"augmentation.{name}": value for name, value in _AUGMENTATION.items()},
    }
    settings = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    torch.save(architectures.build("resnet18", 7).state_dict(), folder.parent / "start.pth")
    words = [
        "finetune",
        survey.images,
        "--labels",
        labels,
        "--network",
        "resnet18",
        "--view",
        VIEW,
        "--epochs",
        2,
    ]
    words += ["--weights", folder.parent / "start.pth", "--recipe", "tune"]
    options = [
        "--unfreeze",
        9,
        "--target",
        "classes",
        "--precision",
        "float32",
        "--device",
        "cpu",
        "--seed",
        4,
    ]
    result = gz(*words, *options, *settings, "--dihedral", "-o", folder)
    assert {"accuracy", "macro_f1", "epochs", "seconds", "checkpoint"} <= set(result) and result[
        "epochs"
    ] == 2
    return folder


_AUGMENTATION = {
    **{
        "dihedral": "false",
        "rotation": 90.0,
        "shift": 0.1,
        "zoom": "[0.75, 1.3]",
        "brightness": 0.2,
    },
    **{"contrast": 0.2, "saturation": 0.2, "margin": 1.1},
}


def test_every_option_reaches_the_training(checkpoint: Path) -> None:
    settings = json.loads((checkpoint / "backbone.json").read_text())["settings"]
    for kind, found in (
        (TrainingRecipe, settings["recipe"]),
        (Augmentation, settings["augmentation"]),
    ):
        for field in dataclasses.fields(kind):
            assert found[field.name] != field.default, field.name
    assert settings["seed"] == 4 and settings["precision"] == "float32"
    assert settings["view"]["size"] == 32


def test_scores_on_galaxies_of_the_training_need_a_flag(
    survey: MockSurvey, labels: Path, checkpoint: Path, tmp_path: Path
) -> None:
    gz("extract", survey.images, "--backbone", checkpoint, "-o", tmp_path / "t.parquet")
    known, split = read_labels(labels)
    assert split is not None
    write_labels(
        tmp_path / "swapped.csv",
        known,
        Split(split.test, split.validation, split.train, split.groups),
    )
    fit = ["fit", tmp_path / "t.parquet", "-H", "prototype", "-o", tmp_path / "heads"]
    (fair,) = gz(*fit, "--labels", labels)["heads"]
    with pytest.raises(LeakError, match=r"was trained on \d+ of \d+ test galaxies.*--allow-seen"):
        gz(*fit, "--labels", tmp_path / "swapped.csv")
    (unfair,) = gz(*fit, "--labels", tmp_path / "swapped.csv", "--allow-seen")["heads"]
    assert not fair["dagger"] and unfair["dagger"] and 0 <= unfair["accuracy"] <= 1


def test_votes_are_learned_by_a_network_and_by_regression_heads(
    survey: MockSurvey, tmp_path: Path
) -> None:
    labels, table = tmp_path / "votes.csv", tmp_path / "table.parquet"
    gz("label", survey.catalog, "--scheme", "votes-37", "-o", labels)
    words = [
        "--labels",
        labels,
        "--network",
        "galaxyid",
        "--view",
        "size=32,grey=true",
        "--epochs",
        1,
    ]
    options = ["--set", "batch_size=16", "--set", "target=sigmoid-fractions"]
    trained = gz("finetune", survey.images, *words, *options, "-o", tmp_path / "net")
    gz("extract", survey.images, "--backbone", trained["checkpoint"], "-o", table)
    heads = gz("fit", table, "--labels", labels, "-H", "ridge", "-H", "xgboost-regression", "-H",
               "svr",
               "-o", tmp_path / "heads")["heads"]  # fmt: skip
    assert all(0 < head["rmse"] < 0.5 for head in [*heads, trained]) and len(heads) == 3
    gz("predict", heads[0]["path"], table, "-o", tmp_path / "p.csv")
    assert len(pd.read_csv(tmp_path / "p.csv").columns) >= 38


def test_counts_of_votes_and_a_second_target_come_from_files(
    survey: MockSurvey, labels: Path, tmp_path: Path
) -> None:
    votes, counts = tmp_path / "votes.csv", tmp_path / "counts.parquet"
    gz("label", survey.catalog, "--scheme", "votes-37", "-o", votes)
    frame = pd.read_csv(survey.hart).rename(columns={"asset_id": "galaxy_id"})
    frame[["galaxy_id", *(name for name in frame if name.endswith("_count"))]].to_parquet(counts)
    train = [
        "finetune",
        survey.images,
        "--network",
        "galaxyid",
        "--view",
        "size=32,grey=true",
        "--epochs",
        1,
    ]
    train += ["--set", "batch_size=16"]
    counted = gz(
        *train,
        "--labels",
        votes,
        "--target",
        "counts",
        "--counts",
        counts,
        "-o",
        tmp_path / "counted",
    )
    assert 0 < counted["rmse"] < 0.5
    gz(*train, "--labels", labels, "--also", votes, "-o", tmp_path / "both")
    record = json.loads((tmp_path / "both" / "backbone.json").read_text())
    assert record["settings"]["also"] and record["classes"] == ["featured", "smooth"]
    with pytest.raises(InputError, match="no count votes"):
        gz(
            *train,
            "--labels",
            votes,
            "--target",
            "counts",
            "--counts",
            survey.catalog,
            "-o",
            tmp_path / "none",
        )


def test_an_unknown_option_of_the_training_is_said(
    survey: MockSurvey, labels: Path, tmp_path: Path
) -> None:
    words = [
        "finetune",
        survey.images,
        "--labels",
        labels,
        "--network",
        "resnet18",
        "-o",
        tmp_path / "net",
    ]
    with pytest.raises(InputError, match="setting cannot be read; must be key=value"):
        gz(*words, "--set", "ema")
    with pytest.raises(LookupError, match="unknown training option"):
        gz(*words, "--set", "emma=0.9")


def test_a_training_is_a_run_with_curves_classes_errors_and_its_model(
    checkpoint: Path, tracking: Tracking
) -> None:
    with tracking.writing() as client:
        experiment = client.get_experiment_by_name("finetune")
        runs = client.search_runs([experiment.experiment_id])
        (run,) = [run for run in runs if run.info.run_name == checkpoint.name]
        name = run.info.run_id
        curves = {
            key: [point.step for point in client.get_metric_history(name, f"epochs/{key}")]
            for key in ("training_loss", "log_loss", "accuracy", "lr", "recall/smooth")
        }
        matrices = [file.path for file in client.list_artifacts(name, "confusion")]
        files = {file.path for file in client.list_artifacts(name)}
        model = client.search_registered_models("name = 'finetune resnet18 end-to-end'")
    # the solved output layer comes first, then two epochs
    assert all(steps == [1, 2, 3] for steps in curves.values())
    assert [Path(path).name for path in matrices] == [
        f"step-{step:04d}.{ending}" for step in (1, 2, 3) for ending in ("json", "png")
    ]
    assert {"curves.png", "history.json", "errors.json", "pairing.json"} <= files
    assert run.data.tags["kind"] == "pairing" and run.info.status == "FINISHED"
    assert run.data.params["lr"] == "0.01" and run.data.params["seed"] == "4"
    assert len(model) == 1


def test_what_an_epoch_says_of_classes_agrees_with_its_confusion_matrix(checkpoint: Path) -> None:
    history = json.loads((checkpoint / "history.json").read_text())
    for row in history:
        matrix = np.asarray(row["confusion"])
        assert [entry["support"] for entry in row["per_class"]] == matrix.sum(1).tolist()
        assert row["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
        for code, entry in enumerate(row["per_class"]):
            assert entry["recall"] == pytest.approx(matrix[code, code] / matrix[code].sum())


def test_the_worst_errors_are_the_wrong_test_galaxies_of_the_highest_log_loss(
    survey: MockSurvey, labels: Path, checkpoint: Path, tmp_path: Path
) -> None:
    record = json.loads((checkpoint / "errors.json").read_text())
    known, split = read_labels(labels)
    gz("predict", checkpoint, survey.images, "-o", tmp_path / "p.csv")
    table = pd.read_csv(tmp_path / "p.csv", dtype={"galaxy_id": str}).set_index("galaxy_id")
    assert split is not None and record["galaxies"] == len(split.test)
    truth = dict(zip(known.ids, known.names, strict=True))
    wrong = [name for name in split.test if table.loc[name, "predicted_class"] != truth[name]]
    loss = {name: -np.log(table.loc[name, truth[name]]) for name in wrong}
    assert record["wrong"] == len(wrong) > 0
    named = [error["galaxy_id"] for error in record["errors"]]
    assert len(named) == len(set(named)) == min(len(wrong), 40) and set(named) <= set(wrong)
    # other batches change the last digits, so that near ties may change places
    ordered = np.array([loss[name] for name in named])
    np.testing.assert_allclose(ordered, np.sort(list(loss.values()))[::-1][:40], atol=1e-3)
    for error in record["errors"]:
        assert error["label"] == truth[error["galaxy_id"]] != error["predicted"]
        assert error["log_loss"] == pytest.approx(loss[error["galaxy_id"]], abs=1e-3)
    page = (checkpoint / "errors.html").read_text()
    assert all(name in page for name in named) and page.count("<img") == len(named)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "sqlite:////proc/none/mlflow.db"])
def test_a_record_that_cannot_be_written_never_stops_a_training_and_is_made_up_for(
    survey: MockSurvey,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = ["--network", "engel", "--view", "size=32", "--epochs", 1, "--set", "batch_size=16"]
    result = called("finetune", survey.images, "--labels", labels, *words,
                    "--tracking-uri", address, "-o", tmp_path / "net")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("cannot be recorded") == 1
    assert f"goes on without its record: {address}" in result.stderr
    assert f"afterwards, 'gzfeatures record {tmp_path / 'net'}'" in result.stderr
    assert (tmp_path / "net" / "model.safetensors").exists()
    later = f"sqlite:///{tmp_path / 'mlflow.db'}"
    made_up = called("record", tmp_path / "net", "--tracking-uri", later, "--json")
    assert made_up.returncode == 0, made_up.stderr
    assert json.loads(made_up.stdout)["recorded"] == 1
    again = called("record", tmp_path / "net", "--tracking-uri", later, "--json")
    assert json.loads(again.stdout) == json.loads(made_up.stdout) | {"recorded": 0}
    with Tracking(later).writing() as client:
        home = client.get_experiment_by_name("finetune").experiment_id
        (run,) = client.search_runs([home])
        epochs = client.get_metric_history(run.info.run_id, "epochs/training_loss")
    assert run.info.status == "FINISHED" and len(epochs) == 1


@pytest.mark.parametrize("damage", [b"no database, " * 100, b"half"])
def test_a_damaged_database_of_this_machine_is_refused_before_anything_is_trained(
    survey: MockSurvey, labels: Path, tmp_path: Path, damage: bytes
) -> None:
    place = tmp_path / "mlflow.db"
    Tracking(f"sqlite:///{place}")
    place.write_bytes(place.read_bytes()[:9000] if damage == b"half" else damage)
    before = place.read_bytes()
    words = ["--network", "engel", "--view", "size=32", "--epochs", 1]
    result = called("finetune", survey.images, "--labels", labels, *words,
                    "--tracking-uri", f"sqlite:///{place}", "-o", tmp_path / "net")  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert "mlflow.db: cannot be recorded" in result.stderr and "move the database" in result.stderr
    assert not (tmp_path / "net" / "model.safetensors").exists() and place.read_bytes() == before
