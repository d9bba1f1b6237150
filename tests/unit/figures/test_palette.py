"""Colours of classes and approaches, as people with missing cones see them (Machado+2009)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gzfeatures.figures import palette
from gzfeatures.figures.style import MARKS

MACHADO = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "normal": np.eye(3).tolist(),
}
LMS = np.array(
    [
        [0.41222147, 0.53633254, 0.05144599],
        [0.2119035, 0.68069955, 0.10739696],
        [0.08830246, 0.28171884, 0.6299787],
    ]
)
LAB = np.array(
    [
        [0.21045426, 0.79361779, -0.00407205],
        [1.9779985, -2.42859221, 0.45059371],
        [0.0259040, 0.78277177, -0.80867577],
    ]
)


def least_distance(colours: Sequence[str]) -> float:
    """The least OKLab distance between two colours, over all kinds of sight."""
    srgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    least = np.inf
    for sight in MACHADO.values():
        seen = np.cbrt(np.clip(linear @ np.array(sight).T, 0, 1) @ LMS.T) @ LAB.T
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 9 * np.eye(len(seen))
        least = min(least, float(apart.min()))
    return least


def test_class_colours_stay_apart_for_colour_blind_readers() -> None:
    assert least_distance(palette.CLASS_COLOURS) > 0.09
    assert len({palette.class_mark(code) for code in range(72)}) == 72
    assert palette.on_paper("#ffffff") == "#b8b8b8"


def test_colours_of_approaches_stay_apart_for_colour_blind_readers() -> None:
    assert least_distance([colour for _, colour, _ in MARKS.values()]) > 0.08
    # in a grey print, markers and line styles tell them apart
    assert len({(marker, line) for marker, _, line in MARKS.values()}) == len(MARKS)
