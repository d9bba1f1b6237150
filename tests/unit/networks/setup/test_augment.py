from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.networks.extraction.network_crops import dihedral_views
from gzfeatures.networks.setup.augment import DRAWS, Augmentation, draws, mixed

SIZE = 24


def frames(n: int = 8, side: int = SIZE, bands: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).random((n, bands, side, side), dtype=np.float32)
    )


def test_no_augmentation_is_the_identity() -> None:
    pixels = frames()
    assert torch.allclose(
        Augmentation.none().apply(pixels, draws(8, 0, 0), SIZE), pixels, atol=1e-5
    )


def test_dihedral_copies_are_exactly_the_eight_symmetries() -> None:
    pixels = frames(1).expand(64, -1, -1, -1)
    copies = Augmentation(True, 0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0).apply(
        pixels, draws(64, 1, 0), SIZE
    )
    views = torch.cat(dihedral_views(pixels[:1]))
    nearest = (copies[:, None] - views[None]).abs().amax((2, 3, 4)).min(1)
    assert nearest.values.max() < 1e-4
    assert set(nearest.indices.tolist()) == set(range(8))
    assert len(torch.unique(views.flatten(1), dim=0)) == 8


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    rotation=st.floats(0, 180),
    shift=st.floats(0, 0.5),
    zoom=st.tuples(st.floats(0.5, 1.0), st.floats(1.0, 2.0)),
    margin=st.floats(1, 2),
    seed=st.integers(0, 1000),
)
def test_no_copy_reaches_beyond_its_frame(
    rotation: float, shift: float, zoom: tuple[float, float], margin: float, seed: int
) -> None:
    augmentation = Augmentation(True, rotation, shift, zoom, 0, 0, 0, margin)
    grid = augmentation._grid(draws(32, seed, 0).unbind(1), SIZE)
    assert grid.abs().max() <= 1 + 1e-5


def test_corners_are_never_empty() -> None:
    pixels = torch.ones(64, 3, SIZE, SIZE)
    copies = Augmentation(zoom=(0.75, 1.3), shift=0.2, brightness=0, contrast=0).apply(
        pixels, draws(64, 0, 0), SIZE
    )
    assert torch.allclose(copies, torch.ones_like(copies), atol=1e-5)


def test_margin_leaves_room_so_that_turning_does_not_zoom() -> None:
    still = Augmentation(False, 180.0, 0.0, (1.0, 1.0), 0, 0, 0, margin=math.sqrt(2))
    grid = still._grid(draws(256, 0, 0).unbind(1), SIZE)
    steps = (grid[:, 0, 1] - grid[:, 0, 0]).norm(dim=1) * math.sqrt(2) * SIZE / 2
    assert torch.allclose(steps, torch.ones(256), atol=1e-4)


def test_zoom_and_rotation_fill_their_ranges() -> None:
    grid = Augmentation(False, 0.0, 0.0, (0.75, 1.3), margin=2.0)._grid(
        draws(2000, 0, 0).unbind(1), SIZE
    )
    zoom = 1 / ((grid[:, 0, 1] - grid[:, 0, 0]).norm(dim=1) * 2.0 * SIZE / 2)
    assert zoom.min() == pytest.approx(0.75, abs=0.01) and zoom.max() == pytest.approx(
        1.3, abs=0.01
    )
    turned = Augmentation(False, 30.0, 0.0, (1.0, 1.0), margin=2.0)._grid(
        draws(2000, 0, 0).unbind(1), SIZE
    )
    step = turned[:, 0, 1] - turned[:, 0, 0]
    degrees = torch.rad2deg(torch.atan2(step[:, 1], step[:, 0]))
    assert degrees.min() == pytest.approx(-30, abs=0.5) and degrees.max() == pytest.approx(
        30, abs=0.5
    )


def test_colours_stay_in_range_and_black_sky_stays_black_without_contrast() -> None:
    jitter = Augmentation(False, 0, 0, (1, 1), brightness=1, contrast=0, saturation=1)
    copies = jitter.apply(
        torch.cat([frames(), torch.zeros(8, 3, SIZE, SIZE)]), draws(16, 0, 0), SIZE
    )
    assert copies.min() >= 0 and copies.max() <= 1
    assert torch.equal(copies[8:], torch.zeros_like(copies[8:]))
    grey = frames(4).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    only = Augmentation(False, 0, 0, (1, 1), 0, 0, saturation=1).apply(grey, draws(4, 0, 0), SIZE)
    assert torch.allclose(only, grey, atol=1e-5)


@pytest.mark.parametrize("bands", [1, 5])
def test_any_number_of_bands(bands: int) -> None:
    assert Augmentation().apply(frames(bands=bands), draws(8, 0, 0), 16).shape == (8, bands, 16, 16)


def test_a_copy_depends_on_seed_epoch_and_place_alone() -> None:
    assert torch.equal(draws(10, 3, 2)[:4], draws(4, 3, 2))
    assert not torch.equal(draws(4, 3, 2), draws(4, 3, 1)) and not torch.equal(
        draws(4, 3, 2), draws(4, 4, 2)
    )
    pixels, u, augmentation = frames(), draws(8, 0, 0), Augmentation()
    alone = torch.cat([augmentation.apply(pixels[i : i + 1], u[i : i + 1], SIZE) for i in range(8)])
    assert torch.allclose(alone, augmentation.apply(pixels, u, SIZE), atol=1e-6)
    uniforms = draws(4000, 0, 0)
    assert uniforms.shape == (4000, DRAWS) and 0 <= uniforms.min() and uniforms.max() < 1
    assert torch.allclose(uniforms.mean(0), torch.full((DRAWS,), 0.5), atol=0.03)


def test_mixing_keeps_shares_and_matches_pixels() -> None:
    images = torch.stack([torch.full((3, 16, 16), float(i)) for i in range(4)])
    targets = torch.eye(4)
    for options in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        for seed in range(5):
            copies, shares = mixed(images, targets, draws(4, seed, 0), **options)
            assert torch.allclose(shares.sum(1), torch.ones(4))
            # an image's mean is the mean of its classes' values
            assert torch.allclose(copies.mean((1, 2, 3)), shares @ torch.arange(4.0), atol=1e-5)
    assert mixed(images, targets, draws(4, 0, 0), mixup=0.0, cutmix=0.0)[0] is images


def test_values_outside_their_range_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"augmentation rotation; must be a number in 0…180, found 200"
    ):
        Augmentation(rotation=200)
    with pytest.raises(
        InputError, match=r"augmentation margin; must be a number in 1…4, found 0.5"
    ):
        Augmentation(margin=0.5)
    with pytest.raises(InputError, match=r"augmentation zoom; must be \(low, high\)"):
        Augmentation(zoom=(1.3, 0.7))
    with pytest.raises(
        UnknownNameError,
        match=r"unknown augmentation; must be one of dihedral, .*did you mean 'zoom'",
    ):
        Augmentation.of({"zoon": (1, 1)})
    assert Augmentation.of({"zoom": [0.8, 1.2]}).zoom == (0.8, 1.2)
