from __future__ import annotations

import copy
import errno
import itertools
import json
import math
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blobs
import numpy as np
import pytest
import torch
from PIL import Image
from processes import Forked, Forks
from trainings import NETWORK, SIZE, VIEW, Killed, killed_after, same, tensors, watched_learners

from gzfeatures.errors import InputError, LeakError, OutputError, UnknownNameError, WeightsError
from gzfeatures.features.backbones import Backbone, backbone
from gzfeatures.features.store import Store
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.votes import votes
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.networks.inference.probabilities import Inference, normalised
from gzfeatures.networks.models import architectures
from gzfeatures.networks.models.load import load
from gzfeatures.networks.setup.augment import Augmentation
from gzfeatures.networks.setup.batches import Batches, TrainingPixels
from gzfeatures.networks.setup.pixel_cache import PixelCache
from gzfeatures.networks.setup.recipe import TrainingRecipe
from gzfeatures.networks.setup.targets import TARGETS
from gzfeatures.networks.training.checkpoint import STATE, WholeFiles, write_folder
from gzfeatures.networks.training.initialisation import Initialisation
from gzfeatures.networks.training.learner import Learner
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.train import train


@pytest.fixture
def run(trained_in: Callable[..., Training], tmp_path: Path) -> Callable[..., Training]:
    """Two epochs on the blobs, unless more are asked for."""
    return lambda folder="out", **options: trained_in(
        tmp_path / folder, **({"epochs": 2, "lr": 3e-3} | options)
    )


def accuracy(training: Training, labels: Labels, ids: Any) -> float:
    return float((training.predictions.select(ids).codes == labels.select(ids).codes).mean())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_running_average_takes_in_the_weights_after_every_change(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    states, learners, moved = [], [], Learner.on_train_batch_end

    def watched(learner: Learner, *arguments: Any) -> None:
        if not states:
            states.append(copy.deepcopy(learner.average.state_dict()))
        if learner.trainer.global_step == len(
            states
        ):  # one more than were seen: this batch changed the weights
            states.append(copy.deepcopy(learner.network.state_dict()))
        moved(learner, *arguments)
        learners.append(learner)

    monkeypatch.setattr(Learner, "on_train_batch_end", watched)
    run(epochs=3, ema=0.7, accumulate=accumulate)
    expected, *changes = states
    assert (
        len(changes) == 3 * math.ceil(len(learners) / 3 / accumulate) > 5
    )  # an epoch ends with a change
    for step, weights in enumerate(changes, 1):
        kept = min(0.7, (1 + step) / (10 + step))
        expected = {
            name: kept * expected[name] + (1 - kept) * new if new.is_floating_point() else new
            for name, new in weights.items()
        }
    average, last = learners[-1].average.state_dict(), changes[-1]
    for name, value in average.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(average[name], last[name]) for name in average)


def test_anchored_weights_lie_between_those_before_and_after_training(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = watched_learners(monkeypatch)
    run(ema=0.5, anchor=0.25)
    (learner, began), *_ = learners
    trained = learner.average.state_dict()
    for name, value in learner.best.items():
        if value.is_floating_point():
            expected = 0.25 * began[name] + 0.75 * trained[name]
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(began[name], value) for name, value in trained.items())


def test_frozen_statistics_of_batches_stay_while_all_weights_train(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = watched_learners(monkeypatch)
    trained = load(backbone(run(batch_statistics="frozen").checkpoint), None).state_dict()
    _, began = learners[0]
    moved = {name for name, value in trained.items() if not torch.equal(value, began[name])}
    statistics = {name for name in trained if "running" in name or "num_batches" in name}
    assert statistics
    assert moved == trained.keys() - statistics


def test_it_learns_and_the_checkpoint_is_a_backbone(
    run: Callable[..., Training], images: ImageSet, labels: Labels, split: Split, drawn: None
) -> None:
    training = run(
        epochs=12,
        ema=0.9,
        label_smoothing=0.05,
        cutmix=0.5,
        dihedral=True,
        accumulate=1,
        precision="auto",
    )
    assert accuracy(training, labels, split.test) >= 0.85
    assert training.predictions.ids.tolist() == [*split.validation, *split.test]
    assert [row["epoch"] for row in training.history] == list(
        range(1, 13)
    ) and training.epochs == 12
    assert (
        training.best_epoch == 12
    )  # the averaged last weights: nothing was chosen by a handful of galaxies
    found = {path.name for path in training.checkpoint.iterdir()}
    assert found == {"backbone.json", "model.safetensors", "history.json", "curves.png", STATE}
    spec = backbone(training.checkpoint)
    assert (spec.architecture, spec.layer, spec.dim, spec.view, spec.classes) == (
        NETWORK,
        "embedding",
        32,
        VIEW,
        2,
    )
    seen = TrainedOn.decode(spec.trained_on or "")
    assert seen.contains(split.train).all() and not seen.contains(split.test).any()
    record = json.loads((training.checkpoint / "backbone.json").read_text())
    assert record["classes"] == ["round", "long"] and record["scheme"] == "toy"
    with Image.open(training.checkpoint / "curves.png") as curves:
        assert curves.width > 500
    assert not list(training.checkpoint.glob("*.npy"))


def test_returned_predictions_are_those_of_the_checkpoint(
    run: Callable[..., Training], images: ImageSet
) -> None:
    training = run()
    spec = backbone(training.checkpoint)
    chosen = images.select(training.predictions.ids)
    pixels = torch.from_numpy(
        np.stack([to_views(chosen, row, (spec.view,))[0] for row in range(len(chosen))])
    )
    with torch.inference_mode():
        logits = load(spec)(normalised(pixels.permute(0, 3, 1, 2) / 255, spec.mean, spec.std))
    assert training.temperature != 1
    assert (
        json.loads((training.checkpoint / "backbone.json").read_text())["temperature"]
        == training.temperature
    )
    found = (logits.double() / training.temperature).softmax(1).numpy()
    assert np.allclose(found, training.predictions.probabilities, atol=1e-5)


def test_the_same_seed_gives_the_same_weights(run: Callable[..., Training]) -> None:
    first = run("a", balance="sampling", mixup=0.2)
    assert same(first, run("b", balance="sampling", mixup=0.2))
    assert not same(first, run("c", balance="sampling", mixup=0.2, seed=1))


@pytest.mark.parametrize(
    ("steps", "precision", "anchor"), [(2, "float32", 0.0), (7, "bfloat16", 0.5)]
)
def test_killed_and_resumed_equals_uninterrupted(
    steps: int,
    precision: str,
    anchor: float,
    run: Callable[..., Training],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "anchor": anchor,
        "epochs": 4,
        "ema": 0.8,
        "balance": "sampling",
        "cutmix": 1.0,
        "precision": precision,
    }
    whole = run("whole", **options)
    with monkeypatch.context() as patch:
        killed_after(steps, Killed(), patch)
        with pytest.raises(Killed):
            run("torn", **options)
    resumed = run("torn", resume=True, **options)
    assert same(whole, resumed) and resumed.epochs == 4
    drop = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in whole.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in resumed.history
    ]


def test_epochs_can_be_watched_once_their_state_is_on_disk(
    run: Callable[..., Training], tmp_path: Path
) -> None:
    watched: list[tuple[int, int]] = []

    def watch(history: Sequence[Mapping[str, float]]) -> None:
        state = WholeFiles().load_checkpoint(tmp_path / "out" / STATE)
        watched.append((len(history), len(state["gzfeatures"]["history"])))
        if len(history) == 2:
            raise OutputError("cannot be recorded")

    with pytest.raises(OutputError, match="cannot be recorded"):
        run(epochs=3, watch=watch)
    run(epochs=3, watch=watch, resume=True)
    assert watched == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("finished", [True, False])
def test_a_training_of_an_earlier_version_lacks_later_fields_and_is_taken_up(
    run: Callable[..., Training],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    finished: bool,
) -> None:
    whole, torn = run("whole"), tmp_path / "torn" / STATE
    with monkeypatch.context() as patch:
        if finished:
            run("torn")
        else:
            killed_after(5, Killed(), patch)
            with pytest.raises(Killed):
                run("torn")
    state = WholeFiles().load_checkpoint(torn)
    for name in ("batch_statistics", "anchor"):
        del state["settings"]["recipe"][name]
    del state["gzfeatures"]["anchor"]
    for row in state["gzfeatures"]["history"][:1]:
        del row["calibrated_log_loss"]
    torch.save(state, torn)
    if finished:
        killed_after(0, Killed(), monkeypatch)
    assert same(whole, run("torn", resume=True))


def test_a_finished_training_is_not_trained_again(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run()
    killed_after(0, Killed(), monkeypatch)
    assert same(first, run(resume=True))


def test_ctrl_c_leaves_the_last_epoch(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        killed_after(4, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            run(epochs=3)
    assert signal.getsignal(signal.SIGINT) is handler
    assert same(run(epochs=3, resume=True), run("whole", epochs=3))


def test_a_full_disk_leaves_the_last_epoch(
    run: Callable[..., Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, done = torch.save, [0]

    def full(*arguments: Any) -> None:
        done[0] += 1
        if done[0] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(
            OutputError,
            match=r"training\.ckpt: cannot be written: No space left on device; free space",
        ):
            run(epochs=3)
    assert len(WholeFiles().load_checkpoint(tmp_path / "out" / STATE)["gzfeatures"]["history"]) == 1
    assert run(epochs=3, resume=True).epochs == 3


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 10 kB: the system refuses the write, as on a full disk.

    Held for a few lines only, for it holds for the file the test runner reports to as well.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_files_that_do_not_fit_leave_nothing_behind(images: ImageSet, tmp_path: Path) -> None:
    with (
        small_disk(),
        pytest.raises(OutputError, match="cannot be written: File too large; free space"),
    ):
        PixelCache.of(images, VIEW, tmp_path / "pixels", progress=False)
    with small_disk(), pytest.raises(OutputError, match="cannot be written"):
        WholeFiles().save_checkpoint({"weights": torch.zeros(10_000)}, tmp_path / "state.ckpt")
    spec = Backbone("n", NETWORK, None, "embedding", 32, VIEW)
    with (
        small_disk(),
        pytest.raises(OutputError, match=r"model\.safetensors: cannot be written: File too large"),
    ):
        write_folder(tmp_path, spec, architectures.build(NETWORK, 2), {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_resuming_another_training_is_refused(run: Callable[..., Training], tmp_path: Path) -> None:
    run()
    with pytest.raises(
        InputError,
        match="training to resume had another seed; must be 0, found 1; resume with the same",
    ):
        run(resume=True, seed=1)
    with pytest.raises(InputError, match="had another recipe"):
        run(resume=True, lr=1e-4)
    (tmp_path / "out" / STATE).write_bytes(b"no checkpoint")
    with pytest.raises(
        InputError, match=r"state of the training cannot be read.*train anew, without resuming"
    ):
        run(resume=True)


def test_too_little_gpu_memory_says_the_batch_size_to_try(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(1, torch.OutOfMemoryError("CUDA out of memory"), monkeypatch)
    with pytest.raises(
        InputError,
        match="batch_size 24: GPU memory does not suffice; try batch_size=12 with accumulate=2",
    ):
        run()


def test_only_training_galaxies_are_augmented(
    run: Callable[..., Training],
    images: ImageSet,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    apply, copies = Augmentation.apply, [0]

    def counted(
        self: Augmentation, frames: torch.Tensor, uniforms: torch.Tensor, size: int
    ) -> torch.Tensor:
        copies[0] += len(frames)
        return apply(self, frames, uniforms, size)

    monkeypatch.setattr(Augmentation, "apply", counted)
    run(epochs=2, cache=tmp_path / "pixels")
    assert copies[0] == 2 * 24 * (len(split.train) // 24)
    scored = images.select(np.concatenate([np.sort(split.train), split.validation, split.test]))
    cache = PixelCache.of(scored, VIEW, tmp_path / "pixels", progress=False)
    assert (
        len(list((tmp_path / "pixels").iterdir())) == 2
    )  # copies are cut from one, the other is as it is
    assert np.array_equal(
        cache.batch(np.arange(1))[0].permute(1, 2, 0).numpy(), to_views(scored, 0, (VIEW,))[0]
    )


def test_the_margin_is_what_the_images_leave() -> None:
    start = Initialisation("tiny", View(size=16, crop=0.5))
    assert start.margin(None, 1.0) == pytest.approx(2**0.5) and start.margin(
        None, 0.6
    ) == pytest.approx(1.2)
    assert start.margin(1.1, 1.0) == 1.1 and start.margin(None, 0.4) == 1
    assert start.frame(1.5) == View(size=24, crop=0.75)


def test_it_stops_when_nothing_improves(run: Callable[..., Training]) -> None:
    # a network without running averages, and a rate too small to change any weight: every epoch
    # equals the first
    options = {
        "network": "engel",
        "epochs": 9,
        "lr": 1e-12,
        "weight_decay": 0.0,
        "patience": 2,
        "monitor": "log_loss",
    }
    training = run(**options)
    assert training.epochs == 3 and training.best_epoch == 1
    assert run(**options, resume=True).epochs == 3


def test_without_validation_galaxies_the_last_epoch_is_kept(
    run: Callable[..., Training], split: Split
) -> None:
    training = run(split=Split(split.train, split.train[:0], split.test))
    assert training.best_epoch == 2 and len(training.predictions) == len(split.test)


def test_accumulated_steps_change_the_weights_once(
    run: Callable[..., Training], labels: Labels, split: Split
) -> None:
    run("a", accumulate=3, epochs=1)
    state = WholeFiles().load_checkpoint(run("a", accumulate=3, epochs=1).checkpoint / STATE)
    assert state["global_step"] == 1


def test_frozen_stages_do_not_move(run: Callable[..., Training]) -> None:
    first = run("first", epochs=1)
    start = tensors(first)
    for unfreeze, moving in ((0, {"output"}), (1, {"output", "features.10"})):
        tuned = tensors(
            run(f"tuned{unfreeze}", network=first.checkpoint, unfreeze=unfreeze, epochs=1)
        )
        moved = {
            name.rpartition(".")[0] for name in start if not torch.equal(start[name], tuned[name])
        }
        assert moved == moving


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("one-cycle", (0.04, 1, 0.5, 1e-4)),
        ("cosine", (1, 0.79389, 0.27300, 0)),
        ("polynomial", (1, 0.83666, 0.59161, 0)),
    ],
)
def test_schedules_take_their_course(name: str, factors: tuple[float, ...]) -> None:
    recipe = TrainingRecipe(schedule=name, lr=2.0, optimizer="sgd")
    optimizer = recipe.optimizer_of(architectures.build("engel", 2))
    scheduler = recipe.scheduler_of(optimizer, 100)
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert [rates[step] for step in (0, 30, 65, 100)] == pytest.approx(
        [2 * f for f in factors], abs=1e-4
    )


def test_layer_wise_decay_and_no_weight_decay_on_biases() -> None:
    network = architectures.build("resnet18", 3)
    optimizer = TrainingRecipe(lr=1.0, lr_decay=0.5, weight_decay=0.1, unfreeze=2).optimizer_of(
        network
    )
    rates = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    assert rates[id(network.get_parameter("fc.weight"))] == (1.0, 0.1)
    assert rates[id(network.get_parameter("fc.bias"))] == (1.0, 0.0)
    assert rates[id(network.get_parameter("layer4.1.conv1.weight"))] == (0.5, 0.1)
    assert rates[id(network.get_parameter("layer4.0.bn1.weight"))] == (0.25, 0.0)
    assert not network.get_parameter("layer3.1.conv1.weight").requires_grad and len(rates) == 17


def test_any_network_starts_from_a_weights_file(
    run: Callable[..., Training], tmp_path: Path
) -> None:
    network = architectures.build("squeezenet1-1", 1000)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    training = run(
        network="squeezenet1-1",
        weights=tmp_path / "weights.pth",
        unfreeze=0,
        epochs=1,
        view=View(size=32),
    )
    tuned = tensors(training)
    assert torch.equal(tuned["features.0.weight"], network.state_dict()["features.0.weight"])
    with pytest.raises(WeightsError, match="weights do not fit"):
        run(network="resnet18", weights=tmp_path / "weights.pth")


def test_a_backbone_that_saw_a_test_galaxy_is_refused(
    run: Callable[..., Training], split: Split
) -> None:
    first = run("first", epochs=1)
    swapped = Split(split.test, split.validation, split.train)
    with pytest.raises(
        LeakError,
        match=f"{len(split.train)} test galaxies were trained on by the weights to start from",
    ):
        run("second", network=first.checkpoint, split=swapped)
    second = run("third", network=first.checkpoint, epochs=1)
    assert len(TrainedOn.decode(backbone(second.checkpoint).trained_on or "")) == len(split.train)


def test_noise_labels_end_at_chance(
    run: Callable[..., Training], images: ImageSet, split: Split
) -> None:
    noise = Labels(
        images.ids, ("a", "b"), np.random.default_rng(5).integers(0, 2, len(images)), scheme="noise"
    )
    training = run(labels=noise, epochs=12, batch_size=12)
    n = len(split.test)
    assert abs(accuracy(training, noise, split.test) - 0.5) < 3 * 0.5 / np.sqrt(n)


def test_dihedral_average_does_not_depend_on_orientation(
    run: Callable[..., Training], tmp_path: Path
) -> None:
    module = load(backbone(run().checkpoint))
    pixels = np.random.default_rng(0).integers(0, 255, (4, SIZE, SIZE, 3)).astype(np.uint8)
    found = []
    for name, turned in {
        "a": pixels,
        "b": np.rot90(pixels, 1, (1, 2)),
        "c": pixels[:, :, ::-1],
    }.items():
        np.save(tmp_path / f"{name}.npy", turned)
        ids = np.array(list("wxyz"), dtype=object)
        cache = PixelCache(ids, tmp_path / f"{name}.npy")
        inference = Inference(
            cache, TARGETS["classes"], ("x", "y"), (0.5,) * 3, (0.2,) * 3, dihedral=True
        )
        found.append(inference.probabilities(module, ids))
    assert np.allclose(found[0], found[1], atol=1e-6) and np.allclose(found[0], found[2], atol=1e-6)


@pytest.mark.parametrize("target", ["fractions", "sigmoid-fractions", "counts"])
def test_vote_fractions(
    target: str, run: Callable[..., Training], images: ImageSet, split: Split
) -> None:
    shape = (len(images), 37)
    values = np.full(shape, np.nan)
    values[:, :3] = np.where(
        np.arange(len(images))[:, None] % 2, [0.1, 0.85, 0.05], [0.9, 0.05, 0.05]
    )
    labels = Labels(images.ids, votes.ANSWERS, values, "fractions", scheme="votes-37")
    counts = votes.Counts(images.ids, np.nan_to_num(np.round(40 * values)), "count")
    training = run(labels=labels, target=target, counts=counts, epochs=3)
    assert training.predictions.kind == "fractions"
    found = training.predictions.probabilities
    assert training.history[-1]["rmse"] < training.history[0]["rmse"]
    if target != "sigmoid-fractions":
        assert np.allclose(found[:, :3].sum(1), 1, atol=1e-6)


def test_several_labels(run: Callable[..., Training], images: ImageSet) -> None:
    odd = np.array([int(i[1:]) % 2 for i in images.ids], dtype=bool)
    labels = Labels(
        images.ids,
        ("long", "any"),
        np.stack([odd, np.ones_like(odd)], 1),
        "multi-label",
        scheme="toy",
    )
    training = run(labels=labels)
    assert (
        training.predictions.kind == "multi-label"
        and training.predictions.probabilities[:, 1].min() > 0.5
    )


@pytest.mark.parametrize(
    ("network", "view"),
    [
        ("engel", View(size=16, bands=tuple("ugriz"))),
        ("resnet18", View(size=32, bands=("g", "i"))),
        ("galaxyid", View(size=16, bands=("r",))),
        ("engel", View(size=32, bands=("i", "r", "g"), grey=True)),
    ],
)
def test_any_number_of_bands(network: str, view: View, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    long = np.arange(60) % 2
    y, x = np.mgrid[:20, :20] - 9.5
    light = np.exp(-(x**2) / 20 - y**2 / np.where(long, 3, 20)[:, None, None])
    flux = light[:, None] * generator.uniform(40, 60, (60, 5, 1, 1)) + generator.normal(
        0, 1, (60, 5, 20, 20)
    )
    np.save(tmp_path / "stack.npy", flux.astype(np.float32))
    images = ImageSet.of(tmp_path / "stack.npy", bands=tuple("ugriz"))
    labels = Labels(images.ids, ("round", "long"), long[[int(i) for i in images.ids]], scheme="toy")
    split = Split.draw(labels, (0.6, 0.2, 0.2), seed=0)
    options: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 12,
        "view": view,
        "progress": False,
        "precision": "float32",
    }
    training = train(images, labels, split, network, folder=tmp_path / "net", **options)
    spec = backbone(training.checkpoint)
    assert spec.view == view and spec.bands == len(view.bands or ()) == len(spec.mean)
    assert training.history[0]["training_loss"] > 0
    extract(images, training.checkpoint, store=Store(tmp_path / "store"), progress=False)


def test_googlenet_learns_with_its_auxiliary_losses_and_ships_without_them(
    run: Callable[..., Training],
) -> None:
    training = run(network="googlenet", epochs=1, batch_size=72, view=View(size=32))
    names = tensors(training)
    assert not any(name.startswith("aux") for name in names)
    assert backbone(training.checkpoint).dim == 1024


def test_killed_at_any_moment_and_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, forks: Forks
) -> None:
    options = {"epochs": 16, "ema": 0.9, "cutmix": 1.0, "resume": True}
    moment, kills, begun = np.random.default_rng(), 0, itertools.count()

    def started() -> Forked:
        words = [str(folder), str(tmp_path / "torn"), json.dumps(options)]
        code = Path(blobs.__file__).read_text(encoding="utf-8")
        return forks.start(code, words, tmp_path / f"said{next(begun)}", {})

    while kills < 2:
        torn = started()
        states: set[int] = set()
        while torn.poll() is None and len(states) < 4:  # the one it begins with, and three more
            states |= {path.stat().st_mtime_ns for path in (tmp_path / "torn").glob(STATE)}
            time.sleep(0.01)
        time.sleep(moment.uniform(0, 0.1))
        code = torn.kill()
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
        if code == 0:  # it was over before: once more from the beginning
            shutil.rmtree(tmp_path / "torn")
            kills = 0
    torn = started()
    blobs.trained(folder, tmp_path / "whole", **options)
    said = torn.rest(timeout=300)
    assert torn.returncode == 0, said
    first, second = (load(backbone(tmp_path / name)).state_dict() for name in ("whole", "torn"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not list((tmp_path / "torn").rglob("*.npy"))


TRAINS = """
import importlib.util, os, sys
os.chdir(sys.argv.pop(1))
os.dup2(os.open("told", os.O_WRONLY | os.O_CREAT), 1)
# as `python -m gzfeatures` is, by whose words Lightning starts the second process
sys.modules["__main__"].__spec__ = importlib.util.find_spec("gzfeatures.__main__")
from gzfeatures.cli import main
main()
"""


def test_two_processes_train_together_and_one_of_them_speaks(
    folder: Path, labels: Labels, split: Split, tmp_path: Path, forks: Forks
) -> None:
    write_labels(tmp_path / "labels.csv", labels, split)
    words = "--labels labels.csv --network engel --json -o out"
    words += " --view size=16,crop=0.75 --epochs 2 --device cpu --precision float32"
    words += " --set devices=2 --set strategy=ddp --set batch_size=12"
    told = [str(tmp_path), "finetune", str(folder), *words.split()]
    begun = forks.start(TRAINS, told, tmp_path / "said", {})
    said = begun.rest(timeout=600)
    assert begun.returncode == 0, said
    assert json.loads((tmp_path / "told").read_text())["epochs"] == 2
    state = WholeFiles().load_checkpoint(tmp_path / "out" / STATE)
    assert state["global_step"] == 2 * (len(split.train) // 2 // 12)
    assert len(state["gzfeatures"]["history"]) == 2 and backbone(tmp_path / "out").dim == 64
    assert not (tmp_path / "out" / "pixels").exists()


def test_processes_share_an_epoch_without_overlap(images: ImageSet, tmp_path: Path) -> None:
    cache = PixelCache.of(images, VIEW, tmp_path, progress=False)
    targets = np.arange(len(images), dtype=np.float32)[:, None]
    frames = TrainingPixels(cache, targets, None, batch_size=10, seed=3)
    halves = [
        torch.cat([t for _, t, _ in Batches(frames, lambda: 4, rank, 2)]).flatten()
        for rank in (0, 1)
    ]
    assert sorted(torch.cat(halves).tolist()) == list(range(len(images)))
    whole = [u for _, _, u in Batches(frames, lambda: 4)]
    assert torch.equal(
        torch.cat(whole)[::2], torch.cat([u for _, _, u in Batches(frames, lambda: 4, 0, 2)])
    )
    assert frames.order(4).tolist() != frames.order(5).tolist()


def test_balanced_sampling_draws_rare_classes_as_often_as_it_says() -> None:
    labels = Labels(
        np.array([str(i) for i in range(100)], dtype=object),
        ("x", "y"),
        np.repeat([0, 1], [90, 10]),
    )
    shares = TrainingRecipe(balance="sampling", balance_power=1.0).shares(labels)
    assert shares is not None and shares.mean() == pytest.approx(1)
    frames = TrainingPixels(
        PixelCache(labels.ids, Path("unused")), np.zeros((100, 2), np.float32), shares, 10, seed=0
    )
    drawn = np.bincount(frames.order(0), minlength=100)
    assert (
        drawn[90:].sum() == pytest.approx(50, abs=1)
        and set(drawn[90:]) == {5}
        and drawn[:90].max() == 1
    )
    weights = TrainingRecipe(balance="weights", balance_power=1.0).class_weights(labels)
    assert weights is not None and weights[1] / weights[0] == pytest.approx(9)
    assert (
        TrainingRecipe().shares(labels) is None and TrainingRecipe().class_weights(labels) is None
    )


def test_options_that_make_no_sense_are_refused(
    run: Callable[..., Training], tmp_path: Path
) -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"unknown training option; must be one of recipe, epochs, .*did you mean 'lr'",
    ):
        run(lrr=1)
    with pytest.raises(
        UnknownNameError,
        match="unknown optimizer; must be one of adamw, adam, sgd, rmsprop, found adagrad",
    ):
        run(optimizer="adagrad")
    with pytest.raises(
        InputError, match="recipe batch_size; must be a whole number of at least 1, found 0"
    ):
        run(batch_size=0)
    with pytest.raises(
        InputError, match=r"recipe label_smoothing; must be a number in 0…0\.99, found 1\.5"
    ):
        run(label_smoothing=1.5)
    with pytest.raises(InputError, match="recipe lr; must be a number in 1e-12…100, found high"):
        run(lr="high")
    with pytest.raises(
        InputError,
        match=r"augmentation margin; must leave the frame inside the image, at most 1\.333",
    ):
        run(augmentation={"margin": 1.5})
    with pytest.raises(UnknownNameError, match="unknown network; must be one of tomi"):
        run(network="no-such-net")
    place = tmp_path / "taken"
    place.write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        run("taken")
