"""Divide the seconds an image of this checkout's extraction by those of another build.

    git archive 413b66a | tar x -C OTHER
    python experiments/benchmarks/against.py OTHER [--backbone googlenet] [--count 96]
        [--pairs 9] [--mode eager]
    python experiments/benchmarks/against.py OTHER --part {start,neighbours,heads} [--pairs 3]

OTHER is a folder with another build's `gzfeatures` and `experiments`. Each build runs in a process
of its own, which stays: it measures itself with its own `experiments/benchmarks/extraction.py`,
from the first batch to the last, on one thread, so that both choose the same way to share the
cores. Both are asked in turns, in changing order, so that what else the machine does meets both
alike. The first pair warms up. Images are drawn from a seed: JPEGs of 424 px. Two forward passes
are tried: eager, and compiled. The ratio of processor seconds says what the code costs; the clock's
includes what else runs.

    python experiments/benchmarks/against.py OTHER --part run --count 400 --pairs 3

With `--part` (one of `parts.PARTS`) whole processes are compared, each from a cold cache: OTHER is
then such a folder, or the virtual environment of another build. A row of the table has the ratio of
seconds by the clock and of processors, with its range over the pairs, and that of the peak of
memory; the trainings of a run are left out of its seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODES = ("eager", "compiled")
ROOT = Path(__file__).parents[2]
LIMIT = 1.02
"""The ratio that a change to extraction may not pass."""


def draw(folder: Path, count: int) -> None:
    """Draw images of blurred blobs with noise, as large as Galaxy Zoo's."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[:424, :424] / 424 - 0.5
    for number in range(count):
        rng = np.random.default_rng(number)
        width = rng.uniform(0.02, 0.2, 3)[:, None, None]
        light = 200 * np.exp(-((x**2 + y**2 * rng.uniform(1, 9)) / width**2))
        pixels = light + rng.normal(20, 6, (3, 424, 424))
        picture = np.moveaxis(pixels, 0, -1).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:05d}.jpg", quality=90)


def answer(folder: str, count: int, backbone: str) -> None:
    """In the child: run a mode for each line of stdin, and print its seconds as JSON."""
    import torch

    torch.set_num_threads(1)
    place = Path(os.environ["PYTHONPATH"]) / "experiments" / "benchmarks" / "extraction.py"
    spec = importlib.util.spec_from_file_location("extraction_of_build", place)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{place} is no benchmark of a build")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runs: dict[str, Any] = {}
    print(json.dumps({"build": str(place)}), flush=True)
    for line in sys.stdin:
        mode = line.strip()
        if mode not in runs:
            kept = Path(os.environ["GZFEATURES_STORE"]) / mode
            kept.mkdir(parents=True, exist_ok=True)
            runs[mode] = module.ours(folder, count, backbone, kept=kept)
        with eager() if mode == "eager" else tempfile.TemporaryDirectory():
            images, clock, processors = runs[mode]()
        print(json.dumps({"clock": clock / images, "processors": processors / images}), flush=True)


def eager() -> Any:
    """A block in which no network is compiled, in builds before and after modules moved."""
    from unittest import mock

    for name in ("gzfeatures.networks.extraction.forward", "gzfeatures.networks.forward"):
        if importlib.util.find_spec(name.rpartition(".")[0]) and importlib.util.find_spec(name):
            forward = importlib.import_module(name).TorchForward
            prepare = getattr(forward, "prepare", None) or forward.start
            return mock.patch.object(forward, "compile", prepare)
    raise SystemExit("the build has no module of the forward pass that is known here")


class Build:
    """A build at work in a process of its own."""

    def __init__(
        self, root: Path, images: Path, arguments: argparse.Namespace, state: Path
    ) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(root.resolve()),
            "GZFEATURES_STORE": str(state / "store"),
            "GZFEATURES_COMPILED": str(state / "compiled"),
            "XDG_STATE_HOME": str(state / "state"),
            "TORCHINDUCTOR_CACHE_DIR": str(state / "inductor"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, __file__, "--answer", str(images), "--count"]
        self.process = subprocess.Popen(
            [*command, str(arguments.count), "--backbone", arguments.backbone],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=state,
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit("a build cannot be asked")
        self._questions, self._answers = self.process.stdin, self.process.stdout
        self._line()

    def seconds(self, mode: str) -> dict[str, float]:
        """Seconds an image, by the clock and of processors."""
        self._questions.write(mode + "\n")
        self._questions.flush()
        return self._line()

    def _line(self) -> Any:
        while (line := self._answers.readline()) and not line.startswith("{"):
            pass
        if not line:
            raise SystemExit("a build ended; its error stands above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def summary(values: list[float]) -> str:
    """Median with its 90 % interval, quartiles and range."""
    first, middle, third = statistics.quantiles(values, n=4)
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(4000))
    return (
        f"{middle:.3f} ({medians[200]:.3f}–{medians[-201]:.3f} holds 90 %, quartiles "
        f"{first:.3f}–{third:.3f}, all {min(values):.3f}–{max(values):.3f})"
    )


def build_of(place: Path) -> tuple[Path, Path | None]:
    """Return the Python of a build, and the folder to import it from if Python does not have it."""
    installed = place / "bin" / "python"
    return (installed, None) if installed.exists() else (Path(sys.executable), place.resolve())


def whole(name: str, other: Path, count: int, pairs: int) -> None:
    """Run a part in both builds in turns, and print a row of the table for each measure."""
    from parts import PARTS, Cost, cost

    part, costs = PARTS[name], dict[str, list[Cost]](this=[], other=[])
    with tempfile.TemporaryDirectory() as folder:
        given = part.draw(Path(folder), count)
        for pair in range(pairs):
            for build in ("this", "other") if pair % 2 else ("other", "this"):
                python, root = (Path(sys.executable), ROOT) if build == "this" else build_of(other)
                place = Path(folder) / f"{build}-{pair}"
                costs[build].append(cost(part, python, root, given, place))
                print(f"{build} {costs[build][-1]}", file=sys.stderr, flush=True)
    print("| part | images | measure | this | other | this / other (range of pairs) |")
    print("|---|---|---|---|---|---|")
    for measure, unit, digits in (("clock", "s", 1), ("processors", "s", 1), ("memory", "MB", 0)):
        scale = 1e-6 if measure == "memory" else 1
        here, there = ([scale * getattr(each, measure) for each in costs[build]] for build in costs)
        ratios = [a / b for a, b in zip(here, there, strict=True)]
        values = [f"{statistics.median(each):.{digits}f} {unit}" for each in (here, there)]
        print(
            f"| {name} | {count:,} | {measure} | {' | '.join(values)} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) |"
        )


def main() -> None:
    """Compare the builds and print the ratios."""
    sys.path.insert(0, str(Path(__file__).parent))
    import against_verbs

    # tables and their verbs: one process for each verb, with both builds' files kept
    if any(word.rpartition("=")[2] in against_verbs.PARTS for word in sys.argv[1:]):
        against_verbs.main(sys.argv[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    parser.add_argument("--backbone", default="googlenet")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--mode", choices=MODES, help="one of the two alone")
    parser.add_argument("--part", help="whole processes: an entry of parts.PARTS")
    arguments = parser.parse_args()
    if arguments.part:
        whole(arguments.part, arguments.other, arguments.count, arguments.pairs)
        return
    if arguments.answer:
        answer(arguments.answer, arguments.count, arguments.backbone)
        return
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        builds = {}
        images.mkdir()
        draw(images, arguments.count)
        for name, root in (("this", ROOT), ("other", arguments.other)):
            state = Path(folder) / name
            state.mkdir()
            builds[name] = Build(root, images, arguments, state)
        for mode in [arguments.mode] if arguments.mode else MODES:
            ratios: dict[str, list[float]] = {"processors": [], "clock": []}
            for pair in range(arguments.pairs + 1):
                order = ("this", "other") if pair % 2 else ("other", "this")
                taken = {name: builds[name].seconds(mode) for name in order}
                if pair:  # the first warms up, and compiles
                    for measure, values in ratios.items():
                        values.append(taken["this"][measure] / taken["other"][measure])
                    print(f"pair {pair}: {ratios['processors'][-1]:.3f}", file=sys.stderr)
            milliseconds = 1000 * taken["this"]["processors"]
            print(
                f"{mode}, {arguments.backbone}, {arguments.pairs} pairs of "
                f"{arguments.count} images, "
                f"{milliseconds:.1f} ms of a processor an image: this / other"
            )
            for measure, values in ratios.items():
                slower = "slower" if statistics.median(values) > LIMIT else "no slower"
                print(f"  {measure:10} {summary(values)}: {slower} than {LIMIT}×", flush=True)
        for build in builds.values():
            build.close()


if __name__ == "__main__":
    main()
