"""Choose the galaxies and random numbers of each training step, from seed and epoch alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures.networks.setup.augment import draws
from gzfeatures.networks.setup.pixel_cache import PixelCache

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingPixels:
    """Store the training galaxies' pixels and targets, and draw the random order of each epoch.

    Parameters
    ----------
    cache : PixelCache
        Pixels of the n galaxies.
    targets : ndarray of float32
        Shape (n, k).
    shares : ndarray of float, optional
        Expected copies of each galaxy in an epoch, shape (n,), mean 1; None for one each.
    batch_size : int
    seed : int
    """

    cache: PixelCache
    targets: npt.NDArray[np.float32]
    shares: npt.NDArray[np.float64] | None
    batch_size: int
    seed: int

    def order(self, epoch: int) -> npt.NDArray[np.intp]:
        """Return the galaxies' row numbers in an epoch's random order; some may occur twice."""
        generator = np.random.default_rng([self.seed, epoch])
        shuffled = generator.permutation(len(self.targets))
        if self.shares is None:
            return shuffled
        # systematic sampling: a galaxy with s expected copies is drawn ⌊s⌋ or ⌈s⌉ times
        edges = np.cumsum(self.shares[shuffled])
        points = (np.arange(len(shuffled)) + generator.random()) * (edges[-1] / len(shuffled))
        chosen = shuffled[np.minimum(np.searchsorted(edges, points), len(shuffled) - 1)]
        return generator.permutation(chosen)


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Yield the batches of the current epoch, reading the next batch while the network computes.

    Several processes of one training take turns in the epoch's order. Their number changes neither
    the copy of a galaxy nor the galaxies that all processes together use in a step.

    Parameters
    ----------
    pixels : TrainingPixels
    epoch : callable
        Function that returns the current epoch.
    rank, world : int
        Number of this process, from 0, and number of all processes.
    passes : int
        Number of passes over the training galaxies in one epoch.
    """

    pixels: TrainingPixels
    epoch: Callable[[], int]
    rank: int = 0
    world: int = 1
    passes: int = 1

    def __len__(self) -> int:
        return self.passes * self._steps_of_an_epoch()

    def _steps_of_an_epoch(self) -> int:
        # leave out an incomplete last batch: its galaxies would count more, and a single galaxy has
        # no variance, which batch normalisation needs
        return max(1, len(self.pixels.targets) // self.world // self.pixels.batch_size)

    def _steps(self) -> Iterator[tuple[npt.NDArray[np.intp], torch.Tensor]]:
        """Yield the row numbers of each step's galaxies, and random numbers to augment them."""
        frames = self.pixels
        for turn in range(self.epoch() * self.passes, (self.epoch() + 1) * self.passes):
            order, uniforms = frames.order(turn), draws(len(frames.targets), frames.seed, turn)
            # each of the `world` processes takes every world-th galaxy, so that a step of all
            # processes uses the galaxies that a single process would use next
            places = np.arange(self.rank, len(order), self.world)
            for number in range(self._steps_of_an_epoch()):
                step = places[number * frames.batch_size : (number + 1) * frames.batch_size]
                yield order[step], uniforms[torch.from_numpy(step)]

    def __iter__(self) -> Iterator[Batch]:
        frames = self.pixels

        def read(rows: npt.NDArray[np.intp], uniforms: torch.Tensor) -> Batch:
            return frames.cache.batch(rows), torch.from_numpy(frames.targets[rows]), uniforms

        steps = self._steps()
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(read, *next(steps))
            for step in steps:
                batch, ahead = ahead.result(), reader.submit(read, *step)
                yield batch
            yield ahead.result()
