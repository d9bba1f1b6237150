"""Explanations: where a planted mark decides the class, every method points at the mark.

Galaxies are white, much brighter than the marks, and anywhere in the image; a red or a blue spot
beside the galaxy is its class. A network learns that from scratch. What is explained is then known,
and an explanation that follows the light (Adebayo+2018, arXiv:1810.03292) is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import nn

from gzfeatures.networks.saliency.attribution import METHODS, saliency
from gzfeatures.networks.saliency.faithfulness import BASELINES, baseline

SIDE, RADIUS, SHIFT = 64, 3.0, 24
BOTH = 12
"""Galaxies that are explained: each has a red and a blue mark."""


def galaxies(n: int, seed: int, *, corner: bool = False) -> tuple[torch.Tensor, np.ndarray]:
    """Images without a class, shape (n, 3, side, side), and where marks may be, (n, 2 marks, 2)."""
    random = np.random.default_rng(seed)
    low, high = (20, 22) if corner else (20, SIDE - 20)
    centres = random.uniform(low, high, (n, 2))
    angle = random.uniform(0, 2 * np.pi, n)
    offset = 11 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    images = random.normal(0, 0.02, (n, 3, SIDE, SIDE))
    images += spots(centres, 4.0)[:, None] * random.uniform(1.5, 2.5, (n, 1, 1, 1))
    marks = np.stack([centres + offset, centres - offset], axis=1)
    return torch.from_numpy(images.astype(np.float32)), marks


def spots(centres: np.ndarray, sigma: float) -> np.ndarray:
    pixel = np.arange(SIDE)
    rows = np.exp(-((pixel - centres[:, :1]) ** 2) / (2 * sigma**2))
    columns = np.exp(-((pixel - centres[:, 1:]) ** 2) / (2 * sigma**2))
    return rows[:, :, None] * columns[:, None, :]


def marked(images: torch.Tensor, places: np.ndarray, bands: np.ndarray) -> torch.Tensor:
    """The same images with a mark in one band: 0 is red, 2 is blue."""
    images = images.clone()
    images[torch.arange(len(images)), bands] += torch.from_numpy(spots(places, 1.5)).float() * 0.8
    return images


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, 2)),
    )


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network that names the colour of the mark."""
    model = network(0)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    images, places = galaxies(1200, 0)
    codes = np.random.default_rng(1).integers(0, 2, len(images))
    side = np.random.default_rng(2).integers(0, 2, len(images))
    inputs = marked(images, places[np.arange(len(images)), side], 2 * codes)
    truth = torch.from_numpy(codes)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        for rows in torch.randperm(len(inputs), generator=generator).split(50):
            # turned anyhow, as trainings do: no direction is special
            batch = torch.rot90(
                inputs[rows], int(torch.randint(4, (), generator=generator)), (2, 3)
            )
            loss = nn.functional.cross_entropy(model(batch), truth[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
    fresh, beside = galaxies(200, 3)
    with torch.no_grad():
        right = model(marked(fresh, beside[:, 0], np.full(200, 2))).argmax(1) == 1
    assert right.float().mean() > 0.97
    return model.eval()


@pytest.fixture(scope="module")
def explained() -> tuple[torch.Tensor, np.ndarray]:
    """Galaxies with a red and a blue mark each, and where: a method is asked about either class."""
    images, places = galaxies(BOTH, 7)
    return both_marks(images, places), places


def both_marks(images: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    red = marked(images, places[:, 0], np.zeros(len(images), dtype=int))
    return marked(red, places[:, 1], np.full(len(images), 2))


def maps_of(model: nn.Module, images: torch.Tensor, code: int, method: str) -> np.ndarray:
    """Maps as they are shown: single pixels flicker, so the mean over a few."""
    return gaussian_filter(saliency(model, images, code, method=method, patch=8), (0, 1.5, 1.5))


@pytest.fixture(scope="module")
def shown(
    trained: nn.Module, explained: tuple[torch.Tensor, np.ndarray]
) -> Callable[[str, int], np.ndarray]:
    """Maps of the explained galaxies by method and class; tests share them, so nobody may write."""

    @cache
    def made(method: str, code: int) -> np.ndarray:
        maps = maps_of(trained, explained[0], code, method)
        maps.flags.writeable = False
        return maps

    return made


def share_at(maps: np.ndarray, places: np.ndarray) -> float:
    """Share of images whose highest pixel lies within 5 px of a place."""
    highest = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(1), maps.shape[1:]), 1)
    return float((np.hypot(*(highest - places).T) <= 5).mean())


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Mean rank correlation of the maps of the same images; with a map without contrast it is 0."""
    ranks = [
        [rankdata(image).ravel() - (image.size + 1) / 2 for image in maps]
        for maps in (first, second)
    ]
    spread = [[np.linalg.norm(image) or 1.0 for image in maps] for maps in ranks]
    pairs = zip(*ranks, *spread, strict=True)
    return float(np.mean([(a @ b) / (norm * other) for a, b, norm, other in pairs]))


@pytest.mark.parametrize("name", BASELINES)
def test_light_and_place_say_nothing_of_the_mark(
    name: str, explained: tuple[torch.Tensor, np.ndarray]
) -> None:
    images, places = explained
    assert share_at(baseline(images, name), places[:, 0]) < 0.2


@pytest.mark.parametrize("method", METHODS)
def test_the_mark_that_decides_a_class_is_found_and_not_that_of_the_other_class(
    method: str, shown: Callable[[str, int], np.ndarray], explained: tuple[torch.Tensor, np.ndarray]
) -> None:
    _, places = explained
    red, blue = shown(method, 0), shown(method, 1)
    assert share_at(red, places[:, 0]) > 0.8 and share_at(blue, places[:, 1]) > 0.8
    assert agreement(red, blue) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_has_learned_nothing_is_explained_otherwise(
    method: str, shown: Callable[[str, int], np.ndarray], explained: tuple[torch.Tensor, np.ndarray]
) -> None:
    images, _ = explained
    learned = shown(method, 0)
    chance = [maps_of(network(seed).eval(), images, 0, method) for seed in (1, 2, 3)]
    assert np.mean([agreement(learned, maps) for maps in chance]) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_the_map_turns_with_the_image(
    method: str,
    trained: nn.Module,
    shown: Callable[[str, int], np.ndarray],
    explained: tuple[torch.Tensor, np.ndarray],
) -> None:
    images, places = explained
    before = shown(method, 0)
    after = maps_of(trained, torch.rot90(images, 1, (2, 3)), 0, method)
    row, column = places[:, 0].T
    assert share_at(after, np.stack([SIDE - 1 - column, row], axis=1)) > 0.8
    # the network itself is not the same in all directions, and over the sky a map is noise
    upright = np.rot90(before, axes=(1, 2))
    assert agreement(upright, after) > max(0.3, 2 * agreement(before, after))


@pytest.mark.parametrize("method", METHODS)
def test_the_map_is_shifted_with_the_image(method: str, trained: nn.Module) -> None:
    images, places = galaxies(BOTH, 8, corner=True)
    images = both_marks(images, places)
    # by 24 px, a multiple of the network's stride, over nothing but sky
    shifted = torch.roll(images, (SHIFT, SHIFT), (2, 3))
    before = np.roll(maps_of(trained, images, 0, method), (SHIFT, SHIFT), (1, 2))
    after = maps_of(trained, shifted, 0, method)
    assert share_at(after, places[:, 0] + SHIFT) > 0.8
    assert agreement(before, after) > 0.5
