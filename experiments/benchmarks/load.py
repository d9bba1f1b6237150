"""The job at the size of a survey: seconds and peak memory of each verb, every one a process of its
own.

    python experiments/benchmarks/load.py --rows 1000000 --images 200000 --vectors 1000000

A catalog of Kaggle votes is checked and labelled; small JPEGs, all different, go through a small
network; on a table of 512 numbers a galaxy a head is fitted, and its galaxies are classified and
mapped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from catalogs import write_kaggle
from memory import draw

from gzfeatures.features.backbones import Backbone
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table_writer import GROUP_ROWS, writer
from gzfeatures.images.view import View

DIM, CLASSES = 512, 5
VIEW = View(size=32)


def write_table(path: Path, rows: int) -> None:
    """A table of clumps, and its labels beside it: one clump a class."""
    random, extractor = (
        np.random.default_rng(0),
        Extractor("none", "none", "random:0", "none", DIM, VIEW),
    )
    centres, codes = random.normal(size=(CLASSES, DIM)), random.integers(0, CLASSES, rows)
    ids = np.arange(rows).astype(str).astype(object)
    with writer(path, extractor, ()) as append:
        for start in range(0, rows, GROUP_ROWS):
            part = slice(start, start + GROUP_ROWS)
            matrix = 0.2 * centres[codes[part]] + random.normal(size=(len(codes[part]), DIM))
            append(
                ids[part],
                np.full(len(codes[part]), "0" * 64, dtype=object),
                matrix.astype(np.float32),
            )
    sides = np.where(random.random(rows) < 0.8, "train", "test")
    pd.DataFrame({"galaxy_id": ids, "label": codes.astype(str), "split": sides}).to_csv(
        path.with_suffix(".csv"), index=False
    )


def write_network(folder: Path) -> None:
    """A checkpoint of a small network with random weights."""
    from gzfeatures.networks.models import architectures
    from gzfeatures.networks.training.checkpoint import write_folder

    network = architectures.build("engel", CLASSES, 3, size=VIEW.size)
    layer = architectures.embedding_node(network)
    dim = architectures.width_of(network, layer, 3, VIEW.size)
    spec = Backbone("small", "engel", None, layer, dim, VIEW, classes=CLASSES)
    write_folder(folder, spec, network, {"classes": [str(code) for code in range(CLASSES)]})


def measured(folder: Path, *words: object) -> None:
    """Run a verb; print its seconds and its peak memory."""
    start, log = time.perf_counter(), folder / "log"
    command = [sys.executable, "-m", "gzfeatures", *map(str, words)]
    environment = {**os.environ, "GZFEATURES_STORE": str(folder / "store")}
    with (
        log.open("w") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder) as process,
    ):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(log.read_text())
    print(
        f"{words[0]:8} {time.perf_counter() - start:8.1f} s  {used.ru_maxrss / 2**20:6.2f} GiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, size in (("rows", 1_000_000), ("images", 200_000), ("vectors", 1_000_000)):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--head", default="logistic")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_kaggle(folder / "votes.parquet", given.rows)
        draw(folder / "images.zip", given.images)
        write_network(folder / "network")
        write_table(folder / "table.parquet", given.vectors)
        measured(folder, "check", "votes.parquet")
        measured(folder, "label", "votes.parquet", "--scheme", "zhu-5class", "-o", "labels.csv")
        measured(folder, "extract", "images.zip", "--backbone", "network", "-o", "vectors.parquet")
        measured(
            folder,
            "fit",
            "table.parquet",
            "--labels",
            "table.csv",
            "--head",
            given.head,
            "-o",
            "heads",
        )
        measured(
            folder,
            "predict",
            f"heads/{given.head}.skops",
            "table.parquet",
            "-o",
            "predictions.parquet",
        )
        measured(folder, "map", "table.parquet", "--labels", "table.csv", "-o", "map.html")


if __name__ == "__main__":
    main()
