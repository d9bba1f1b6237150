"""Fillings: what stands where a pixel was removed."""

from __future__ import annotations

import pytest
import torch

from gzfeatures.errors import UnknownNameError
from gzfeatures.networks.saliency.fillings import FILLINGS, blurred, filled, inpainted, sky_of


def galaxy(side: int = 30) -> torch.Tensor:
    """A bright square on a sky of its own level in each of two bands."""
    image = torch.tensor([0.5, -1.0])[None, :, None, None].repeat(1, 1, side, side)
    image[:, :, side // 3 : -side // 3, side // 3 : -side // 3] += 3.0
    return image


@pytest.mark.parametrize("filling", FILLINGS)
def test_an_image_of_which_all_is_kept_stays_as_it_is(filling: str) -> None:
    torch.testing.assert_close(filled(galaxy(), torch.ones(1, 1, 30, 30), filling), galaxy())


@pytest.mark.parametrize("filling", ["sky", "inpainted"])
def test_an_image_of_which_nothing_is_kept_is_empty_sky(filling: str) -> None:
    empty = filled(galaxy(), torch.zeros(1, 1, 30, 30), filling)
    torch.testing.assert_close(empty, sky_of(galaxy()))


@pytest.mark.parametrize("side", [30, 31, 96])
def test_a_hole_in_a_slope_is_filled_by_the_slope(side: int) -> None:
    slope = torch.linspace(0, 1, side)[None, None, None].repeat(1, 1, side, 1)
    mask = torch.ones(1, 1, side, side)
    middle = slice(side // 3, -side // 3)
    mask[:, :, middle, middle] = 0.0
    assert (inpainted(slope, mask) - slope).abs().max() < 0.1


def test_a_galaxy_whose_bright_part_is_removed_shows_it_in_no_filling_but_the_blurred() -> None:
    mask = (galaxy()[:, :1] < 1).float()
    removed = {name: float(filled(galaxy(), mask, name)[0, 0].max()) for name in FILLINGS}
    assert removed["sky"] == removed["inpainted"] == 0.5 < removed["blur"] < 3.5


def test_a_blur_keeps_the_light_and_spreads_it() -> None:
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1.0
    spread = blurred(point, 3.0)
    rows = torch.arange(41) - 20.0
    variance = (spread[0, 0].sum(1) * rows**2).sum()
    assert abs(float(spread.sum()) - 1) < 1e-5 and abs(float(variance) - 9) < 0.3


def test_masks_between_nothing_and_all_have_a_slope_that_can_be_followed() -> None:
    for filling in FILLINGS:
        mask = torch.full((1, 1, 30, 30), 0.5, requires_grad=True)
        filled(galaxy(), mask, filling).sum().backward()
        assert mask.grad is not None and float(mask.grad.abs().sum()) > 0


def test_an_unknown_filling_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown filling of removed pixels; must be one of"):
        filled(galaxy(), torch.ones(1, 1, 30, 30), "black")
