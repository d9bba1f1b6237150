"""Name the parts that `against.py` measures as whole processes of two builds, and what they read.

A part is a command line of `gzfeatures` in a folder of its own, and the input that it needs, drawn
from a seed. Whatever one build left there, the other does not see.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

SLOW = """
import sys, time
from gzfeatures.images.sources import folder
really = folder._file_bytes
def late(path):
    time.sleep(0.005)
    return really(path)
folder._file_bytes = late
from gzfeatures.cli import main
sys.exit(main())
"""
"""Program that is gzfeatures with 5 ms more for each image file that is read."""

TIMED = """
import importlib, os, sys
for name in ("gzfeatures.networks.training.train", "gzfeatures.networks.finetune"):
    try:
        module = importlib.import_module(name)
        break
    except ModuleNotFoundError:
        pass
really = module.train
def timed(*arguments, **options):
    start = sum(os.times()[:4])
    try:
        return really(*arguments, **options)
    finally:
        with open("training-processors", "a") as file:
            print(sum(os.times()[:4]) - start, file=file)
module.train = timed
from gzfeatures.cli import main
sys.exit(main())
"""
"""Program that is gzfeatures and writes the processor seconds of each training."""

RUN = """
name = "whole"
[galaxies]
catalog = "{survey}/catalog.csv"
images = "{survey}/images"
scheme = "q1-3class"
split = [0.6, 0.2, 0.2]
[[backbones]]
name = "googlenet-gz2"
[[backbones]]
name = "resnet18"
weights = "none"
view = "size=64"
[[networks]]
name = "engel"
view = "size=32"
epochs = 1
[[heads]]
name = "logistic"
"""


@dataclasses.dataclass(frozen=True)
class Part:
    """A command that both builds run.

    Parameters
    ----------
    arguments : tuple of str
        Of `gzfeatures`; `{input}` is the input, `{here}` the folder of the process.
    draw : callable
        Draws the input into a folder, for a number of images, and returns its path.
    program : str, optional
        Python in place of `-m gzfeatures`.
    apart : callable, optional
        Seconds by the clock, from the folder of the process, that do not count.
    processors_apart : callable, optional
        The same of the processors.
    """

    arguments: tuple[str, ...]
    draw: Callable[[Path, int], Path]
    program: str | None = None
    apart: Callable[[Path], float] = lambda _: 0.0
    processors_apart: Callable[[Path], float] = lambda _: 0.0


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a process took: seconds by the clock, of processors, and most bytes of memory."""

    clock: float
    processors: float
    memory: float


def galaxies(count: int) -> np.ndarray:
    """Draw blurred blobs with noise, as large as Galaxy Zoo's: shape (n, 424, 424, 3)."""
    y, x = np.mgrid[:424, :424] / 424 - 0.5
    stack = np.empty((count, 424, 424, 3), dtype=np.uint8)
    for number in range(count):
        rng = np.random.default_rng(number)
        width = rng.uniform(0.02, 0.2, 3)[:, None, None]
        light = 200 * np.exp(-((x**2 + y**2 * rng.uniform(1, 9)) / width**2))
        noisy = light + rng.normal(20, 6, (3, 424, 424))
        stack[number] = np.moveaxis(noisy, 0, -1).clip(0, 255)
    return stack


def stack(folder: Path, count: int) -> Path:
    """Write galaxies as gzipped HDF5 with the chunks that h5py chooses."""
    import h5py

    with h5py.File(folder / "stack.h5", "w") as file:
        file.create_dataset("images", data=galaxies(count), compression="gzip")
    return folder / "stack.h5"


def pictures(folder: Path, count: int) -> Path:
    """Write galaxies as JPEGs."""
    from PIL import Image

    (folder / "images").mkdir()
    for first in range(0, count, 100):
        for number, pixels in enumerate(galaxies(min(100, count - first)), start=first):
            Image.fromarray(pixels).save(folder / "images" / f"{number:05d}.jpg", quality=90)
    return folder / "images"


def experiment(folder: Path, count: int) -> Path:
    """Draw a survey, and write an experiment on it."""
    from gzfeatures.synthetic.survey import draw_survey

    drawn = draw_survey(folder / "survey", n=count, seed=5, size=424, progress=False)
    text = RUN.replace("{survey}/catalog.csv", str(drawn.catalog)).replace(
        "{survey}/images", str(drawn.images)
    )
    (folder / "whole.toml").write_text(text, encoding="utf-8")
    return folder / "whole.toml"


def trained(place: Path) -> float:
    """Seconds that the trainings of a run took."""
    notes = (place / "run" / "networks").glob("*/training.json")
    return sum(json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in notes)


def trained_processors(place: Path) -> float:
    """Processor seconds that the trainings of a run took, as `TIMED` writes them."""
    return sum(map(float, (place / "training-processors").read_text(encoding="utf-8").split()))


_RUN = ("run", "{input}", "-o", "{here}/run", "--tracking-uri", "sqlite:///{here}/mlflow.db")
_EXTRACT = ("extract", "{input}", "--backbone", "googlenet-gz2", "-o", "{here}/t.parquet")
PARTS: Mapping[str, Part] = {
    "run": Part((*_RUN, "--set", "explain=1"), experiment, TIMED, trained, trained_processors),
    "run-5ms": Part((*_RUN, "--set", "explain=1"), experiment, SLOW, trained),
    "packaged": Part(_EXTRACT, pictures),
    "packaged-int8": Part((*_EXTRACT, "--precision", "int8"), pictures),
    "stack": Part(_EXTRACT, stack),
}


def cost(part: Part, python: Path, root: Path | None, given: Path, place: Path) -> Cost:
    """Run a part with a build, from a cold cache, and return what its process took."""
    place.mkdir(parents=True)
    environment = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        **({} if root is None else {"PYTHONPATH": str(root)}),
        **{"GZFEATURES_STORE": str(place / "store"), "XDG_STATE_HOME": str(place / "state")},
        **{"GZFEATURES_COMPILED": str(place / "compiled"), "TMPDIR": str(place)},
    }
    arguments = [text.format(input=given, here=place) for text in part.arguments]
    program = ["-m", "gzfeatures"] if part.program is None else ["-c", part.program]
    start = time.perf_counter()
    process = subprocess.Popen(
        [python, *program, *arguments], env=environment, cwd=place, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    clock = time.perf_counter() - start
    if status:
        raise SystemExit(f"{python} failed: {' '.join(arguments)}")
    clock -= part.apart(place)
    unit = 1 if sys.platform == "darwin" else 1024
    processors = used.ru_utime + used.ru_stime - part.processors_apart(place)
    return Cost(clock, processors, used.ru_maxrss * unit)
