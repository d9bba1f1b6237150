"""Seconds and memory of reading, checking and labelling catalogs, grouping and splitting.

Every case runs in a process of its own, in interleaved rounds; the best round of each is printed.

    python experiments/benchmarks/catalogs.py --rows 1000000 --rounds 3 \\
        [--fits gz2_table5_stripe82_coadd.fits.gz]

With another checkout of the package to compare with, the same tables are read by both, turn about,
from every format that both read; seconds of the processor and of the clock, the peak of memory, and
the ratios are printed:

    python experiments/benchmarks/catalogs.py --rows 1000000 --rounds 5 --against OTHER_CHECKOUT
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SCHEMES = ("zhu-5class", "walmsley-7class", "hazra-3class", "q1-3class", "tuning-fork", "votes-37")


def write_kaggle(path: Path, rows: int) -> str:
    """A Parquet table of cumulative fractions that keep the sums of the tree."""
    import pandas as pd

    from gzfeatures.galaxies.votes.column_names import KAGGLE
    from gzfeatures.galaxies.votes.votes import COLUMNS, Conditional

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
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.schemes import scheme

    catalog = Catalog.read(path)
    return f"{len(catalog)} rows, " + ", ".join(
        f"{name} {len(scheme(name).label(catalog))}" for name in schemes
    )


def group_and_split(rows: int) -> str:
    """Neighbours within 60 arcsec over the whole sky, then a grouped split of 12 classes."""
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.splits.related_galaxies import sky_groups
    from gzfeatures.galaxies.splits.split import Split

    random = np.random.default_rng(0)
    ids = np.arange(rows).astype(str).astype(object)
    groups = sky_groups(
        random.uniform(0, 360, rows), np.degrees(np.arcsin(random.uniform(-1, 1, rows))), ids, 60.0
    )
    labels = Labels(ids, tuple(f"class-{code}" for code in range(12)), random.integers(0, 12, rows))
    split = Split.draw(labels, groups=groups)
    return (
        f"{len(groups)} of {rows} in groups, "
        f"{len(split.train)}/{len(split.validation)}/{len(split.test)}"
    )


def _measured(case: Callable[..., str], arguments: tuple[object, ...], answer: object) -> None:
    start = time.perf_counter()
    text = case(*arguments)
    seconds = time.perf_counter() - start
    answer.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, text))


def measure(case: Callable[..., str], *arguments: object) -> tuple[float, float, str]:
    """Seconds (imports of the libraries included), peak GiB, and what the case says, in a fresh
    process."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_measured, args=(case, arguments, answer))
    process.start()
    result = answer.get()
    process.join()
    return result


def write_tables(folder: Path, rows: int) -> str:
    """One catalog of ids, positions, gaps, texts, counts and fractions in every format."""
    import pandas as pd
    from astropy.table import Table

    random = np.random.default_rng(0)
    columns = {
        "objid": 588_017_605_758_025_732 + 7 * np.arange(rows),
        "ra": random.uniform(0, 360, rows).round(6),
        "dec": random.uniform(-90, 90, rows).round(6),
        "redshift": random.random(rows).round(5),
        "petro_mag": random.uniform(14, 17, rows).round(3).astype(np.float32),
        "survey": random.choice(["original", "extra", "stripe82"], rows),
        "classifications": random.integers(16, 80, rows),
    }
    frame = pd.DataFrame(
        columns | {f"fraction_{k}": random.random(rows).round(4) for k in range(20)}
    )
    frame.loc[::10, "redshift"] = np.nan
    for ending in (".csv", ".csv.gz"):
        frame.to_csv(folder / f"table{ending}", index=False)
    frame.to_parquet(folder / "table.parquet")
    Table.from_pandas(frame).write(folder / "table.fits")
    return f"{rows} rows written"


def read_once(path: Path) -> None:
    """Read one table and print what it took, imports of the libraries left out of the seconds."""
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet
    from astropy.io import fits
    from astropy.table import Table

    from gzfeatures.tablefiles.tables import read_table

    del pyarrow, fits, Table
    start, spent = time.perf_counter(), time.process_time()
    frame = read_table(path)
    taken = time.perf_counter() - start, time.process_time() - spent
    print(
        json.dumps(
            [*taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, list(frame.shape)]
        )
    )


def compare(rows: int, rounds: int, other: Path) -> None:
    """Read the same tables with this tree and another, turn about, and print the ratios of the best
    rounds."""
    trees = {"this": Path(__file__).parents[2], "other": other}
    with tempfile.TemporaryDirectory() as folder:
        measure(write_tables, Path(folder), rows)
        print(
            "format       clock s (other)     ratio   processor s (other)  ratio   GiB "
            "(other)    ratio"
        )
        for ending in (".parquet", ".csv", ".csv.gz", ".fits"):
            best = {name: np.full(3, np.inf) for name in trees}
            for turn in range(rounds):
                for name in sorted(trees, reverse=bool(turn % 2)):
                    command = [sys.executable, __file__, "--read", f"{folder}/table{ending}"]
                    environment = {**os.environ, "PYTHONPATH": str(trees[name].resolve())}
                    result = subprocess.run(
                        command, env=environment, capture_output=True, text=True, check=True
                    )
                    best[name] = np.minimum(best[name], json.loads(result.stdout)[:3])
            this, that = best["this"], best["other"]
            cells = (f"{a:8.2f} ({b:6.2f})  {a / b:8.2f}" for a, b in zip(this, that, strict=True))
            print(f"{ending:9}", *cells, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fits", type=Path, help="a GZ2 table of Willett+2013")
    parser.add_argument(
        "--against", type=Path, help="another checkout, to read the same tables with"
    )
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        return read_once(options.read)
    if options.against:
        return compare(options.rows, options.rounds, options.against)
    with tempfile.TemporaryDirectory() as folder:
        parquet = Path(folder) / "kaggle.parquet"
        measure(
            write_kaggle, parquet, options.rows
        )  # elsewhere: a child starts with its parent's peak memory
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
