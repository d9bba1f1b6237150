"""Measure if a map marks the pixels that decide a class, by adding and removing marked pixels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures.errors import InputError, unknown
from gzfeatures.networks.saliency.fillings import filled

ClassProbabilities: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Function from normalised images (n, bands, h, w) to class probabilities (n, k)."""

BASELINES = ("brightness", "gaussian", "random")
"""Maps that do not depend on the network, to compare explanations with."""

STEPS = 16
LEVEL = 0.9
LEAST = 10
"""Fewest galaxies for an interval of a mean difference."""

WIDTH = 8
"""Divisor of the image's side that gives the width of the central Gaussian."""


@dataclasses.dataclass(frozen=True, eq=False)
class Faithfulness:
    """Store, for each image, the mean class probability while pixels are added or removed.

    Parameters
    ----------
    insertion, deletion : ndarray of float64
        Shape (n,), in [0, 1]: mean probability while the most important pixels are put into an
        image of nothing but filling, and while they are taken out of the image.
    """

    insertion: npt.NDArray[np.float64]
    deletion: npt.NDArray[np.float64]

    @property
    def difference(self) -> npt.NDArray[np.float64]:
        """Return mean probability while adding pixels minus that while removing them, shape (n,).

        In [−1, 1]; about 0 for a random order.
        """
        return self.insertion - self.deletion


def faithfulness(
    probabilities: ClassProbabilities,
    images: torch.Tensor,
    maps: npt.NDArray[np.floating],
    target: int | Sequence[int],
    *,
    filling: str = "sky",
    steps: int = STEPS,
    seed: int = 0,
    batch_size: int = 64,
) -> Faithfulness:
    """Measure the class probability while pixels are added or removed, as ordered by a map.

    The areas under both curves are called insertion and deletion (Petsiuk+2018, arXiv:1806.07421,
    sect. 4.1, algorithm 1).

    Parameters
    ----------
    probabilities : callable
        Function from images to class probabilities, such as the softmax of a network's logits.
    images : Tensor
        Normalised float32, shape (n, bands, height, width).
    maps : ndarray
        Shape (n, height, width); larger where the pixel matters more. Pixels with equal values are
        put into a random order.
    target : int or sequence of int
        Class code, of all or of each image.
    filling : {"sky", "blur", "inpainted"}
        What replaces missing pixels, see `fillings`.
    steps : int
        Number of equal shares of the pixels, added or removed one after the other; an image costs
        2 · `steps` passes through the network.
    seed : int
        Seed of the random order of equal pixels.
    batch_size : int
        Images pushed through the network at a time.

    Raises
    ------
    InputError
        Maps and images differ in shape, a map is not finite, or there are no steps.
    UnknownNameError
        No such filling.
    """
    if maps.shape != (len(images), *images.shape[2:]):
        expected = (len(images), *images.shape[2:])
        raise InputError("maps", rule=f"have the shape of the images, {expected}", found=maps.shape)
    if not np.isfinite(maps).all():
        raise InputError("maps", rule="be finite", found="NaN or infinity")
    if steps < 1:
        raise InputError("steps of insertion", rule="be at least 1", found=steps)
    codes = np.broadcast_to(np.asarray(target), len(images)).tolist()
    curves = np.empty((len(images), 2, steps + 1))
    for row, (map_, code) in enumerate(zip(maps, codes, strict=True)):
        masks = _masks(map_, steps, seed).to(images)
        values: list[torch.Tensor] = []
        for start in range(0, len(masks), batch_size):
            part = masks[start : start + batch_size]
            image = images[row : row + 1].expand(len(part), -1, -1, -1)
            with torch.no_grad():
                values.append(probabilities(filled(image, part, filling))[:, code].double().cpu())
        curve_values = torch.cat(values).numpy()
        # both curves contain the image without any pixel and with all pixels: compute these two
        # only once
        curves[row, 0] = curve_values[: steps + 1]
        curves[row, 1] = [curve_values[steps], *curve_values[steps + 1 :], curve_values[0]]
    areas = np.asarray(np.trapezoid(curves, dx=1 / steps, axis=2))
    return Faithfulness(areas[:, 0], areas[:, 1])


def _masks(map_: npt.NDArray[np.floating], steps: int, seed: int) -> torch.Tensor:
    """Return masks of kept pixels: growing shares of the most important, then the complements."""
    # maps after a ReLU are zero over wide areas: put equal pixels in random order, because row by
    # row would prefer a direction
    chance = np.random.default_rng(seed).random(map_.size)
    order = np.lexsort((chance, -map_.ravel()))
    rank = np.empty(map_.size, dtype=np.int64)
    rank[order] = np.arange(map_.size)
    counts = np.rint(np.linspace(0, map_.size, steps + 1)).astype(np.int64)
    inserted = rank[None] < counts[:, None]
    both = np.concatenate([inserted, ~inserted[1:-1]])
    return torch.from_numpy(both.reshape(len(both), 1, *map_.shape).astype(np.float32))


class PairedDifference(NamedTuple):
    """Store the mean difference between two scores of the same galaxies, with its interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], *, level: float = LEVEL
) -> PairedDifference:
    """Return the mean difference between two scores of each galaxy, with Student's interval.

    Parameters
    ----------
    first, second : ndarray of float64
        Shape (n,), the figures of the same galaxies; n ≥ 1.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    PairedDifference
        Its `low` and `high` are NaN below 10 galaxies.

    Examples
    --------
    >>> paired_difference(np.arange(10.0), np.arange(10.0) - 0.5)
    PairedDifference(mean=0.5, low=0.5, high=0.5)
    """
    from scipy.stats import t

    differences = first - second
    n, mean = len(differences), float(differences.mean())
    if n < LEAST:
        return PairedDifference(mean, math.nan, math.nan)
    reach = float(t.ppf((1 + level) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return PairedDifference(mean, mean - reach, mean + reach)


def baseline(images: torch.Tensor, name: str, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return maps that use no network, for comparison: brightness, a central Gaussian, or noise.

    Parameters
    ----------
    images : Tensor
        Shape (n, bands, height, width).
    name : {"brightness", "gaussian", "random"}
        The mean of the bands; a Gaussian in the centre, the same for all; or random numbers.
    seed : int
        Seed of the random maps.

    Returns
    -------
    ndarray of float32
        Shape (n, height, width).

    Raises
    ------
    UnknownNameError
        No such baseline.
    """
    if name not in BASELINES:
        raise unknown("baseline of explanations", name, BASELINES)
    shape = (len(images), *images.shape[2:])
    if name == "brightness":
        return np.asarray(images.mean(1).float().cpu().numpy())
    if name == "random":
        return np.random.default_rng(seed).random(shape, dtype=np.float32)
    down, across = (np.arange(side) - (side - 1) / 2 for side in shape[1:])
    squared = down[:, None] ** 2 + across[None] ** 2
    hill = np.exp(-squared / (2 * (min(shape[1:]) / WIDTH) ** 2))
    return np.broadcast_to(hill.astype(np.float32), shape)
