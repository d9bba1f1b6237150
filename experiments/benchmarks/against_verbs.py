"""Divide the seconds and the memory of whole verbs by those of another build.

    python experiments/benchmarks/against.py OTHER --part start
    python experiments/benchmarks/against.py OTHER --part neighbours --pairs 3
    python experiments/benchmarks/against.py OTHER --part heads --pairs 3

OTHER is a folder with another build's `gzfeatures`, or an environment it is installed in
(`bin/python`). Tables are drawn from a seed. A verb is a process of its own, from its start to its
end: user and system seconds of the processor, and its largest memory. Both builds take turns, in
changing order; the first pair warms the file cache. One thread, so that waiting for a second core
counts for neither.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PARTS = ("start", "neighbours", "heads")


class Cost(NamedTuple):
    """Processor seconds and megabytes of one process."""

    seconds: float
    megabytes: float


def draw_table(path: Path, rows: int, dim: int) -> Path:
    """Draw a table of five noisy classes on curved sheets of 16 dimensions, and its labels."""
    import numpy as np

    from gzfeatures.features.extractor import Extractor
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.images.view import View

    rng = np.random.default_rng(0)
    centres, mix = rng.normal(size=(5, 16)), rng.normal(size=(16, dim)) / 4
    codes, matrix = rng.integers(0, 5, rows), np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, 8192):
        part = codes[start : start + 8192]
        sheet = np.tanh((centres[part] + rng.normal(size=(len(part), 16))) @ mix)
        matrix[start : start + 8192] = sheet + 0.1 * rng.normal(size=sheet.shape)
    ids = np.asarray([str(100_000 + row) for row in range(rows)], dtype=object)
    digests = np.asarray([hashlib.sha256(name.encode()).hexdigest() for name in ids], dtype=object)
    extractor = Extractor("toy", "toy", "random:0", "flatten", dim, View(size=32))
    EmbeddingTable(ids, digests, matrix, extractor).write(path)
    # a tenth of the labels are drawn anew, so that no head is right about all
    codes = np.where(rng.random(rows) < 0.1, rng.integers(0, 5, rows), codes)
    words = ("round", "edge-on", "cigar", "disk", "spiral")
    lines = [f"{name},{words[code]}" for name, code in zip(ids, codes, strict=True)]
    path.with_suffix(".csv").write_text("\n".join(["id,label", *lines]) + "\n", encoding="utf-8")
    return path


class Build:
    """A build whose verbs are run, each in a process of its own."""

    def __init__(self, place: Path, scratch: Path) -> None:
        installed = place / "bin" / "python"
        self.python = str(installed if installed.exists() else sys.executable)
        self.scratch = scratch
        scratch.mkdir()
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "GZFEATURES_STORE": str(scratch / "store"),
        }
        self.environment.pop("PYTHONPATH", None)
        if not installed.exists():
            self.environment["PYTHONPATH"] = str(place.resolve())

    def cost(self, words: list[str]) -> Cost:
        """Run a verb; end the comparison if it fails."""
        process = subprocess.Popen(
            [self.python, "-m", "gzfeatures", *words],
            cwd=self.scratch,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        told = b"" if process.stderr is None else process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} failed: {told[-500:].decode()}")
        return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


Words = Callable[[Build], list[str]]


def steps(part: str, folder: Path) -> dict[str, Words]:
    """Return the verbs of a part, by what the table calls them."""

    def draw(rows: int, dim: int) -> Path:
        return draw_table(folder / f"{rows}.parquet", rows, dim)

    def fitting(table: Path) -> Words:
        labels = str(table.with_suffix(".csv"))
        return lambda build: [
            "fit", str(table), "--labels", labels, "--head", "svm",
            "-o", str(fresh(build.scratch / f"heads-{table.stem}")),
        ]  # fmt: skip

    def predicting(head: Path, table: Path) -> Words:
        return lambda build: [
            "predict", str(build.scratch / f"heads-{head.stem}" / "svm.skops"), str(table),
            "-o", str(fresh(build.scratch / "predictions.csv")),
        ]  # fmt: skip

    if part == "start":
        small, tiny = draw(500, 1024), draw(100, 1024)
        return {
            "fit svm, 500 × 1,024": fitting(small),
            "predict, 100 × 1,024": predicting(small, tiny),
            "similar, 500 × 1,024": lambda _: ["similar", str(small), "100053"],
        }
    if part == "heads":
        large = draw(36_000, 1024)
        return {
            "fit svm, 36,000 × 1,024": fitting(large),
            "predict, 36,000 × 1,024": predicting(large, large),
        }
    table = {rows: draw(rows, 512) for rows in (10_000, 40_000, 160_000)}
    verbs: dict[str, Words] = {
        "similar, 160,000 × 512": lambda _: ["similar", str(table[160_000]), "100053"]
    }
    for verb in ("duplicates", "odd"):
        for rows in (10_000, 40_000):
            verbs[f"{verb}, {rows:,} × 512"] = lambda build, verb=verb, rows=rows: [
                verb, str(table[rows]), "-o", str(fresh(build.scratch / "found.csv")),
            ]  # type: ignore[misc]  # fmt: skip
    return verbs


def fresh(path: Path) -> Path:
    """Return a path at which nothing lies: a build may refuse to write over what another wrote."""
    import shutil

    shutil.rmtree(path, ignore_errors=True)
    for old in path.parent.glob(path.name + "*"):
        old.unlink() if old.is_file() else shutil.rmtree(old)
    return path


def compare(other: Path, part: str, pairs: int) -> None:
    """Print a row for each verb: seconds, memory, and their ratios to those of the other build."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        verbs = steps(part, folder)
        builds = {
            "this": Build(ROOT, folder / "this"), "other": Build(other, folder / "other")
        }  # fmt: skip
        print("| verb | this, s | other, s | ratio (all) | memory, MB | ratio |")
        print("|---|---|---|---|---|---|")
        middle: dict[str, float] = {}
        for name, words in verbs.items():
            taken: dict[str, list[Cost]] = {"this": [], "other": []}
            for pair in range(pairs + 1):
                for which in ("this", "other") if pair % 2 else ("other", "this"):
                    cost = builds[which].cost(words(builds[which]))
                    if pair or pairs == 1:  # the first pair warms up, where there are more
                        taken[which].append(cost)
                if pairs == 1:
                    break
            middle[name] = row(name, taken)
        for line in exponents(middle):
            print(line)


def row(name: str, taken: dict[str, list[Cost]]) -> float:
    """Print one row, and return this build's median seconds."""
    mine, theirs = taken["this"], taken["other"]
    ratios = [a.seconds / b.seconds for a, b in zip(mine, theirs, strict=True)]
    seconds = [statistics.median(cost.seconds for cost in each) for each in (mine, theirs)]
    memory = [max(cost.megabytes for cost in each) for each in (mine, theirs)]
    print(
        f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f}–{max(ratios):.2f}) | {memory[0]:.0f} | {memory[0] / memory[1]:.2f} |",
        flush=True,
    )
    return seconds[0]


def exponents(seconds: dict[str, float]) -> list[str]:
    """Return, for each verb timed at two sizes, the power of n with which its seconds grow."""
    lines = []
    for name, small in seconds.items():
        verb = name.partition(",")[0]
        large = seconds.get(f"{verb}, 40,000 × 512")
        if "10,000 × 512" in name and large is not None:
            lines.append(f"{verb}: n^{math.log(large / small) / math.log(4):.2f} from 10,000")
    return lines


def main(words: list[str]) -> None:
    """Compare one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args(words)
    compare(given.other, given.part, given.pairs)
