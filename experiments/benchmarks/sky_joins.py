"""Seconds of a join by position against astropy's two matches alone, and of HATS catalogs.

Seconds are of the processor. The join and the two matches follow one another, turn about:

    python experiments/benchmarks/sky_joins.py --rows 1000000 --pairs 3

With `--hats`, a table of as many rows (unsigned ids, gaps, whole numbers of 63 bits) is written as
HATS, read again, and joined by position with a catalog of other partitions; every cell and every
pair is compared, the pairs with those of one join in memory:

    python experiments/benchmarks/sky_joins.py --rows 1000000 --hats
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.catalog_join import JoinKind, Rows
from gzfeatures.galaxies.hats_catalogs.folder import HatsFolder
from gzfeatures.galaxies.hats_catalogs.writer import write_hats
from gzfeatures.verbs.partitioned import join_partitions

ARCSEC = 1 / 3600
Result = TypeVar("Result")


def survey(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two lists of positions, (n, 2) in degrees: two thirds of the second lie near the first."""
    rng = np.random.default_rng(seed)
    first = np.stack(
        [rng.random(rows) * 360, np.degrees(np.arcsin(2 * rng.random(rows) - 1))], axis=1
    )
    second = first[rng.permutation(rows)]
    second += rng.normal(scale=0.5 * ARCSEC, size=second.shape)
    far = rng.random(rows) < 1 / 3
    second[far, 0] = rng.random(int(far.sum())) * 360
    second[:, 0] %= 360
    second[:, 1] = np.clip(second[:, 1], -90, 90)
    return first, second


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of the processor, and what the work returned."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def two_matches(first: np.ndarray, second: np.ndarray) -> int:
    """There and back by astropy, and the pairs that agree."""
    from astropy.coordinates import SkyCoord

    one, two = (SkyCoord(place[:, 0], place[:, 1], unit="deg") for place in (first, second))
    nearest, apart, _ = one.match_to_catalog_sky(two)
    back, _, _ = two.match_to_catalog_sky(one)
    near = apart.to_value("arcsec") <= 1.5
    return int(((back[nearest] == np.arange(len(nearest))) & near).sum())


def against_astropy(rows: int, pairs: int) -> None:
    """Print the seconds of a join and of two matches, and their ratio."""
    first, second = survey(rows, 0)
    frames = [
        pd.DataFrame({"objid": np.arange(rows) + start, "ra": place[:, 0], "dec": place[:, 1]})
        for start, place in ((0, first), (rows, second))
    ]
    one, two = Catalog.of(frames[0]), Rows(frames[1].rename(columns={"objid": "other"}))
    ratios = []
    for turn in range(pairs):
        works = {
            "matches": lambda: two_matches(first, second),
            "join": lambda: one.join_sky(two, 1.5),
        }
        order = list(works) if turn % 2 == 0 else list(works)[::-1]
        done = {name: timed(works[name]) for name in order}
        (alone, matched), (joined, (_, report)) = done["matches"], done["join"]
        if report.matched != matched:
            sys.exit(f"{report.matched} pairs, not {matched}")
        ratios.append(joined / alone)
        print(f"{rows} rows: two matches {alone:.2f} s, join {joined:.2f} s, {ratios[-1]:.3f}×")
    print(f"median {np.median(ratios):.3f}×, {matched} pairs")


def hats(rows: int) -> None:
    """Print seconds and memory of writing, reading and joining HATS; compare every cell."""
    first, second = survey(rows, 0)
    rng = np.random.default_rng(1)
    gaps = rng.random(rows) < 0.2
    table = pa.table(
        {
            "object_id": pa.array(
                rng.permutation(rows).astype(np.uint64) + np.uint64(2**64 - rows)
            ),
            "ra": first[:, 0],
            "dec": first[:, 1],
            "plate": pa.array(rng.integers(2**62, 2**63 - 1, rows), mask=gaps),
            "mag": pa.array(rng.normal(20, 1, rows).astype(np.float32), mask=gaps),
        }
    )
    other = pa.table({"key": np.arange(rows), "ra": second[:, 0], "dec": second[:, 1]})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        one, two, both = (folder / f"{name}.hats" for name in ("one", "two", "both"))
        seconds, _ = timed(lambda: write_hats(table, one, "ra", "dec", rows // 40))
        write_hats(other, two, "ra", "dec", rows // 15)
        catalog = HatsFolder.open(one)
        print(f"written: {seconds:.1f} s, {len(catalog.files)} partitions")
        seconds, again = timed(
            lambda: pa.concat_tables([catalog.rows(each) for each in catalog.files])
        )
        same = again.sort_by("object_id").drop_columns(["_healpix_29"])
        print(f"read: {seconds:.1f} s, every cell equal: {same.equals(table.sort_by('object_id'))}")
        kind = JoinKind(suffix="_2")
        seconds, counts = timed(lambda: join_partitions(one, two, both, sky=1.5, kind=kind))
        result = HatsFolder.open(both)
        joined = pa.concat_tables([result.rows(each) for each in result.files])
        pairs = dict(zip(joined["object_id"].to_pylist(), joined["key"].to_pylist(), strict=True))
        frame = table.select(["object_id", "ra", "dec"]).to_pandas()
        whole, _ = Catalog.of(frame).join_sky(Rows(other.to_pandas()), 1.5)
        true = dict(zip(map(int, whole.frame["object_id"]), whole.frame["key"], strict=True))
        print(
            f"joined: {seconds:.1f} s, {counts.matched} pairs, those of one join in memory: "
            f"{pairs == true}"
        )
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--hats", action="store_true")
    words = parser.parse_args()
    # this folder has a coverage.py, which numba (and with it hats) would take for the package
    sys.path = [
        place for place in sys.path if Path(place or ".").resolve() != Path(__file__).parent
    ]
    two_matches(*survey(1000, 0))
    if words.hats:
        hats(words.rows)
    else:
        against_astropy(words.rows, words.pairs)
