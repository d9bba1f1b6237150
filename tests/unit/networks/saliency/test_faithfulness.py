"""Insertion minus deletion: on classes whose reason is known, the figure is known too."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.networks.saliency.faithfulness import (
    BASELINES,
    baseline,
    faithfulness,
    paired_difference,
)

PLACE = np.zeros((1, 32, 32), dtype=np.float32)
PLACE[0, 4:12, 4:12] = 1.0
"""A sixteenth of the image decides."""


def share(images: torch.Tensor) -> torch.Tensor:
    """Probability of class 1: the share of the deciding square that is bright."""
    bright = images[:, 0, 4:12, 4:12].mean((1, 2))
    return torch.stack([1 - bright, bright], dim=1)


def scene(n: int = 1) -> torch.Tensor:
    return torch.from_numpy(PLACE)[None].repeat(n, 1, 1, 1)


@pytest.mark.parametrize("filling", ["sky", "inpainted"])
def test_a_map_of_the_pixels_that_decide_has_all_but_half_a_step(filling: str) -> None:
    measured = faithfulness(share, scene(), PLACE, 1, filling=filling, steps=16)
    np.testing.assert_allclose(measured.insertion, 1 - 1 / 32, atol=1e-6)
    np.testing.assert_allclose(measured.deletion, 1 / 32, atol=1e-6)
    np.testing.assert_allclose(measured.difference, 15 / 16, atol=1e-6)


def test_a_map_of_all_other_pixels_has_the_opposite_and_chance_has_nothing() -> None:
    opposite = faithfulness(share, scene(), -PLACE, 1)
    np.testing.assert_allclose(opposite.difference, -15 / 16, atol=1e-6)
    chance = faithfulness(share, scene(64), baseline(scene(64), "random"), 1)
    assert abs(float(chance.difference.mean())) < 0.02


def test_equal_pixels_are_in_no_order_of_their_own() -> None:
    flat = np.zeros((1, 32, 32), dtype=np.float32)
    figures = [faithfulness(share, scene(), flat, 1, seed=s).difference[0] for s in range(30)]
    assert len(set(figures)) > 1 and abs(np.mean(figures)) < 0.05


def test_each_image_has_its_class_and_batches_change_nothing() -> None:
    both = faithfulness(share, scene(2), np.repeat(PLACE, 2, 0), [0, 1], batch_size=5)
    np.testing.assert_allclose(both.difference, [-15 / 16, 15 / 16], atol=1e-6)


def test_the_probability_is_that_of_as_many_passes_as_promised() -> None:
    pushed: list[int] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        pushed.append(len(images))
        return share(images)

    faithfulness(counted, scene(3), np.repeat(PLACE, 3, 0), 1, steps=10)
    assert sum(pushed) == 3 * 2 * 10


def test_baselines_know_the_image_or_nothing() -> None:
    images = scene(2) * torch.tensor([1.0, 5.0])[:, None, None, None]
    maps = {name: baseline(images, name) for name in BASELINES}
    assert all(map_.shape == (2, 32, 32) for map_ in maps.values())
    np.testing.assert_allclose(maps["brightness"], images[:, 0].numpy())
    np.testing.assert_array_equal(maps["gaussian"][0], maps["gaussian"][1])
    assert maps["gaussian"][0, 15:17, 15:17].min() == maps["gaussian"][0].max()
    np.testing.assert_array_equal(maps["random"], baseline(images, "random"))
    assert (maps["random"] != baseline(images, "random", seed=1)).any()


def test_nine_of_ten_intervals_hold_the_difference() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(size=(1000, 30))
    first = common + generator.normal(0.1, 0.2, common.shape)
    second = common + generator.normal(0.0, 0.2, common.shape)
    pairs = [paired_difference(a, b) for a, b in zip(first, second, strict=True)]
    holds = np.mean([pair.low <= 0.1 <= pair.high for pair in pairs])
    assert 0.88 < holds < 0.92
    # what galaxies have in common does not widen it
    assert np.mean([pair.high - pair.low for pair in pairs]) < 0.2


def test_a_handful_of_galaxies_has_a_mean_and_no_interval() -> None:
    few = paired_difference(np.full(9, 0.5), np.zeros(9))
    assert few.mean == 0.5 and math.isnan(few.low) and math.isnan(few.high)


def test_maps_that_cannot_be_ranked_are_refused() -> None:
    with pytest.raises(InputError, match="maps; must have the shape of the images"):
        faithfulness(share, scene(2), PLACE, 1)
    with pytest.raises(InputError, match="maps; must be finite"):
        faithfulness(share, scene(), PLACE * np.nan, 1)
    with pytest.raises(InputError, match="steps of insertion; must be at least 1, found 0"):
        faithfulness(share, scene(), PLACE, 1, steps=0)
    with pytest.raises(UnknownNameError, match="unknown baseline of explanations"):
        baseline(scene(), "edges")
