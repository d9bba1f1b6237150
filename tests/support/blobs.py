"""Pictures that a small network learns in seconds: round and elongated blobs with noise.

As a script it trains on them, in a process that a test can kill: `blobs.py PICTURES CHECKPOINT
OPTIONS-AS-JSON`; without words it trains in forks of itself (`Forks`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
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


class Forks:
    """Trainings in processes that can be killed, one after another, forked from one that waits.

    A process imports for longer than it trains; here the imports are made once.
    """

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._parent = subprocess.Popen([sys.executable, __file__], bufsize=0, **pipes)
        self._pid = 0

    def start(self, pictures: Path, checkpoint: Path, **options: Any) -> None:
        """Begin a training; the one before has ended, and `wait` or `kill` was told how."""
        words = json.dumps([str(pictures), str(checkpoint), options])
        self._parent.stdin.write(f"{words}\n".encode())
        self._pid = self._said()

    def over(self) -> bool:
        """Whether the training has ended by itself."""
        return bool(select.select([self._parent.stdout], [], [], 0)[0])

    def wait(self) -> int:
        """Exit code of the training; negative where a signal ended it."""
        return self._said()

    def kill(self) -> int:
        """End the training by SIGKILL, after which nothing is tidied up; its exit code."""
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(self._pid, signal.SIGKILL)
        return self.wait()

    def close(self) -> None:
        self._parent.kill()
        self._parent.communicate()

    def _said(self) -> int:
        line = self._parent.stdout.readline()
        assert line, "the process that forks has ended"
        return int(line)


def train_in_forks() -> None:
    """Train for each line of stdin in a fork, and print its number and its exit code."""
    import gzfeatures.networks.training.train  # noqa: F401  (loaded before it forks)

    for line in sys.stdin:
        pictures, checkpoint, options = json.loads(line)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                trained(Path(pictures), Path(checkpoint), **options)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)  # what is left of stdin belongs to the parent
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        train_in_forks()
    else:
        trained(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
