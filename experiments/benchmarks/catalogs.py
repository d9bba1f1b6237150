"""Seconds and memory of reading, checking and labelling catalogs, grouping and splitting.

Every case runs in a process of its own, in interleaved rounds; the best round of each is printed.

    python experiments/benchmarks/catalogs.py --rows 1000000 --rounds 3 [--fits gz2_table5_stripe82_coadd.fits.gz]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SCHEMES = ("zhu-5class", "walmsley-7class", "hazra-3class", "q1-3class", "tuning-fork", "votes-37")


def write_kaggle(path: Path, rows: int) -> str:
    """A Parquet table of cumulative fractions that keep the sums of the tree."""
    import pandas as pd

    from gzfeatures.galaxies.votes import COLUMNS, KAGGLE, Conditional

    random = np.random.default_rng(0)
    values = np.empty((rows, len(KAGGLE)))
    for part in COLUMNS.values():
        drawn = random.exponential(size=(rows, part.stop - part.start)) ** 2
        values[:, part] = drawn / drawn.sum(axis=1, keepdims=True)
    ids = np.arange(100_000, 100_000 + rows)
    votes = Conditional(ids.astype(str).astype(object), values, "weighted").cumulative()
    frame = pd.DataFrame(votes.values, columns=list(KAGGLE.values()))
    frame.insert(0, "GalaxyID", ids)
    frame.to_parquet(path)
    return f"{rows} rows written"


def read_and_label(path: Path, schemes: tuple[str, ...]) -> str:
    """Read, check and label."""
    from gzfeatures.galaxies.catalog import Catalog
    from gzfeatures.galaxies.schemes import scheme

    catalog = Catalog.read(path)
    return f"{len(catalog)} rows, " + ", ".join(f"{name} {len(scheme(name).label(catalog))}" for name in schemes)


def group_and_split(rows: int) -> str:
    """Neighbours within 60 arcsec over the whole sky, then a grouped split of 12 classes."""
    from gzfeatures.galaxies.groups import sky_groups
    from gzfeatures.galaxies.labels import Labels
    from gzfeatures.galaxies.splits import Split

    random = np.random.default_rng(0)
    ids = np.arange(rows).astype(str).astype(object)
    groups = sky_groups(random.uniform(0, 360, rows), np.degrees(np.arcsin(random.uniform(-1, 1, rows))), ids, 60.0)
    labels = Labels(ids, tuple(f"class-{code}" for code in range(12)), random.integers(0, 12, rows))
    split = Split.draw(labels, groups=groups)
    return f"{len(groups)} of {rows} in groups, {len(split.train)}/{len(split.validation)}/{len(split.test)}"


def _measured(case: Callable[..., str], arguments: tuple[object, ...], answer: object) -> None:
    start = time.perf_counter()
    text = case(*arguments)
    seconds = time.perf_counter() - start
    answer.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, text))


def measure(case: Callable[..., str], *arguments: object) -> tuple[float, float, str]:
    """Seconds (imports of the libraries included), peak GiB, and what the case says, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_measured, args=(case, arguments, answer))
    process.start()
    result = answer.get()
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fits", type=Path, help="a GZ2 table of Willett+2013")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parquet = Path(folder) / "kaggle.parquet"
        measure(write_kaggle, parquet, options.rows)  # elsewhere: a child starts with its parent's peak memory
        cases: dict[str, tuple[object, ...]] = {
            "Parquet, read, check, one scheme": (read_and_label, parquet, SCHEMES[:1]),
            "Parquet, read, check, six schemes": (read_and_label, parquet, SCHEMES),
            "sky groups and split of 240,000": (group_and_split, 240_000),
        }
        if options.fits:
            cases["FITS, read, check, one scheme"] = (read_and_label, options.fits, SCHEMES[:1])
        best: dict[str, tuple[float, float, str]] = {}
        for _ in range(options.rounds):
            for name, case in cases.items():
                best[name] = min(best.get(name, (np.inf, 0.0, "")), measure(*case))
        for name, (seconds, memory, text) in best.items():
            print(f"{name:36} {seconds:7.2f} s  {memory:5.2f} GiB  {text}")


if __name__ == "__main__":
    main()
