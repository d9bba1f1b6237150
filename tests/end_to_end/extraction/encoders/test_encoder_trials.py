"""An encoder whose vectors depend on more than their image is refused; what is tried is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_files import draw_images, exported, write_entry
from torch import nn
from verbs import called

import gzfeatures as gz
from gzfeatures.errors import WeightsError
from gzfeatures.features.store import Store
from gzfeatures.networks.encoders.soundness import (
    CENTRED_COSINE,
    QUANTISED_IMAGES,
    SHARED,
    Vectors,
    _quantised,
    directions_and_neighbours,
    findings_of,
    require_sound,
    trial_images,
)

WEIGHTS = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def sound(pixels: np.ndarray) -> Vectors:
    return np.asarray(pixels.mean((1, 2), dtype=np.float32) @ WEIGHTS, dtype=np.float32)


def with_dropout(pixels: np.ndarray) -> Vectors:
    return sound(pixels) * np.random.default_rng().integers(0, 2, (len(pixels), 6)).astype("f4")


def with_batch_statistics(pixels: np.ndarray) -> Vectors:
    return sound(pixels) - sound(pixels).mean(0)


def by_place(pixels: np.ndarray) -> Vectors:
    return sound(pixels) + np.arange(len(pixels), dtype=np.float32)[:, None]


def constant(pixels: np.ndarray) -> Vectors:
    return np.ones((len(pixels), 6), dtype=np.float32)


def not_finite(pixels: np.ndarray) -> Vectors:
    return np.full((len(pixels), 6), np.nan, dtype=np.float32)


def test_a_sound_encoder_passes_and_what_cannot_be_tried_is_said() -> None:
    findings = findings_of(sound, 16)
    require_sound(findings, "x")
    assert [finding.trial for finding in findings if finding.sound is None] == [
        "images of another size",
        "another library",
    ]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (with_dropout, "dropout"),
        (with_batch_statistics, "batch statistics"),
        (by_place, "in another order"),
        (constant, "different images"),
        (not_finite, "values"),
    ],
)
def test_an_encoder_that_is_not_sound_is_refused_with_the_trial_that_showed_it(
    run: object, words: str
) -> None:
    with pytest.raises(WeightsError, match=rf"not sound: .*{words}"):
        require_sound(findings_of(run, 16), "x")  # type: ignore[arg-type]


def test_another_library_with_other_vectors_is_found() -> None:
    require_sound(findings_of(sound, 16, lambda pixels: sound(pixels) * (1 + 1e-6)), "x")
    with pytest.raises(WeightsError, match="another library"):
        require_sound(findings_of(sound, 16, lambda pixels: sound(pixels) * 1.001), "x")


def test_eight_bit_vectors_are_compared_from_their_mean() -> None:
    # plain cosine of these is .99, because all share a large mean
    def shifted(pixels: np.ndarray) -> Vectors:
        return sound(pixels) + 1000

    def ruined(pixels: np.ndarray) -> Vectors:
        noise = np.random.default_rng(len(pixels)).normal(0, 100, (len(pixels), 6))
        return np.asarray(shifted(pixels) + noise, dtype=np.float32)

    one, other = shifted(trial_images(16)), ruined(trial_images(16))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    assert ((one * other).sum(1) / norms).min() > 0.98
    findings = findings_of(shifted, 16, ruined, quantised=True)
    assert findings[-1].sound is False and "nearest neighbours" in findings[-1].detail
    findings = findings_of(shifted, 16, shifted, quantised=True)
    assert findings[-1].sound
    # two libraries agree on a network that was calibrated badly, too
    (lost,) = (each for each in findings if each.trial == "losses of 8-bit integers")
    assert str(lost).endswith("not known (the file holds no network in floats)")


def test_eight_bit_vectors_that_keep_directions_but_not_neighbours_are_refused() -> None:
    def clumped(pixels: np.ndarray, seed: int) -> Vectors:
        # far clumps give every vector its direction; neighbours are a matter of details
        side = np.where(pixels.mean((1, 2, 3)) > np.median(pixels.mean((1, 2, 3))), 30.0, -30.0)
        details = np.random.default_rng(seed).normal(size=(len(pixels), 6))
        return np.asarray(side[:, None] + details, dtype=np.float32)

    many = trial_images(16, QUANTISED_IMAGES, seed=1)
    cosine, shared = directions_and_neighbours(clumped(many, 1), clumped(many, 2))
    assert cosine > CENTRED_COSINE and shared < SHARED
    quantised = _quantised("another library", clumped(many, 1), clumped(many, 2))
    with pytest.raises(WeightsError, match=r"not sound: another library.*nearest neighbours"):
        require_sound([quantised], "x")


@pytest.mark.parametrize(
    ("noise", "sound"), [(0.02, True), (0.5, False)], ids=["rounding", "wrong biases"]
)
def test_rounding_passes_and_wrong_arithmetic_does_not(noise: float, sound: bool) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(QUANTISED_IMAGES, 64)).astype(np.float32)
    others = vectors + rng.normal(0, noise, vectors.shape).astype(np.float32)
    assert _quantised("another library", vectors, others).sound is sound


class Dropping(nn.Module):
    """A small encoder whose dropout is alive in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop = nn.Conv2d(3, 8, 3), nn.Dropout(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.drop(self.conv(images)).mean((2, 3))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    draw_images(tmp_path / "images", 3)
    write_entry(tmp_path / "e.toml", "torch:e.pt2")
    return tmp_path


def test_a_program_that_was_exported_in_train_mode_is_refused(desk: Path) -> None:
    exported(Dropping().train(), desk / "e.pt2")
    images = gz.ImageSet.of(desk / "images")
    with pytest.raises(WeightsError, match=r"dropout.*export it in eval mode"):
        gz.extract(images, str(desk / "e.toml"), store=Store(desk / "store"))


def test_check_prints_the_trials_before_the_work(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(Dropping().eval(), desk / "e.pt2")
    monkeypatch.setenv("GZFEATURES_STORE", str(desk / "store"))
    words = ["extract", "images", "--backbone", "e.toml", "--check", "-o", "t.parquet"]
    told = called(*words, cwd=desk)
    assert told.returncode == 0, told.stderr
    lines = told.stderr.splitlines()
    trials = [number for number, line in enumerate(lines) if line.startswith("check e: ")]
    assert len(trials) == 10
    printed = next(number for number, line in enumerate(lines) if "mean and std 0.5" in line)
    assert max(trials) < printed
    assert any("another size: not known" in line for line in lines)
