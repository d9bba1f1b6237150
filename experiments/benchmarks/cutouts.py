"""How fast the cutout downloader is, from a server on this machine: images per second against
workers.

    python experiments/benchmarks/cutouts.py --galaxies 2000 --rounds 3

The server is another process; it answers with a 424 px JPEG of its own for each position, after a
chosen delay. Rounds are interleaved, so that a busy machine slows every setting alike.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import statistics
import struct
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.surveys.cutouts import download


def picture(side: int) -> bytes:
    """A bright spot on noisy sky, about as many bytes as a real cutout."""
    y, x = np.mgrid[:side, :side] - side / 2
    spot = 220 * np.exp(-np.hypot(x, y) / 25)[..., None] + np.random.default_rng(0).normal(
        12, 4, (side, side, 3)
    )
    file = io.BytesIO()
    Image.fromarray(spot.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def serve(pipe: Connection, delay: float) -> None:
    image = picture(424)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(delay)
            comment = self.path.encode()
            body = (
                image[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + image[2:]
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pipe.send((server.server_address[1], len(image)))
        server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument(
        "--delay", type=float, default=0.02, help="seconds the server takes for an answer"
    )
    options = parser.parse_args()

    mine, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, options.delay), daemon=True)
    server.start()
    port, size = mine.recv()
    n = options.galaxies
    frame = pd.DataFrame(
        {"galaxy_id": [f"g{k}" for k in range(n)], "ra": np.arange(n) * 0.01, "dec": np.zeros(n)}
    )
    catalog, url = Catalog(frame), f"http://127.0.0.1:{port}/getjpeg"
    speeds: dict[int, list[float]] = {workers: [] for workers in options.workers}
    again: list[float] = []
    for _ in range(options.rounds):
        for workers in options.workers:
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                report = download(catalog, Path(folder), base_url=url, workers=workers)
                speeds[workers].append(report.downloaded / (time.perf_counter() - start))
                if report.failed:
                    raise SystemExit(f"{len(report.failed)} failed, the first: {report.failed[0]}")
                if workers == max(options.workers):
                    start = time.perf_counter()
                    kept = download(
                        catalog, Path(folder), base_url=url, workers=workers
                    ).already_there
                    again.append(kept / (time.perf_counter() - start))
    server.kill()
    print(
        f"{n} galaxies, 424 px, {size} bytes each, {1000 * options.delay:g} ms per answer, "
        f"{options.rounds} rounds"
    )
    first = statistics.median(speeds[options.workers[0]])
    for workers, values in speeds.items():
        middle = statistics.median(values)
        print(
            f"{workers:3d} workers: {middle:6.0f} images/s "
            f"({min(values):.0f}…{max(values):.0f}), ×{middle / first:.1f}"
        )
    print(f"second call: {statistics.median(again):6.0f} images/s verified again, none asked for")


if __name__ == "__main__":
    main()
