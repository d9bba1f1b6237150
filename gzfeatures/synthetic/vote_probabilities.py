"""Compute how likely an attentive volunteer gives each answer about a simulated galaxy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.galaxies.votes.votes import QUESTIONS
from gzfeatures.synthetic.galaxy_shape import Galaxy
from gzfeatures.synthetic.observation import SEEING

Chances: TypeAlias = npt.NDArray[np.float64]
Votes: TypeAlias = Sequence[float] | Chances


def visibility(galaxy: Galaxy) -> float:
    """Return how well volunteers can see a simulated galaxy's features, between 0 and 1.

    Large apparent size, compared with the seeing, and brightness make features visible.
    """
    return 1 / (
        1
        + math.exp(
            -(2.6 * math.log(galaxy.r50 / (1.65 * SEEING)) + 0.4 * (16.9 - galaxy.magnitude))
        )
    )


def chances(galaxy: Galaxy, clear: float) -> Chances:
    """Return the probability of each of Galaxy Zoo's 37 answers, if its question is asked.

    Parameters
    ----------
    galaxy : Galaxy
        True shape of the simulated galaxy.
    clear : float
        Visibility of the galaxy's features in (0, 1): near 0 all is blurred, near 1 all is seen.

    Returns
    -------
    ndarray of float64
        Probabilities, shape (37,), in the order of `ANSWERS`; those of one question sum to 1.
    """
    weights = [
        np.asarray(_OPINIONS[question](galaxy, clear), dtype=float) for question in QUESTIONS
    ]
    return np.concatenate([np.maximum(w, 0.004) / np.maximum(w, 0.004).sum() for w in weights])


def _yes(probability: float) -> tuple[float, float]:
    return probability, 1 - probability


def _near(value: float, centres: Votes, width: float, clear: float = 1.0) -> Chances:
    """Return the probabilities of one question's answers, for a measured property of a galaxy.

    The answer whose centre is nearest to `value` is the most probable. The less clear the image
    (`clear`, from 0 to 1), the more equal the probabilities.
    """
    bell = np.exp(-0.5 * ((value - np.asarray(centres)) / width) ** 2) + 1e-6
    shares: Chances = clear * bell / bell.sum() + (1 - clear) / len(centres)
    return shares


def _features(galaxy: Galaxy, clear: float) -> Votes:
    if galaxy.kind in ("star", "trail"):
        return 0.06, 0.04, 0.9
    thin = 1 - galaxy.axis_ratio
    marks = {
        "elliptical": 0.06 + 0.5 * thin**3,
        "edge-on": 0.4 + 0.55 * clear,
        "irregular": 0.55 + 0.4 * clear,
        "merger": 0.3 + 0.4 * clear,
        "disk": 0.1 + 0.6 * min(galaxy.bar, 1) * clear + 0.7 * min(3 * galaxy.ring, 1) * clear,
    }[galaxy.kind]
    if galaxy.arms:
        marks = max(marks, 0.12 + 0.86 * clear * min(0.45 + 0.8 * galaxy.strength, 1))
    return 1 - marks - 0.015, marks, 0.015


def _edge_on(galaxy: Galaxy, clear: float) -> Votes:
    if galaxy.kind == "edge-on":
        return _yes(0.8 + 0.17 * clear)
    return _yes(0.02 + 0.75 / (1 + math.exp((galaxy.axis_ratio - 0.3) / 0.05)))


def _bar(galaxy: Galaxy, clear: float) -> Votes:
    return _yes(0.25 + 0.68 * clear if galaxy.bar else 0.04 + 0.1 * (1 - clear))


def _spiral(galaxy: Galaxy, clear: float) -> Votes:
    if galaxy.arms:
        return _yes(0.35 + 0.63 * clear * min(0.5 + galaxy.strength, 1))
    return _yes(0.25 if galaxy.ring or galaxy.kind == "merger" else 0.08)


def _bulge(galaxy: Galaxy, clear: float) -> Votes:
    light = 0.85 if galaxy.kind == "elliptical" else galaxy.bulge + 0.05 * bool(galaxy.bar)
    return _near(math.sqrt(light), (0.08, 0.32, 0.55, 0.88), 0.13, 0.6 + 0.4 * clear)


def _odd(galaxy: Galaxy, clear: float) -> Votes:
    if galaxy.kind in ("merger", "star", "trail"):
        return _yes(0.6 + 0.35 * clear)
    if galaxy.kind == "irregular":
        return _yes(0.3 + 0.4 * clear)
    return _yes(0.06 + 0.7 * clear * bool(galaxy.ring) + 0.3 * clear * min(galaxy.dust, 1))


def _rounded(galaxy: Galaxy, clear: float) -> Votes:
    ratio = galaxy.axis_ratio + 0.08 * (1 - clear) * (1 - galaxy.axis_ratio)
    return _near(ratio, (0.97, 0.62, 0.24), 0.13, 0.97)


def _odd_feature(galaxy: Galaxy, clear: float) -> Votes:
    if galaxy.kind == "merger":
        return 0.01, 0.04, 0.15, 0.05, 0.05, 0.7, 0.0
    if galaxy.kind == "irregular":
        return 0.01, 0.02, 0.22, 0.6, 0.1, 0.05, 0.0
    if galaxy.ring:
        return 0.75, 0.08, 0.03, 0.03, 0.06, 0.05, 0.0
    if galaxy.dust:
        return 0.02, 0.03, 0.04, 0.03, 0.12, 0.06, 0.7
    return 0.12, 0.1, 0.13, 0.12, 0.38, 0.15, 0.0


def _bulge_shape(galaxy: Galaxy, clear: float) -> Votes:
    visible = 0.45 + 0.5 * clear
    shape = galaxy.bulge_shape if galaxy.kind == "edge-on" else "rounded"
    truth = np.array([shape == "rounded", shape == "boxy", shape == "none"])
    return visible * truth + (1 - visible) * np.array([0.5, 0.1, 0.4])


def _winding(galaxy: Galaxy, clear: float) -> Votes:
    return _near(math.log(galaxy.pitch), np.log([9.0, 17.0, 32.0]), 0.28, 0.35 + 0.6 * clear)


def _number(galaxy: Galaxy, clear: float) -> Votes:
    if not galaxy.arms:
        return 0.15, 0.25, 0.05, 0.03, 0.04, 0.48
    return [
        *(0.25 + 0.65 * clear) * _near(galaxy.arms, (1, 2, 3, 4, 5), 0.45, 0.9),
        0.75 - 0.65 * clear,
    ]


_OPINIONS: dict[str, Callable[[Galaxy, float], Votes]] = {
    "smooth-or-features": _features,
    "edge-on": _edge_on,
    "bar": _bar,
    "spiral": _spiral,
    "bulge-prominence": _bulge,
    "odd": _odd,
    "rounded": _rounded,
    "odd-feature": _odd_feature,
    "bulge-shape": _bulge_shape,
    "arms-winding": _winding,
    "arms-number": _number,
}
