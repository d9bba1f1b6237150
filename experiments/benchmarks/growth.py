"""How verbs that look at neighbours grow with the table, and what an index beside it costs.

    python experiments/benchmarks/growth.py 10000 100000                       # all verbs
    python experiments/benchmarks/growth.py 10000 100000 --verb odd --dim 128
    python experiments/benchmarks/growth.py 160000 --verb index
    python experiments/benchmarks/growth.py 1000000 --verb index --dim 128 --like real.parquet
    python experiments/benchmarks/growth.py 100000 --dim 128 --like real.parquet --verb index \
        --verb duplicates --verb odd --indexed

Processor seconds and memory of whole processes on one thread, once each, tables drawn by
`against_verbs.draw_table`; of two sizes and more, the exponent of growth between neighbours in
size. With `--like TABLE` the vectors are those of that table along their first principal
components, each as often as needed, plus noise of a tenth of the distance to the nearest other
galaxy; of 8,192 rows 30 are copies of one vector, and 20 a clump (noise of a thousandth). Such a
table is written in parts, so that it may be larger than the memory; it lies in $TMPDIR.

`index` also asks galaxies for their ten nearest and says how many of those a scan finds, and what a
query costs: from the second on (warm), and a process of `similar --index` after both files were
dropped from the system's cache (cold). `--indexed` gives the index to `odd` and `duplicates` too.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from against_verbs import Build, Cost, draw_table

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("duplicates", "odd", "doubt", "map", "index")
ASKED = 200
COPIES, CLUMP = 30, 20
"""Rows of a part of `noisy_table` that are equal, and that lie very near each other."""


def words(verb: str, table: Path, folder: Path) -> list[str]:
    """The command of a verb on a table."""
    if verb == "index":
        return ["table", "index", str(table), "-o", str(folder / "table.index")]
    command = [verb, str(table), "-o", str(folder / f"out.{'html' if verb == 'map' else 'csv'}")]
    if verb == "doubt":
        command += ["--labels", str(table.with_suffix(".csv"))]
    return command


def noisy_table(path: Path, rows: int, dim: int, real: Path) -> Path:
    """Write a table of real vectors plus noise, with copies and clumps, part by part."""
    from gzfeatures.explore.feature_space import FeatureSpace
    from gzfeatures.explore.nearest import by_every_distance
    from gzfeatures.features.extractor import Extractor
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.features.table_writer import GROUP_ROWS, writer
    from gzfeatures.images.view import View

    matrix = EmbeddingTable.read(real).matrix
    vectors = FeatureSpace.fit(matrix, components=dim).vectors(matrix)
    if vectors.shape[1] != dim:
        raise SystemExit(f"{real} has {matrix.shape[1]} numbers a galaxy, which is below {dim}")
    near = by_every_distance(vectors, vectors, 1, np.arange(len(vectors))).distances[:, 0]
    extractor = Extractor("toy", "toy", "random:0", "flatten", dim, View(size=32))
    with writer(path, extractor, ()) as append:
        for start in range(0, rows, GROUP_ROWS):
            rng = np.random.default_rng([0, start])
            count = min(GROUP_ROWS, rows - start)
            chosen = rng.integers(0, len(vectors), count)
            scale = np.full(count, 0.1)
            chosen[:COPIES] = chosen[0]
            chosen[COPIES : COPIES + CLUMP] = chosen[COPIES]
            noise = rng.normal(size=(count, dim)) / np.sqrt(dim)
            noise[:COPIES] = noise[0]
            scale[COPIES : COPIES + CLUMP] = 0.001
            part = vectors[chosen] + (scale * near[chosen])[:, None] * noise
            ids = np.asarray([str(100_000 + row) for row in range(start, start + count)], object)
            digests = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
            append(ids, np.asarray(digests, dtype=object), part.astype(np.float32))
    return path


def asked_about(rows: int, like: bool) -> dict[str, np.ndarray]:
    """Rows that are asked about, by what they are: any, and copies and clumps of `noisy_table`."""
    rng = np.random.default_rng(0)
    chosen = {"any": np.sort(rng.choice(rows, min(ASKED, rows), replace=False))}
    if like:
        groups = np.arange(0, rows - COPIES - CLUMP, 8192)[:50]
        chosen["copies"] = groups + rng.integers(0, COPIES, len(groups))
        chosen["clumps"] = groups + COPIES + rng.integers(0, CLUMP, len(groups))
    return chosen


def found(table: Path, index: Path, like: bool) -> str:
    """Share of the ten nearest that an index finds, and milliseconds a query."""
    from gzfeatures.explore.cells.cell_index import CellIndex
    from gzfeatures.explore.scan import scan
    from gzfeatures.features.table import EmbeddingTable

    opened = EmbeddingTable.open(table)
    cells = CellIndex(index, opened)
    told = []
    for kind, rows in asked_about(len(opened), like).items():
        queries = opened.vectors_of(rows)
        # the first call brings the cells into the system's cache
        cells.nearest(queries, 10, rows)
        began = time.process_time(), time.perf_counter()
        _, far = cells.nearest(queries, 10, rows)
        took = time.process_time() - began[0], time.perf_counter() - began[1]
        # by distance: which of equally far galaxies is named does not matter
        _, true = scan(opened.matrices(), queries, 10, own=rows)
        kept = np.mean(far <= true[:, -1:] * (1 + 1e-6) + 1e-9)
        told.append(
            f"{kind}: recall@10 {kept:.4f} of {len(rows)}, warm {took[0] / len(rows) * 1000:.1f} "
            f"ms of a processor a query ({took[1] / len(rows) * 1000:.1f} ms by the clock)"
        )
    return "; ".join([f"{cells.probes} of {cells.cells} cells are read", *told])


def cold(build: Build, table: Path, index: Path) -> str:
    """Seconds of one question after table and index were dropped from the system's cache."""
    for path in (table, index):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    cost = build.cost(["similar", str(table), "100053", "--index", str(index)])
    return (
        f"cold: a process of one query {cost.seconds:.1f} s of a processor, "
        f"{time.perf_counter() - began:.1f} s by the clock, {cost.megabytes:.0f} MB"
    )


def main() -> None:
    """Print seconds, memory and exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--verb", choices=VERBS, action="append")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--like", type=Path, help="a table of real vectors")
    parser.add_argument("--indexed", action="store_true")
    chosen = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = Build(ROOT, folder / "build")
        last: dict[str, tuple[int, Cost]] = {}
        for rows in sorted(chosen.rows):
            place, index = folder / f"{rows}.parquet", folder / "table.index"
            if chosen.like:
                table = noisy_table(place, rows, chosen.dim, chosen.like)
            else:
                table = draw_table(place, rows, chosen.dim)
            for verb in chosen.verb or VERBS:
                indexed = chosen.indexed and verb in ("odd", "duplicates")
                command = words(verb, table, folder)
                cost = build.cost([*command, *(["--index", str(index)] if indexed else [])])
                name = f"{verb} --index" if indexed else verb
                line = (
                    f"{name}, {rows} x {chosen.dim}: {cost.seconds:.1f} s, {cost.megabytes:.0f} MB"
                )
                if verb in last:
                    fewer, before = last[verb]
                    power = math.log(cost.seconds / before.seconds) / math.log(rows / fewer)
                    line += f", grows as n^{power:.2f}"
                print(line, flush=True)
                last[verb] = rows, cost
                if verb == "index":
                    print(f"  {found(table, index, bool(chosen.like))}", flush=True)
                    print(f"  {cold(build, table, index)}", flush=True)
                # an output is never written over
                for made in folder.glob("out.*"):
                    made.unlink()
            index.unlink(missing_ok=True)
            table.unlink()


if __name__ == "__main__":
    main()
