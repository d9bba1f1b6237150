"""How verbs that look at neighbours grow with the table, and what an index beside it costs.

    python experiments/benchmarks/growth.py 10000 100000                       # all verbs
    python experiments/benchmarks/growth.py 10000 100000 --verb odd --dim 128
    python experiments/benchmarks/growth.py 160000 --verb index

Processor seconds and memory of whole processes on one thread, once each, tables drawn by
`against_verbs.draw_table`; of two sizes and more, the exponent of growth between neighbours in
size. `index` also asks 200 galaxies for their ten nearest and says how many of those a scan finds,
with the time of a query from the second call on.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
from against_verbs import Build, Cost, draw_table

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("duplicates", "odd", "doubt", "map", "index")
ASKED = 200


def words(verb: str, table: Path, folder: Path) -> list[str]:
    """The command of a verb on a table."""
    if verb == "index":
        return ["table", "index", str(table), "-o", str(folder / "table.index")]
    command = [verb, str(table), "-o", str(folder / f"out.{'html' if verb == 'map' else 'csv'}")]
    if verb == "doubt":
        command += ["--labels", str(table.with_suffix(".csv"))]
    return command


def found(table: Path, index: Path) -> str:
    """Share of the ten nearest that an index finds, and seconds a query."""
    from gzfeatures.explore.cells.cell_index import CellIndex
    from gzfeatures.explore.scan import scan
    from gzfeatures.features.table import EmbeddingTable

    opened = EmbeddingTable.open(table)
    cells = CellIndex(index, opened)
    rows = np.random.default_rng(0).choice(len(opened), ASKED, replace=False)
    queries = opened.vectors_of(rows)
    cells.nearest(queries[:20], 10, rows[:20])
    began = time.process_time(), time.perf_counter()
    _, far = cells.nearest(queries, 10, rows)
    took = time.process_time() - began[0], time.perf_counter() - began[1]
    blocks = (
        opened.vectors_of(np.arange(start, min(start + 8192, len(opened))))
        for start in range(0, len(opened), 8192)
    )
    # by distance: which of equally far galaxies is named does not matter
    _, true = scan(blocks, queries, 11)
    kept = np.mean(far <= np.sort(true, axis=1)[:, 10:] * (1 + 1e-6))
    return (
        f"recall@10 {kept:.3f} of {ASKED} galaxies, a query {took[0] / ASKED * 1000:.1f} ms of a "
        f"processor, {took[1] / ASKED * 1000:.1f} ms by the clock, warm"
    )


def main() -> None:
    """Print seconds, memory and exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--verb", choices=VERBS, action="append")
    parser.add_argument("--dim", type=int, default=512)
    chosen = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = Build(ROOT, folder / "build")
        last: dict[str, tuple[int, Cost]] = {}
        for rows in sorted(chosen.rows):
            table = draw_table(folder / f"{rows}.parquet", rows, chosen.dim)
            for verb in chosen.verb or VERBS:
                cost = build.cost(words(verb, table, folder))
                line = (
                    f"{verb}, {rows} x {chosen.dim}: {cost.seconds:.1f} s, {cost.megabytes:.0f} MB"
                )
                if verb in last:
                    fewer, before = last[verb]
                    power = math.log(cost.seconds / before.seconds) / math.log(rows / fewer)
                    line += f", grows as n^{power:.2f}"
                print(line, flush=True)
                last[verb] = rows, cost
                if verb == "index":
                    print(f"  {found(table, folder / 'table.index')}", flush=True)
                # an output is never written over
                for made in (*folder.glob("out.*"), *folder.glob("table.index")):
                    made.unlink()


if __name__ == "__main__":
    main()
