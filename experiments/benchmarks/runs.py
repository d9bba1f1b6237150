"""MLflow with many runs: how fast they are recorded, how fast the UI opens their page in Chromium; and a model served
to many at once.

    python experiments/benchmarks/runs.py --runs 500 --requests 400 --at-once 16
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels import Labels
from gzfeatures.galaxies.splits import Split
from gzfeatures.heads.fit import Head, fit
from gzfeatures.images.views import View
from gzfeatures.results.comparison import Pairing
from gzfeatures.results.metrics import evaluate
from gzfeatures.tracking import Tracking

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser

N, DIM = 300, 64


def fitted() -> tuple[Head, Pairing]:
    """A head on drawn vectors, and its pairing."""
    random, ids = np.random.default_rng(0), np.arange(N).astype(str).astype(object)
    labels = Labels(ids, ("a", "b", "c"), np.arange(N) % 3, scheme="three")
    matrix = (random.normal(size=(N, DIM)) + labels.codes[:, None]).astype(np.float32)
    extractor = Extractor("none", "none", "random:0", "none", DIM, View(size=32))
    table = EmbeddingTable(ids, np.full(N, "0" * 64, dtype=object), matrix, extractor)
    split = Split.draw(labels)
    head = fit(table, labels, "logistic", split=split)
    predictions = head.predict(table.select(split.test))
    scores = evaluate(predictions, labels, intervals=100)
    spent = {"extract": 1.0, "fit": 0.1, "predict": 0.1}
    return head, Pairing(
        "frozen", "none", "logistic", "three", split.fingerprint, predictions, scores, spent, {}, seed=0
    )


@contextmanager
def serving(command: list[str], path: str) -> Iterator[str]:
    """A server on a free port of 127.0.0.1, once it answers at `path`; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*command, "--port", str(port)], stdout=quiet, stderr=quiet, env=environment) as process:
        try:
            for _ in range(3000):
                try:
                    urllib.request.urlopen(address + path, timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                sys.exit(f"nothing answers at {address}{path}: {' '.join(command)}")
            yield address
        finally:
            process.terminate()


def page_seconds(folder: Path, address: str, needed: str) -> float:
    """Seconds until the page of the first experiment shows a run."""
    browser = Browser(folder / "browser", (1500, 1000))
    try:
        browser.open(f"{address}/#/experiments/1/runs")
        start = time.perf_counter()
        browser.open(f"{address}/#/experiments/1/runs")
        browser.until(f"return document.body.innerText.includes({json.dumps(needed)})", 60)
        return time.perf_counter() - start
    finally:
        browser.close()


def answer_seconds(address: str) -> float:
    """Seconds of one answer of a served model to ten galaxies."""
    rows = [{"galaxy_id": str(row), "embedding": np.full(DIM, 0.1 * row).tolist()} for row in range(10)]
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    start = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as response:
        said = json.loads(response.read())["predictions"]
    if [row["galaxy_id"] for row in said] != [str(row) for row in range(10)]:
        sys.exit("answers are mixed up")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--at-once", type=int, default=16)
    given = parser.parse_args()
    head, pairing = fitted()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracking = Tracking(root=folder)
        path = head.write(folder / "logistic.skops")
        start = time.perf_counter()
        tracking.pairing("many", pairing, [path])
        for _ in range(given.runs - 1):
            tracking.pairing("many", pairing, [])
        each = (time.perf_counter() - start) / given.runs
        print(f"{given.runs} runs recorded, {each:.2f} s each", flush=True)
        ui = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking.uri, "--host", "127.0.0.1"]
        with serving(ui, "/health") as address:
            print(f"page of the experiment: {page_seconds(folder, address, pairing.name):.1f} s", flush=True)
        model = next(folder.glob("artifacts/**/MLmodel")).parent
        serve = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
        with serving([*serve, "-m", str(model)], "/ping") as address:
            start = time.perf_counter()
            with ThreadPoolExecutor(given.at_once) as pool:
                seconds = sorted(pool.map(lambda _: answer_seconds(address), range(given.requests)))
            rate = given.requests / (time.perf_counter() - start)
            print(
                f"served: {rate:.0f} answers/s, median {seconds[len(seconds) // 2]:.3f} s, slowest {seconds[-1]:.3f} s"
            )


if __name__ == "__main__":
    main()
