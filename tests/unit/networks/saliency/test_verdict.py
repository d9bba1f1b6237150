"""Verdict: whether a method beats maps that do not depend on the network, in words and rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from gzfeatures.networks.saliency.verdict import MethodFigures, Verdict, compare


def figures(name: str, insertion: float, n: int = 40, seed: int = 0) -> MethodFigures:
    """A method whose insertion scatters by .05 about a mean, in both fillings; deletion is .2."""
    areas = insertion + np.random.default_rng(seed).normal(0, 0.05, n)
    areas += insertion - areas.mean()
    same = np.full(n, 0.2)
    return MethodFigures(name, {"sky": areas, "blur": areas}, {"sky": same, "blur": same}, 144.0)


def verdict(*methods: MethodFigures, n: int = 40) -> Verdict:
    return Verdict(methods, (figures("brightness", 0.8, n, 8), figures("gaussian", 0.7, n, 9)))


def test_a_method_that_loses_to_the_bright_part_is_told_so_first() -> None:
    sentence = verdict(figures("grad-cam", 0.45)).sentence()
    assert sentence.startswith("grad-cam does not beat the bright part of the image: ")
    assert "insertion − deletion grad-cam 0.25, brightness 0.60, gaussian 0.50" in sentence
    assert "grad-cam − brightness −0.35, paired 90% interval −0.3" in sentence
    assert sentence.endswith("40 galaxies)")


def test_of_several_methods_the_best_one_stands_for_all() -> None:
    methods = figures("grad-cam", 0.45), figures("occlusion", 0.75)
    sentence = verdict(*methods).sentence()
    assert sentence.startswith("None of these methods beats the bright part of the image: ")
    assert "occlusion 0.55" in sentence and "grad-cam" not in sentence
    best = verdict(*methods, figures("better", 0.9)).sentence()
    assert best.startswith(
        "better beats the bright part of the image and a Gaussian in its centre: "
    )


def test_a_gain_within_its_interval_is_no_victory() -> None:
    # .01 above on average, and galaxies scatter by .07 about that
    assert "does not beat" in verdict(figures("close", 0.81)).sentence()
    assert "close beats" in verdict(figures("close", 0.83)).sentence()


def test_a_method_below_the_gaussian_is_told_so() -> None:
    rivals = figures("brightness", 0.5, seed=8), figures("gaussian", 0.7, seed=9)
    sentence = Verdict((figures("occlusion", 0.6),), rivals).sentence()
    start = "occlusion beats the bright part of the image, but not a Gaussian in its centre: "
    assert sentence.startswith(start)


def test_few_galaxies_have_no_interval_and_are_called_few() -> None:
    few = verdict(figures("occlusion", 0.9, n=3), n=3)
    assert "(3 galaxies: too few for an interval, which needs 10)" in few.sentence()
    assert few.rows()[0]["above_brightness"] == [pytest.approx(0.1), None, None]
    assert "(1 galaxy: too few" in verdict(figures("occlusion", 0.9, n=1), n=1).sentence()


def test_rows_are_json_values_with_each_filling_and_the_cost() -> None:
    rows = verdict(figures("occlusion", 0.9)).rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [row["map"] for row in rows] == ["occlusion", "brightness", "gaussian"]
    method = rows[0]
    assert method["passes"] == 144.0 and method["deletion"] == pytest.approx(0.2)
    assert method["insertion_minus_deletion"] == pytest.approx(0.7)
    assert method["sky"] == method["blur"] == pytest.approx(0.7)
    mean, low, high = method["above_brightness"]
    assert mean == pytest.approx(0.1) and low < mean < high
    assert rows[1]["above_brightness"] is None


def test_methods_and_baselines_are_measured_on_the_same_images() -> None:
    images = torch.zeros(12, 1, 24, 24)
    images[:, :, 8:16, 8:16] = 1.0  # the bright part
    images[:, :, 2:5, 2:5] = 0.5  # what decides

    def probabilities(batch: torch.Tensor) -> torch.Tensor:
        share = 2 * batch[:, 0, 2:5, 2:5].mean((1, 2))
        return torch.stack([share, 1 - share], dim=1)

    reason = np.zeros((12, 24, 24), dtype=np.float32)
    reason[:, 2:5, 2:5] = 1.0
    measured = compare(probabilities, images, [0] * 12, {"reason": reason, "opposite": -reason})
    assert measured.galaxies == 12
    reasons, opposite, brightness, _ = measured.rows()
    assert reasons["sky"] > 0.9 > brightness["sky"] > 0 > opposite["sky"]
    assert measured.sentence().startswith(
        "reason beats the bright part of the image and a Gaussian"
    )
