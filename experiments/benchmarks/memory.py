"""Peak memory of an extraction as the number of images grows, and the time of a second run.

    python experiments/benchmarks/memory.py [--counts 10000 100000] [--backbone resnet18] \\
        [--view size=160]

Small JPEGs, all different, in one zip; each extraction is a process of its own that writes its
table to Parquet: first into an empty store, then again. Then the table is read batch by batch in a
further process. The view is large enough that the network is compiled for either number of images:
compiling takes about 130 MiB once.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

EXTRACT = """
import sys
import gzfeatures as gz
from gzfeatures.networks.extraction.extract import write_table
from gzfeatures.networks.extraction.spec import Extraction
view = gz.View.parse(sys.argv[4])
how = Extraction(sys.argv[3], "none", view=view, store=gz.Store.default(), progress=False)
made = write_table(gz.ImageSet.of(sys.argv[1]), how, sys.argv[2]).made
print(f"computed {made.computed}, reused {made.reused}")
"""
READ = """
import sys
import gzfeatures as gz
print("rows read", sum(len(part) for part in gz.EmbeddingTable.open(sys.argv[2]).batches()))
"""


def draw(path: Path, count: int) -> None:
    """A zip of JPEGs that differ in a comment and look alike."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(
        buffer, "JPEG"
    )
    head, rest = buffer.getvalue()[:2], buffer.getvalue()[2:]
    with zipfile.ZipFile(path, "w") as file:
        for number in range(count):
            comment = number.to_bytes(8, "big")
            file.writestr(
                f"{number:09}.jpg",
                head + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + rest,
            )


def measured(program: str, *arguments: str, store: Path) -> tuple[float, float, str]:
    """Seconds, peak MiB and what it printed, of a process of its own."""
    start = time.perf_counter()
    environment = {**os.environ, "GZFEATURES_STORE": str(store)}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        printed = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"exit code {process.returncode}")
    return time.perf_counter() - start, used.ru_maxrss / 1024, printed.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--view", default="size=160")
    given = parser.parse_args()
    peaks: dict[str, list[float]] = {}
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            images, table = Path(folder) / "images.zip", Path(folder) / "table.parquet"
            draw(images, count)
            for name, program in (("cold", EXTRACT), ("warm", EXTRACT), ("read", READ)):
                words = (str(images), str(table), given.backbone, given.view)
                seconds, peak, printed = measured(program, *words, store=Path(folder) / "store")
                peaks.setdefault(name, []).append(peak)
                print(
                    f"{count:9,} images, {name}: {seconds:6.1f} s, peak {peak:6.0f} MiB "
                    f"({printed})",
                    flush=True,
                )
    for name, values in peaks.items():
        print(
            f"{name}: peak at {given.counts[-1]:,} is {values[-1] / values[0]:.2f} of that "
            f"at {given.counts[0]:,}"
        )


if __name__ == "__main__":
    main()
