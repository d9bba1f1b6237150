"""An ensemble of seeds: one checkpoint that answers with the mean of its members, taken wherever a
network is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torchvision import models
from trainings import NETWORK, VIEW, Killed, killed_after
from verbs import gz

from gzfeatures.errors import InputError
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.experiment.config import Experiment
from gzfeatures.experiment.run import run as run_experiment
from gzfeatures.features.backbones import backbone
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.inference.probabilities import classify
from gzfeatures.networks.inference.temperature import tempered
from gzfeatures.networks.models.ensemble import NetworkEnsemble
from gzfeatures.networks.models.load import load
from gzfeatures.networks.saliency.attribution import saliency
from gzfeatures.networks.setup.options import TrainingOptions
from gzfeatures.networks.training.checkpoint import write_folder
from gzfeatures.networks.training.members import JoinedTraining, train_members
from gzfeatures.networks.training.preparation import TrainingGalaxies
from gzfeatures.networks.training.train import train
from gzfeatures.tracking import Tracking


@pytest.fixture
def galaxies(images: ImageSet, labels: Labels, split: Split) -> TrainingGalaxies:
    return TrainingGalaxies(images, labels, split)


def options(folder: Path, **more: object) -> TrainingOptions:
    fields = {"batch_size": 24, "view": VIEW, "progress": False, "precision": "float32"}
    return TrainingOptions.of({**fields, "epochs": 3, "folder": folder, **more})


@pytest.fixture(scope="module")
def joined(
    images: ImageSet, labels: Labels, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> JoinedTraining:
    folder = tmp_path_factory.mktemp("members") / "three"
    made = train_members(TrainingGalaxies(images, labels, split), NETWORK, options(folder), 3)
    assert isinstance(made, JoinedTraining)
    return made


def test_it_answers_with_the_mean_of_calibrated_probabilities_calibrated_again(
    joined: JoinedTraining, labels: Labels, split: Split
) -> None:
    mean = np.mean([each.predictions.probabilities for each in joined.members], axis=0)
    again = tempered(mean, joined.temperature, "classes")
    np.testing.assert_allclose(joined.predictions.probabilities, again, atol=1e-5)
    tested = joined.predictions.select(split.test)
    losses = [
        evaluate(each.predictions.select(split.test), labels).metrics["log_loss"]
        for each in joined.members
    ]
    assert evaluate(tested, labels).metrics["log_loss"] < np.mean(losses)
    assert len({each.temperature for each in joined.members}) == 3  # else the seeds were alike


def test_the_mean_of_weights_is_no_network_where_seeds_began_apart(
    joined: JoinedTraining, images: ImageSet, labels: Labels, split: Split, tmp_path: Path
) -> None:
    """Why members are averaged by their probabilities."""
    places = [each.checkpoint for each in joined.members]
    states = [load_file(place / "model.safetensors") for place in places]
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }
    network = load(backbone(places[0]))
    network.load_state_dict(mean)
    record = json.loads((places[0] / "backbone.json").read_text())
    bare = dataclasses.replace(backbone(places[0]), weights=None, sha256="")
    names = ("classes", "scheme", "settings", "dihedral")
    write_folder(tmp_path, bare, network, {name: record[name] for name in names})
    averaged = evaluate(classify(images.select(split.test), tmp_path), labels)
    alone = [
        evaluate(each.predictions.select(split.test), labels).metrics["log_loss"]
        for each in joined.members
    ]
    together = evaluate(joined.predictions.select(split.test), labels).metrics["log_loss"]
    assert together < min(alone) and averaged.metrics["log_loss"] > max(alone)


def test_a_checkpoint_of_members_predicts_as_its_training_did(
    joined: JoinedTraining, images: ImageSet, split: Split
) -> None:
    served = classify(images.select(split.test), joined.checkpoint, progress=False)
    expected = joined.predictions.select(split.test).probabilities
    np.testing.assert_allclose(served.probabilities, expected, atol=1e-6)
    # the training galaxies of the members are known to have been seen
    seen = classify(images.select(split.train[:5]), joined.checkpoint, progress=False).seen
    assert seen is not None and seen.all()


def test_members_go_on_where_they_were_killed(
    joined: JoinedTraining,
    galaxies: TrainingGalaxies,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = options(tmp_path / "torn")
    with monkeypatch.context() as patch:
        killed_after(14, Killed(), patch)  # in the second member: each has 9 steps
        with pytest.raises(Killed):
            train_members(galaxies, NETWORK, chosen, 3)
    first = tmp_path / "torn" / "members" / "seed-0" / "model.safetensors"
    before = first.stat().st_mtime_ns, first.read_bytes()
    assert not (tmp_path / "torn" / "backbone.json").exists()
    resumed = train_members(galaxies, NETWORK, chosen, 3)
    assert first.read_bytes() == before[1]
    np.testing.assert_array_equal(
        resumed.predictions.probabilities, joined.predictions.probabilities
    )


def test_each_member_loads_in_plain_torchvision(galaxies: TrainingGalaxies, tmp_path: Path) -> None:
    chosen = options(tmp_path / "pair", epochs=1)
    made = train_members(galaxies, "resnet18", chosen, 2)
    tensors = load_file(made.checkpoint / "model.safetensors")
    for number in range(2):
        plain = models.resnet18(num_classes=len(galaxies.labels.classes))
        prefix = f"members.{number}."
        own = {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        plain.load_state_dict(own)  # strict: every name, and no other
        alone = load_file(made.checkpoint / "members" / f"seed-{number}" / "model.safetensors")
        assert all(torch.equal(alone[name], value) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_the_logits_of_an_ensemble_say_the_mean_probability(link: str) -> None:
    class Given(torch.nn.Module):
        def __init__(self, logits: torch.Tensor) -> None:
            super().__init__()
            self.logits = logits

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.logits

    generator = torch.Generator().manual_seed(0)
    given = [40 * torch.randn(50, 4, generator=generator) for _ in range(3)]
    whole = NetworkEnsemble([Given(logits) for logits in given], link, [1.0, 2.0, 0.5])
    probabilities = (lambda z: z.softmax(1)) if link == "softmax" else torch.sigmoid
    mean = sum(
        probabilities(logits.double() / t) for logits, t in zip(given, (1.0, 2.0, 0.5), strict=True)
    )
    found = whole(torch.empty(0))
    assert torch.isfinite(found).all()
    assert torch.allclose(probabilities(found.double()), mean / 3, atol=1e-5)


def test_grad_cam_of_an_ensemble_is_the_mean_of_its_members(joined: JoinedTraining) -> None:
    network = load(backbone(joined.checkpoint))
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    maps = [saliency(member, pixels, 1) for member in network.members]
    np.testing.assert_allclose(saliency(network, pixels, 1), np.mean(maps, axis=0))
    assert not np.allclose(maps[0], maps[2])


def test_ensembles_that_make_no_sense_are_refused_before_a_member_is_trained(
    joined: JoinedTraining, galaxies: TrainingGalaxies, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="must be at least 2, found 1"):
        train_members(galaxies, NETWORK, options(tmp_path / "one"), 1)
    with pytest.raises(InputError, match=r"target fractions: .* must learn one of classes"):
        train_members(galaxies, NETWORK, options(tmp_path / "tree", target="fractions"), 2)
    single = options(tmp_path / "single", epochs=1)
    train(galaxies.images, galaxies.labels, galaxies.split, NETWORK, single)
    with pytest.raises(InputError, match="holds the training of a single network"):
        train_members(galaxies, NETWORK, single, 2)
    # and the other way round
    inside = dataclasses.replace(options(joined.checkpoint), seed=0)
    with pytest.raises(InputError, match="finished training with another seed"):
        train(galaxies.images, galaxies.labels, galaxies.split, NETWORK, inside)
    with pytest.raises(InputError, match="an ensemble of 3; start from one of its members"):
        train(
            galaxies.images, galaxies.labels, galaxies.split, joined.checkpoint, options(tmp_path)
        )
    assert not (tmp_path / "tree").exists()


@pytest.fixture(scope="module")
def desk(
    folder: Path, labels: Labels, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("desk")
    write_labels(place / "labels.csv", labels, split)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")
        yield place


def test_every_verb_takes_an_ensemble_for_a_network(
    desk: Path, folder: Path, images: ImageSet, split: Split
) -> None:
    import mlflow

    words = ["--network", NETWORK, "--view", "size=16,crop=0.75", "--epochs", 1]
    place = desk / "pair"
    trained = gz("finetune", folder, "--labels", desk / "labels.csv", *words,
                 "--set", "batch_size=24", "--members", 2, "-o", place)  # fmt: skip
    assert trained["members"] == 2 and 0 <= trained["accuracy"] <= 1
    gz("predict", place, folder, "-o", desk / "p.csv")
    table = gz("extract", folder, "--backbone", place, "-o", desk / "t.parquet")
    assert table["dim"] == 64
    fitted = gz("fit", desk / "t.parquet", "--labels", desk / "labels.csv", "-H", "prototype",
                "-o", desk / "heads")["heads"]  # fmt: skip
    assert len(fitted) == 1
    gz("explain", place, images.ids[0], "--images", folder, "--method", "grad-cam",
       "-o", desk / "e.html")  # fmt: skip
    assert (place / "errors.json").exists()
    # the MLflow model answers as the checkpoint does
    tracking = Tracking()
    with tracking.writing() as client:
        experiment = client.get_experiment_by_name("finetune")
        names = {run.info.run_name for run in client.search_runs([experiment.experiment_id])}
        (version,) = client.search_model_versions(f"name = 'finetune {NETWORK} x2 end-to-end'")
    assert {"seed-0", "seed-1", f"{NETWORK} x2"} <= names
    chosen = split.test[:4]
    frame = pd.DataFrame(
        {"galaxy_id": chosen, "image": [(folder / f"{name}.png").read_bytes() for name in chosen]}
    )
    answer = mlflow.pyfunc.load_model(version.source).predict(frame)
    written = pd.read_csv(desk / "p.csv").set_index("galaxy_id").loc[chosen]
    classes = json.loads((place / "backbone.json").read_text())["classes"]
    np.testing.assert_allclose(answer[classes], written[classes], atol=1e-3)


def test_an_experiment_ranks_an_ensemble_beside_its_members(
    desk: Path, folder: Path, labels: Labels, tmp_path: Path, trained_in: Callable[..., object]
) -> None:
    frame = pd.DataFrame({"galaxy_id": labels.ids})
    frame.to_csv(tmp_path / "catalog.csv", index=False)
    chosen = {
        "name": "members",
        "device": "cpu",
        "precision": "float32",
        "map": False,
        "galaxies": {
            "catalog": tmp_path / "catalog.csv",
            "images": folder,
            "labels": desk / "labels.csv",
        },
        "networks": [
            {
                "name": NETWORK,
                "view": "size=16,crop=0.75",
                "epochs": 2,
                "members": 2,
                "as_backbone": True,
                "options": {"batch_size": 24, "progress": False},
            }
        ],
        "heads": [{"name": "prototype"}],
    }
    done = run_experiment(Experiment.model_validate(chosen), folder=tmp_path / "run")
    rows = [(row["road"], row["backbone"], row["seed"]) for row in done.asdict()["pairings"]]
    alone = [(road, name, seed) for road, name, seed in rows if road == "end-to-end"]
    assert sorted(alone) == [
        ("end-to-end", NETWORK, 0),
        ("end-to-end", NETWORK, 1),
        ("end-to-end", f"{NETWORK} x2", 0),
    ]
    assert sum(road == "fine-tuned" for road, *_ in rows) == 3
    ensemble = tmp_path / "run" / "networks" / f"00-{NETWORK}-x2" / "model.safetensors"
    before = ensemble.stat().st_mtime_ns
    run_experiment(tmp_path / "run", folder=tmp_path / "run")
    assert ensemble.stat().st_mtime_ns == before  # read, not made again
