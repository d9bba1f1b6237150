"""Compare explanations of a network with baseline maps that do not use the network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures.networks.saliency.faithfulness import (
    LEAST,
    LEVEL,
    STEPS,
    ClassProbabilities,
    PairedDifference,
    baseline,
    faithfulness,
    paired_difference,
)
from gzfeatures.networks.saliency.fillings import FILLINGS

RIVALS = {"brightness": "the bright part of the image", "gaussian": "a Gaussian in its centre"}
"""Baseline maps that a method has to beat, with their names in a sentence."""


@dataclasses.dataclass(frozen=True, eq=False)
class MethodFigures:
    """Store mean class probabilities while pixels are added (insertion) or removed (deletion).

    Parameters
    ----------
    name : str
        Name of the method or baseline.
    insertion, deletion : dict of str to ndarray
        Filling → areas under the curves, shape (n,).
    passes : float, optional
        Images pushed through the network for the map of one galaxy, backward counted like forward;
        None for a baseline.
    """

    name: str
    insertion: dict[str, npt.NDArray[np.float64]]
    deletion: dict[str, npt.NDArray[np.float64]]
    passes: float | None = None

    def difference(self, filling: str | None = None) -> npt.NDArray[np.float64]:
        """Return each galaxy's insertion − deletion score, shape (n,).

        `filling` is the method that replaces removed pixels; None: the mean over all methods.
        """
        chosen = self.insertion if filling is None else [filling]
        each = [self.insertion[name] - self.deletion[name] for name in chosen]
        return np.asarray(np.mean(each, axis=0))


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """Compare explanation methods with baseline maps, galaxy by galaxy.

    Parameters
    ----------
    methods, baselines : tuple of MethodFigures
        Scores of the methods, in the order of the arguments, and of the baselines in `RIVALS`.
    """

    methods: tuple[MethodFigures, ...]
    baselines: tuple[MethodFigures, ...]

    @property
    def galaxies(self) -> int:
        """Return the number of galaxies whose explanations are compared."""
        return len(self.baselines[0].difference())

    def against(self, method: MethodFigures, rival: str) -> PairedDifference:
        """Return the mean gain in insertion − deletion over a baseline, with an interval."""
        figures = next(figures for figures in self.baselines if figures.name == rival)
        return paired_difference(method.difference(), figures.difference())

    def beats(self, method: MethodFigures, rival: str) -> bool:
        """Return True if a method's maps score better than a baseline's by more than chance.

        The whole interval of the difference must be positive. With fewer than 10 galaxies, which
        give no interval, the mean difference must be positive.
        """
        found = self.against(method, rival)
        return (found.mean if math.isnan(found.low) else found.low) > 0

    def sentence(self) -> str:
        """Return a sentence that says if the best method explains better than brightness does.

        Methods are ranked by the baselines they beat (brightness and a Gaussian before brightness
        alone), then by score.
        """

        def merit(method: MethodFigures) -> tuple[bool, bool, float]:
            beaten = [self.beats(method, rival) for rival in RIVALS]
            return all(beaten), beaten[0], float(method.difference().mean())

        best = max(self.methods, key=merit)
        beaten = [name for name in RIVALS if self.beats(best, name)]
        if "brightness" not in beaten:
            subject = best.name if len(self.methods) == 1 else "None of these methods"
            verb = "does not beat" if len(self.methods) == 1 else "beats"
            start = f"{subject} {verb} {RIVALS['brightness']}"
        elif len(beaten) < len(RIVALS):
            start = f"{best.name} beats {RIVALS['brightness']}, but not {RIVALS['gaussian']}"
        else:
            start = f"{best.name} beats {' and '.join(RIVALS.values())}"
        figures = ", ".join(
            f"{figures.name} {_signed(figures.difference().mean())}"
            for figures in (best, *self.baselines)
        )
        gap = self.against(best, "brightness")
        number = f"{self.galaxies} {'galaxy' if self.galaxies == 1 else 'galaxies'}"
        if math.isnan(gap.low):
            certainty = f"{number}: too few for an interval, which needs {LEAST}"
        else:
            bounds = f"{_signed(gap.low)} to {_signed(gap.high)}"
            certainty = (
                f"{best.name} − brightness {_signed(gap.mean)}, paired {LEVEL:.0%} interval "
                f"{bounds}, {number}"
            )
        return f"{start}: insertion − deletion {figures} ({certainty})"

    def result(self) -> dict[str, Any]:
        """Return the comparison of explanations with baseline maps, as a dictionary for JSON."""
        return {"verdict": self.sentence(), "galaxies": self.galaxies, "maps": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return the scores of methods and baselines as JSON values; a missing interval is None."""
        return [
            {
                "map": figures.name,
                "insertion": float(np.mean([*figures.insertion.values()])),
                "deletion": float(np.mean([*figures.deletion.values()])),
                "insertion_minus_deletion": float(figures.difference().mean()),
                **{name: float(figures.difference(name).mean()) for name in figures.insertion},
                **{
                    f"above_{rival}": None
                    if figures in self.baselines
                    else _bounds(self.against(figures, rival))
                    for rival in RIVALS
                },
                "passes": figures.passes,
            }
            for figures in (*self.methods, *self.baselines)
        ]


def _signed(value: float) -> str:
    """Return a number as text with two decimals and a typographic minus sign."""
    return f"{value:.2f}".replace("-", "−")


def _bounds(pair: PairedDifference) -> list[float | None]:
    return [None if math.isnan(value) else value for value in pair]


def compare(
    probabilities: ClassProbabilities,
    images: torch.Tensor,
    target: Sequence[int],
    maps: Mapping[str, npt.NDArray[np.floating]],
    *,
    passes: Mapping[str, float] | None = None,
    fillings: Sequence[str] = tuple(FILLINGS),
    steps: int = STEPS,
    seed: int = 0,
    batch_size: int = 64,
) -> Verdict:
    """Score the maps of several explanation methods, and of baselines, on the same images.

    Parameters
    ----------
    probabilities : callable
        Function from images to class probabilities.
    images : Tensor
        Normalised float32, shape (n, bands, height, width), n ≥ 1.
    target : sequence of int
        Class code of each image.
    maps : mapping of str to ndarray
        Method → maps, shape (n, height, width); at least one.
    passes : mapping of str to float, optional
        Method → number of images pushed through the network for one galaxy.
    fillings : sequence of str
        Names in `fillings.FILLINGS`.
    steps, seed, batch_size : int
        As in `faithfulness`.
    """

    def figures(name: str, named_maps: npt.NDArray[np.floating]) -> MethodFigures:
        measured = {
            filling: faithfulness(
                probabilities, images, named_maps, target,
                filling=filling, steps=steps, seed=seed, batch_size=batch_size,
            )
            for filling in fillings
        }  # fmt: skip
        return MethodFigures(
            name,
            {filling: areas.insertion for filling, areas in measured.items()},
            {filling: areas.deletion for filling, areas in measured.items()},
            (passes or {}).get(name),
        )

    return Verdict(
        tuple(figures(name, named_maps) for name, named_maps in maps.items()),
        tuple(figures(name, baseline(images, name)) for name in RIVALS),
    )
