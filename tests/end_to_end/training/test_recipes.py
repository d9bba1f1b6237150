"""Recipes of a training: what starts from weights is solved, then tuned; what is kept, calibrated,
resumed, refused."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blobs
import numpy as np
import pytest
import torch
from PIL import Image
from processes import Forked, Forks
from torch import nn
from torchvision.ops import StochasticDepth
from trainings import NETWORK, VIEW, killed_after, same, tensors, watched_learners

from gzfeatures.errors import InputError, OutputError, UnknownNameError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.backbones import backbone
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.inference.probabilities import Validation, classify
from gzfeatures.networks.inference.temperature import (
    SOLVED_SPREAD,
    SPREAD,
    temperature_of,
    tempered,
)
from gzfeatures.networks.models import architectures
from gzfeatures.networks.setup.augment import draws, mixed
from gzfeatures.networks.setup.recipe import RECIPES, TrainingRecipe
from gzfeatures.networks.setup.targets import TARGETS, joint
from gzfeatures.networks.training.checkpoint import STATE, read_state, write_state
from gzfeatures.networks.training.display import forecast
from gzfeatures.networks.training.initialisation import Initialisation
from gzfeatures.networks.training.learner import Learner
from gzfeatures.networks.training.result import Training
from gzfeatures.networks.training.train import train


def renamed(labels: Labels) -> Labels:
    return Labels(labels.ids, ("disc", "bar"), labels.codes, scheme="other")


def test_weights_are_tuned_and_a_random_start_is_trained_from_scratch(
    run: Callable[..., Training], trained: Training
) -> None:
    assert trained.recipe is not None and trained.recipe.recipe == "scratch"
    tuned = run("tuned", network=trained.checkpoint, epochs=2)
    assert tuned.recipe is not None and tuned.recipe.recipe == "tune"
    assert [row["epoch"] for row in tuned.history] == [0, 1, 2]
    assert 0 < (tuned.recipe.lr_decay or 0) < 1


def test_a_probe_moves_the_output_layer_alone_and_finds_the_least_loss(
    run: Callable[..., Training], trained: Training, labels: Labels, split: Split
) -> None:
    before = tensors(trained)
    probed = run("probed", network=trained.checkpoint, recipe="probe", labels=renamed(labels))
    after = tensors(probed)
    moved = {
        name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert moved == {"output"} and probed.epochs == 0 and probed.best_epoch == 0
    accuracy = (
        probed.predictions.select(split.test).codes == labels.select(split.test).codes
    ).mean()
    assert accuracy >= 0.85
    assert probed.images_seen == 8 * len(split.train)
    again = run("probed", network=trained.checkpoint, recipe="probe", labels=renamed(labels))
    assert same(probed, again)


def test_an_output_layer_that_knows_the_classes_is_kept_whatever_their_order(
    trained: Training, images: ImageSet, split: Split
) -> None:
    start = Initialisation.of(
        trained.checkpoint,
        None,
        2,
        VIEW,
        Split(split.train, split.validation, split.test[:0]),
        images,
    )
    assert start.keeps(("long", "round")) and not start.keeps(("disc", "bar"))
    old = tensors(trained)
    module, _ = start.network("toy", ("long", "round"), 2, 3, aux=False)
    assert torch.equal(module.get_parameter("output.weight"), old["output.weight"][[1, 0]])
    module, _ = start.network("toy", ("disc", "bar"), 2, 3, aux=False)
    assert not module.get_parameter("output.weight").any()


def test_a_name_whose_weights_are_not_used_says_so(images: ImageSet, split: Split) -> None:
    assert (
        "resnet18 starts at random"
        in Initialisation.of("resnet18", None, 2, VIEW, split, images).hint
    )
    assert "--weights own" in Initialisation.of("resnet18", None, 2, VIEW, split, images).hint
    assert Initialisation.of("resnet18", "none", 2, VIEW, split, images).hint == ""


def test_recipes_that_need_weights_say_so(run: Callable[..., Training]) -> None:
    with pytest.raises(
        InputError, match="recipe tune; must have weights to start from, found a random start"
    ):
        run(recipe="tune")


def test_steps_follow_from_the_number_of_galaxies() -> None:
    few, many = (TrainingRecipe.of({}, "tune").settled(n, 10, 50) for n in (100, 10_000))
    steps = [plan.epochs * plan.passes * (n // 32) for plan, n in ((few, 100), (many, 10_000))]  # type: ignore[operator]
    assert 180 <= steps[0] <= 220 and 1850 <= steps[1] <= 2100
    assert few.passes and few.passes > 1 and many.passes == 1
    assert TrainingRecipe.of({"epochs": 7}, "tune").settled(100, 10, 50).passes == 1
    assert few.lr_decay == pytest.approx(0.05 ** (1 / 9))
    assert RECIPES["scratch"].get("lr_decay", 1.0) == 1.0


def test_too_few_validation_galaxies_choose_no_epoch_of_a_tuned_network() -> None:
    def kept(validation: int, **numbers: Any) -> tuple[str | None, float | None]:
        plan = TrainingRecipe.of(numbers, "tune").settled(100, 10, validation)
        return plan.keep, plan.anchor

    assert [kept(n) for n in (0, 20, 39, 40)] == [("last", 0.5)] * 3 + [("best", 0.0)]
    # many training galaxies are trusted without any to validate
    many = TrainingRecipe.of({}, "tune").settled(200, 10, 20)
    assert (many.keep, many.anchor) == ("last", 0.0)
    assert kept(20, patience=3) == kept(20, monitor="macro_f1") == ("best", 0.0)
    assert kept(20, keep="last") == ("last", 0.0) and kept(20, keep="best") == ("best", 0.0)
    assert kept(20, anchor=0.25) == ("last", 0.25) and kept(50, anchor=0.25) == ("best", 0.25)
    assert TrainingRecipe.of({}, "scratch").settled(100, 10, 20).anchor == 0.0
    assert TrainingRecipe.of({"anchor": None}, "scratch").settled(100, 10, 20).anchor == 0.0


def test_the_tuned_network_of_few_galaxies_lies_half_way_and_says_so_before(
    run: Callable[..., Training],
    trained: Training,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    learners = watched_learners(monkeypatch)
    few = Split(split.train, split.validation[:30], split.test)
    tuned = run("tuned", network=trained.checkpoint, epochs=2, split=few, progress=True)
    assert "the last weights are kept, averaged, 50% of the way back" in capsys.readouterr().err
    assert tuned.best_epoch == 2 and tuned.recipe is not None
    assert tuned.recipe.batch_statistics == "frozen"
    (learner, _), *_ = learners
    before, last = learner.anchor, learner.average.state_dict()
    for name, value in tensors(tuned).items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (before[name] + last[name]) / 2, rtol=1e-4, atol=1e-6)
    assert not torch.equal(before["output.weight"], last["output.weight"])


def test_a_tuned_network_of_enough_galaxies_keeps_an_epoch_chosen_by_half_of_them(
    run: Callable[..., Training], trained: Training, split: Split
) -> None:
    watching = np.concatenate([split.validation, split.test[:30]])
    many = Split(split.train, watching, split.test[30:])
    tuned = run("tuned", network=trained.checkpoint, epochs=3, split=many)
    assert tuned.recipe is not None
    assert (tuned.recipe.keep, tuned.recipe.anchor) == ("best", 0.0)
    record = json.loads((tuned.checkpoint / "backbone.json").read_text())
    assert record["settings"]["compared"] == "after calibration"
    assert record["metrics"]["epoch"] == tuned.best_epoch
    assert sum(map(sum, record["metrics"]["confusion"])) + record["calibrated_on"] == len(watching)


def test_more_epochs_of_a_half_way_network_lie_half_way_from_the_same_start(
    run: Callable[..., Training], trained: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = watched_learners(monkeypatch)
    run("more", network=trained.checkpoint, epochs=1)
    run("more", network=trained.checkpoint, epochs=2)
    first, second = (learner for learner, _ in learners)
    assert first.recipe.anchor == second.recipe.anchor == 0.5
    for name, value in second.anchor.items():
        torch.testing.assert_close(value, first.anchor[name], rtol=0, atol=0)
    assert any(not torch.equal(first.anchor[name], first.best[name]) for name in first.best)


def test_a_step_of_one_galaxy_suits_statistics_that_stay(
    run: Callable[..., Training], trained: Training
) -> None:
    assert run("ones", network=trained.checkpoint, epochs=1, batch_size=1).epochs == 1
    with pytest.raises(InputError, match="normalises over the galaxies of a step"):
        run("others", network=trained.checkpoint, batch_size=1, batch_statistics="trained")


def test_an_epoch_of_several_passes_sees_every_galaxy_so_often(
    run: Callable[..., Training], split: Split
) -> None:
    training = run(epochs=2, passes=3)
    assert training.images_seen == 2 * 3 * 24 * (len(split.train) // 24)


def test_frozen_blocks_draw_no_dropout(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: dict[str, bool] = {}
    started = Learner.on_train_epoch_start

    def looked(learner: Learner) -> None:
        started(learner)
        modes.update(
            {
                name: part.training
                for name, part in learner.network.named_modules()
                if not list(part.children())
            }
        )

    monkeypatch.setattr(Learner, "on_train_epoch_start", looked)
    run(network="efficientnet-b0", view=View(size=32), epochs=1, unfreeze=2, batch_size=72)
    parts = architectures.build("efficientnet-b0", 2).named_modules()
    drop = {name for name, part in parts if isinstance(part, (nn.Dropout, StochasticDepth))}
    assert {name for name in drop if modes[name]} == {
        "features.7.0.stochastic_depth",
        "classifier.0",
    }
    assert len(drop) == 17


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_norm_of_the_gradient_is_limited(
    precision: str, run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    moved = Learner.on_train_batch_end

    def looked(learner: Learner, *arguments: Any) -> None:
        gradients = [p.grad.norm() for p in learner.network.parameters() if p.grad is not None]
        norms.append(float(torch.stack(gradients).norm()))
        moved(learner, *arguments)

    monkeypatch.setattr(Learner, "on_train_batch_end", looked)
    run(epochs=1, clip=0.01, precision=precision)
    assert len(norms) == 3 and max(norms) <= 0.0101


def test_temperature_undoes_what_makes_probabilities_too_sure() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1.5, (4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    codes = np.array([generator.choice(3, p=row) for row in p])
    ids = np.array([str(i) for i in range(4000)], dtype=object)
    sure = tempered(p, 1 / 3, "classes")
    found = temperature_of(
        Predictions(ids, sure, ("a", "b", "c")), Labels(ids, ("a", "b", "c"), codes)
    )
    assert found == pytest.approx(3, rel=0.1)
    assert np.allclose(tempered(sure, 3, "classes"), p)
    assert (
        temperature_of(
            Predictions(ids[:0], sure[:0], ("a", "b", "c")), Labels(ids, ("a", "b", "c"), codes)
        )
        == 1
    )


def test_a_few_right_galaxies_move_the_temperature_little() -> None:
    ids = np.array(list("abcd"), dtype=object)
    p = np.tile([0.8, 0.2], (4, 1))
    assert (
        temperature_of(Predictions(ids, p, ("x", "y")), Labels(ids, ("x", "y"), np.zeros(4, int)))
        > 0.3
    )


def test_a_solved_output_layer_keeps_nearer_to_its_own_probabilities(
    run: Callable[..., Training], trained: Training, labels: Labels, split: Split
) -> None:
    ids = np.array(list("abcd"), dtype=object)
    few = Predictions(ids, np.tile([0.8, 0.2], (4, 1)), ("x", "y"))
    truth = Labels(ids, ("x", "y"), np.zeros(4, int))
    assert temperature_of(few, truth) < temperature_of(few, truth, SOLVED_SPREAD) < 1
    # a probe is calibrated so, a network of another start is not
    for training, spread in (
        (run("solved", network=trained.checkpoint, recipe="probe"), SOLVED_SPREAD),
        (trained, SPREAD),
    ):
        record = json.loads((training.checkpoint / "backbone.json").read_text())
        said = training.predictions.select(split.validation)
        own = tempered(said.probabilities, 1 / record["temperature"], "classes")
        bare = dataclasses.replace(said, probabilities=own, sets=None)
        assert record["temperature"] == pytest.approx(
            temperature_of(bare, labels, spread), rel=1e-3
        )


def test_sets_are_promised_from_a_hundred_validation_galaxies_on(
    run: Callable[..., Training], images: ImageSet, labels: Labels, split: Split, tmp_path: Path
) -> None:
    few = run("few", epochs=1)
    assert few.predictions.sets is None
    assert json.loads((tmp_path / "few" / "backbone.json").read_text())["sets"] is None
    pictures = tmp_path / "more"
    pictures.mkdir()
    more = ImageSet.of(blobs.draw(pictures, 200))
    known = blobs.labels_of(more)
    wide = Split(known.ids[:60], known.ids[60:165], known.ids[165:])
    done = train(
        more, known, wide, NETWORK, folder=tmp_path / "many", epochs=3, view=VIEW, progress=False,
        precision="float32",
        batch_size=24,
    )  # fmt: skip
    assert done.predictions.sets is not None
    said = classify(more.select(wide.test), tmp_path / "many", progress=False)
    assert said.sets is not None and np.array_equal(
        said.sets, done.predictions.select(wide.test).sets
    )
    assert np.allclose(
        said.probabilities, done.predictions.select(wide.test).probabilities, atol=1e-6
    )
    trained = done.predictions.select(wide.test).familiarity
    assert said.familiarity is not None and trained is not None
    assert np.abs(said.familiarity - trained).max() <= 2 / 106  # another batch may change a rank


def test_a_network_finds_its_test_galaxies_familiar_and_noise_not(
    run: Callable[..., Training], tmp_path: Path
) -> None:
    pictures, noise = tmp_path / "more", tmp_path / "noise"
    pictures.mkdir()
    noise.mkdir()
    more = ImageSet.of(blobs.draw(pictures, 420))
    known = blobs.labels_of(more)
    wide = Split(known.ids[:200], known.ids[200:320], known.ids[320:])
    options: dict[str, Any] = {
        "view": VIEW,
        "progress": False,
        "precision": "float32",
        "batch_size": 24,
    }
    done = train(
        more, known, wide, NETWORK, folder=tmp_path / "many", epochs=6, dihedral=True, **options
    )
    assert done.predictions.familiarity is not None
    assert (
        done.predictions.select(wide.test).familiarity <= 0.1
    ).mean() <= 0.25  # 10 expected of 100
    rng = np.random.default_rng(0)
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(
            noise / f"n{number}.png"
        )
    strange = classify(ImageSet.of(noise), tmp_path / "many", progress=False)
    assert strange.familiarity is not None and (strange.familiarity < 0.01).mean() >= 0.9
    assert strange.unfamiliar is not None and not strange.sets[strange.unfamiliar].any()


def test_galaxies_that_the_starting_weights_were_trained_on_calibrate_nothing(
    run: Callable[..., Training], images: ImageSet, labels: Labels, split: Split, tmp_path: Path
) -> None:
    met = Split(split.validation, split.train[:4], split.test)
    run("first", epochs=1, split=met)
    both = Split(split.train, np.concatenate([split.validation, split.test[:3]]), split.test[3:])
    run("second", epochs=1, split=both, network=str(tmp_path / "first"), recipe="tune")
    record = json.loads((tmp_path / "second" / "backbone.json").read_text())
    assert record["calibrated_on"] == 3


def test_galaxies_that_choose_an_epoch_do_not_calibrate(labels: Labels) -> None:
    from gzfeatures.networks.training.finish import Finish, scoring_part

    split = Split(labels.ids[:20], labels.ids[20:], labels.ids[:0])
    plan = TrainingRecipe(monitor="log_loss").settled(20, 3, 100)
    watched = scoring_part(split, plan, 0)
    ending = Finish(Path(), nn.Identity(), None, labels, split, None,  # type: ignore[arg-type]
                    {"recipe": {"keep": "best"}, "seed": 0}, None,
                    False)  # type: ignore[arg-type]  # fmt: skip
    fresh = ending._fresh()
    assert not set(watched) & set(fresh) and len(watched) + len(fresh) == 100 and len(fresh) > 30
    assert len(scoring_part(split, TrainingRecipe().settled(20, 3, 100), 0)) == 100


def test_the_best_epoch_is_chosen_by_a_running_mean(run: Callable[..., Training]) -> None:
    training = run(epochs=6, monitor="log_loss", lr=3e-3)
    values = [row["calibrated_log_loss"] for row in training.history]
    smooth = [np.mean(values[max(0, row - 2) : row + 1]) for row in range(6)]
    assert training.best_epoch == int(np.argmin(smooth)) + 1


def test_an_epoch_that_is_only_too_certain_is_not_worse(labels: Labels) -> None:
    class Fixed:
        """Says of every galaxy, right in 4 of 5, ever more certain."""

        target, certainty = TARGETS["classes"], 0

        def probabilities(self, network: nn.Module, ids: np.ndarray) -> np.ndarray:
            self.certainty += 1
            right = np.where(np.arange(len(ids)) % 5 > 0, 0.8, 0.2)
            said = np.where(np.eye(2, dtype=bool)[labels.select(ids).codes], right[:, None], 0)
            said = np.where(said > 0, said, 1 - right[:, None])
            return tempered(said, 1 / self.certainty, "classes")

    inference = Fixed()
    score = Validation(inference, labels, "log_loss")  # type: ignore[arg-type]
    rows = [score(nn.Identity()) for _ in range(4)]
    raw, calibrated = ([row[name] for row in rows] for name in ("log_loss", "calibrated_log_loss"))
    assert raw[3] > raw[2] + 0.2 > raw[0] + 0.5
    assert np.ptp(calibrated) < 0.01 and calibrated[0] == pytest.approx(raw[0], abs=0.01)
    for row in rows:
        assert row["shares"].mean() == pytest.approx(row["calibrated_log_loss"])


def test_epochs_of_a_training_are_compared_with_its_solved_output_layer(
    run: Callable[..., Training], trained: Training
) -> None:
    tuned = run("compared", network=trained.checkpoint, epochs=2)
    solved, *others = tuned.history
    assert solved["gain"] == 0 and "shares" not in solved
    for row in others:
        assert row["gain"] == pytest.approx(
            solved["calibrated_log_loss"] - row["calibrated_log_loss"], abs=1e-9
        )
        assert row["gain_error"] > 0
    json.loads((tuned.checkpoint / "history.json").read_text())
    # as many epochs again are compared with the same
    more = run("compared", network=trained.checkpoint, epochs=3)
    assert more.history[-1]["gain"] == pytest.approx(
        solved["calibrated_log_loss"] - more.history[-1]["calibrated_log_loss"], abs=1e-9
    )


def test_a_diverging_training_stops_and_keeps_what_was_good(
    run: Callable[..., Training], tmp_path: Path
) -> None:
    with pytest.raises(
        InputError,
        match=r"training diverged: the loss is NaN.*learning rate.*lower the learning rate",
    ):
        run(optimizer="sgd", lr=100.0, epochs=30, schedule="one-cycle")
    assert all(torch.isfinite(value).all() for value in tensors_in(tmp_path / "out").values())


def tensors_in(folder: Path) -> dict[str, torch.Tensor]:
    from gzfeatures.networks.models.load import load

    return load(backbone(folder)).state_dict()


def test_ctrl_c_leaves_a_checkpoint(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        killed_after(4, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            run(epochs=3)
    record = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert record["interrupted"] and record["metrics"]["epoch"] == 1
    assert backbone(tmp_path / "out").architecture == NETWORK
    assert same(run(epochs=3), run("whole", epochs=3))
    assert "interrupted" not in json.loads((tmp_path / "out" / "backbone.json").read_text())


def test_the_same_command_goes_on_and_another_begins_anew(
    run: Callable[..., Training],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = run("whole", epochs=4)
    with monkeypatch.context() as patch:
        killed_after(7, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            run("torn", epochs=4)
    assert same(run("torn", epochs=4, progress=True), whole)
    assert "going on after epoch 2 of 4" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        killed_after(7, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            run("other", epochs=4, seed=5)
    assert same(run("other", epochs=4, progress=True), whole)
    assert "had another seed (5, not 0); it starts again" in capsys.readouterr().err
    with pytest.raises(
        InputError,
        match=r"holds a finished training with another seed; must be 0, found 1; .*--again",
    ):
        run("whole", epochs=4, seed=1)
    (Path(whole.checkpoint) / STATE).unlink()
    with pytest.raises(InputError, match="holds a finished training with another seed"):
        run("whole", epochs=4, seed=1)
    assert not same(run("whole", epochs=4, seed=1, again=True), run("torn", epochs=4))


def test_epochs_may_grow_with_a_course_of_their_own(
    run: Callable[..., Training],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = run(epochs=2)
    long = run(epochs=5, progress=True)
    assert "which is not the same as asking for 5 at once" in capsys.readouterr().err
    assert [row["epoch"] for row in long.history] == [1, 2, 3, 4, 5] and long.history[
        :2
    ] == short.history
    assert long.images_seen == short.images_seen // 2 * 5
    run("torn", epochs=2)
    with monkeypatch.context() as patch:
        killed_after(4, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            run("torn", epochs=5)
    assert same(run("torn", epochs=5), long)


def test_a_state_of_another_meaning_of_depth_is_not_resumed(
    run: Callable[..., Training], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(epochs=1)
    state = read_state(tmp_path / "out" / STATE)
    del state["settings"]["format"]
    write_state(tmp_path / "out" / STATE, state)
    with pytest.raises(InputError, match="another format of settings"):
        run(epochs=1)


def test_a_resumed_training_computes_with_the_threads_it_began_with(
    run: Callable[..., Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        killed_after(4, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            run(epochs=3)
    state = read_state(tmp_path / "out" / STATE)
    other = torch.get_num_threads() + 1
    state["machine"]["threads"] = other
    write_state(tmp_path / "out" / STATE, state)
    met: list[int] = []
    step = Learner.training_step
    monkeypatch.setattr(
        Learner,
        "training_step",
        lambda *given: (met.append(torch.get_num_threads()), step(*given))[1],
    )
    run(epochs=3)
    assert set(met) == {other} and torch.get_num_threads() == other - 1


def test_what_it_will_do_is_said_before_the_first_step(
    run: Callable[..., Training],
    trained: Training,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed_after(0, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run("tuned", network=trained.checkpoint, progress=True)
    said = capsys.readouterr().err
    assert "tune tiny on 72 galaxies: after its output layer was solved, 4 of 4 blocks" in said
    assert (
        " a step, about " in said
        and "of state on disk" in said
        and "pixels of 120 galaxies: " in said
    )


def test_looking_ahead_changes_nothing(run: Callable[..., Training]) -> None:
    assert same(run("quiet", epochs=2), run("loud", epochs=2, progress=True))


def test_pixels_that_do_not_fit_the_disk_are_refused_before_they_are_written(
    run: Callable[..., Training], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"free": 50_000_100})
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(
        OutputError, match=r"pixels of the training need .* must fit the disk, found 50 MB free"
    ):
        run()
    assert not (tmp_path / "out" / "pixels").exists()


def test_what_makes_no_sense_is_refused_before_the_first_step(
    run: Callable[..., Training],
    images: ImageSet,
    labels: Labels,
    split: Split,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed_after(0, AssertionError("a step was taken"), monkeypatch)
    with pytest.raises(
        UnknownNameError, match=r"unknown monitor of classes; must be one of accuracy, .*found rmse"
    ):
        run(monitor="rmse")
    with pytest.raises(
        InputError, match=r"batch_size; must be at least 2: this network normalises .* found 1"
    ):
        run(batch_size=1)
    with pytest.raises(InputError, match="monitor or patience; must have validation galaxies"):
        run(patience=3, split=Split(split.train, split.train[:0], split.test))
    from gzfeatures.galaxies.votes import votes

    flat = np.zeros((len(images), 37))
    fractions = Labels(images.ids, votes.ANSWERS, flat, "fractions", scheme="votes-37")
    with pytest.raises(
        InputError, match=r"label_smoothing.*must be 0: they are shares of volunteers already"
    ):
        run(labels=fractions, label_smoothing=0.1)


def test_a_second_target_that_knows_nothing_of_a_galaxy_leaves_its_loss_alone() -> None:
    target = joint(TARGETS["classes"], 2, TARGETS["classes"], 1.0)
    logits = torch.randn(3, 5)
    targets = torch.tensor(
        [[1, 0, 0, 1, 0], [0, 1, math.nan, math.nan, math.nan], [math.nan, math.nan, 1, 0, 0]]
    )
    loss = target.loss(logits, targets, None, 0.0)
    first = torch.nn.functional.cross_entropy(logits[:2, :2], targets[:2, :2])
    second = torch.nn.functional.cross_entropy(logits[[0, 2], 2:], targets[[0, 2], 2:])
    assert torch.isclose(loss, first + second)


def test_galaxies_of_which_other_things_are_known_are_not_mixed() -> None:
    pictures = torch.rand(4, 3, 8, 8)
    targets = torch.tensor([[1.0, 0, 0.5], [0, 1, math.nan], [1, 0, math.nan], [0, 1, 0.2]])
    for options in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        found, wanted = mixed(pictures, targets, draws(4, 0, 0), **options)
        assert torch.equal(torch.isnan(wanted), torch.isnan(targets))
        assert torch.equal(found[[1, 3]], pictures[[1, 3]]) and torch.equal(wanted[3], targets[3])
    found, wanted = mixed(pictures, targets, draws(4, 0, 0), mixup=1.0, cutmix=0.0)
    assert not torch.equal(found[2], pictures[2]) and not torch.equal(wanted[2, :2], targets[2, :2])


def warned(process: Forked, state: Path) -> tuple[int, str]:
    """A training that gets the batch system's warning once an epoch is on disk."""
    deadline = time.monotonic() + 240
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    try:
        said = process.rest(120)
    finally:
        process.kill()
    return process.wait(), said


def test_a_batch_systems_warning_writes_a_checkpoint_and_exits_with_75(
    tmp_path: Path, forks: Forks
) -> None:
    from gzfeatures.galaxies.splits.label_file import write_labels

    (tmp_path / "im").mkdir()
    images = ImageSet.of(blobs.draw(tmp_path / "im"))
    labels = blobs.labels_of(images)
    write_labels(tmp_path / "labels.csv", labels, Split.draw(labels, blobs.SHARES, seed=0))
    words = [
        "finetune",
        str(tmp_path / "im"),
        "--labels",
        str(tmp_path / "labels.csv"),
        "--network",
        "engel",
    ]
    words += [
        "--view",
        "size=16,crop=0.75",
        "--device",
        "cpu",
        "--precision",
        "float32",
        "-o",
        str(tmp_path / "net"),
    ]
    words += ["--epochs", "5000"]
    slurm = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    verb = "from gzfeatures import cli\ncli.main()\n"
    training = forks.start(verb, words, tmp_path / "said", slurm)
    code, said = warned(training, tmp_path / "net" / STATE)
    assert code == 75 and "warned that time is running out" in said, said
    assert json.loads((tmp_path / "net" / "backbone.json").read_text())["interrupted"]
    assert not list((tmp_path / "net").rglob("hpc_ckpt*"))
