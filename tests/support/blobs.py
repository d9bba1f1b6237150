"""Pictures that a small network learns in seconds: round and elongated blobs with noise.

As a script it trains on them, in a process that a test can kill: `blobs.py PICTURES CHECKPOINT
OPTIONS-AS-JSON`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View

SHARES = (0.6, 0.1, 0.3)


def draw(folder: Path, n: int = 120, side: int = 24) -> Path:
    """Pictures `g000.png`, …; odd numbers are elongated. Returns their folder."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    for number in range(n):
        angle = generator.uniform(0, np.pi)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        light = 200 * np.exp(-(along**2) / 30 - across**2 / (3 if number % 2 else 30))
        pixels = light[..., None] + generator.normal(20, 8, (side, side, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"g{number:03}.png")
    return folder


def labels_of(images: ImageSet) -> Labels:
    """The class of each picture."""
    return Labels(
        images.ids, ("round", "long"), np.array([int(i[1:]) % 2 for i in images.ids]), scheme="toy"
    )


def started(pictures: Path, checkpoint: Path, **options: Any) -> subprocess.Popen[str]:
    """A training in a process of its own."""
    command = [sys.executable, __file__, str(pictures), str(checkpoint), json.dumps(options)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> None:
    """Wait for it; it must end well."""
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr


def trained(pictures: Path, checkpoint: Path, **options: Any) -> None:
    """The same training in this process."""
    from gzfeatures.networks.training.train import train

    images = ImageSet.of(pictures)
    labels = labels_of(images)
    settings = {"batch_size": 12, "device": "cpu", "precision": "float32"} | options
    split = Split.draw(labels, SHARES, seed=0)
    view = View(size=16, crop=0.75)
    train(images, labels, split, "engel", folder=checkpoint, view=view, progress=False, **settings)


if __name__ == "__main__":
    trained(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
