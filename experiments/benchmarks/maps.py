"""Time and trustworthiness of `project` against a seeded `umap.UMAP` on the raw table.

Both run in turn, after a warm-up that compiles, on a table of clumps in a low-dimensional sheet
with noise in every dimension. `all` is the whole of `project`, with the map's quality; the ratio is
taken of it. `raw_cpu` and `all_cpu` are processor seconds: on a busy machine they tell more than
the clock.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.images.view import View
from gzfeatures.maps.quality import neighbourhoods
from gzfeatures.maps.umap import project

T = TypeVar("T")


def drawn(n: int, dim: int, seed: int = 0) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(30, dim)).astype(np.float32)
    clump = rng.normal(size=(10, 30)).astype(np.float32)[rng.integers(0, 10, n)]
    falling = (1 / np.sqrt(1 + np.arange(30))).astype(np.float32)
    matrix = (1.5 * clump + rng.normal(size=(n, 30)).astype(np.float32) * falling) @ basis
    matrix += rng.normal(size=(n, dim)).astype(np.float32)
    ids = np.asarray([f"g{i}" for i in range(n)], dtype=object)
    return EmbeddingTable(
        ids, ids, matrix, Extractor("synthetic", "none", "none", "none", dim, View())
    )


def timed(work: Callable[[], T]) -> tuple[float, float, T]:
    """Seconds on the clock and of the processor, and what came out."""
    clock, spent = time.perf_counter(), time.process_time()
    made = work()
    return time.perf_counter() - clock, time.process_time() - spent, made


def timed_raw(table: EmbeddingTable, seed: int) -> tuple[float, float, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        return timed(
            lambda: np.asarray(
                UMAP(random_state=seed).fit_transform(table.matrix), dtype=np.float32
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    table = drawn(given.rows, given.dim)
    warm = drawn(5000, 64)
    timed_raw(warm, 0)
    project(warm)
    rounds, maps = [], []
    for turn in range(given.rounds):
        raw, raw_cpu, coordinates = timed_raw(table, turn)
        ours, all_cpu, chart = timed(partial(project, table, seed=turn))
        maps.append(chart.coordinates)
        rounds.append(
            {
                "raw": raw,
                "all": ours,
                "ratio": ours / raw,
                "raw_cpu": raw_cpu,
                "all_cpu": all_cpu,
                "seconds": chart.quality["seconds"],
                "trustworthiness": chart.quality["trustworthiness"],
                "trustworthiness_raw": neighbourhoods(table.matrix, coordinates, seed=turn)[
                    "trustworthiness"
                ],
            }
        )
        print(json.dumps(rounds[-1]), flush=True)
    again = np.array_equal(project(table, seed=given.rounds - 1).coordinates, maps[-1])
    ratio = float(np.median([one["ratio"] for one in rounds]))
    lost = float(np.median([one["trustworthiness_raw"] - one["trustworthiness"] for one in rounds]))
    print(
        json.dumps(
            {
                "rows": given.rows,
                "dim": given.dim,
                "ratio": ratio,
                "lost": lost,
                "same_again": again,
            }
        )
    )


if __name__ == "__main__":
    main()
