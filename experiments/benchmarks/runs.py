"""MLflow with many runs: how fast they are recorded, how fast the UI opens their page in Chromium;
and a model served to many at once.

    python experiments/benchmarks/runs.py --runs 500 --requests 400 --at-once 16
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np

from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import Head, fit
from gzfeatures.images.view import View
from gzfeatures.tracking import Tracking

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser
from server import Server, free_port

N, DIM = 300, 64


def fitted() -> tuple[Head, Candidate]:
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
    return head, Candidate(
        "frozen",
        "none",
        "logistic",
        "three",
        split.fingerprint,
        predictions,
        scores,
        spent,
        {},
        seed=0,
    )


def served(words: Sequence[str], alive: str, folder: Path) -> closing[Server]:
    """MLflow's server of a kind, once it answers at `alive`."""
    port, mlflow = free_port(), Path(sys.executable).with_name("mlflow")
    path = {
        "PATH": f"{mlflow.parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(mlflow), *words, "--host", "127.0.0.1", "--port", str(port)]
    return closing(Server(command, port, alive, folder / f"{words[0]}.log", path))


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


def answer_seconds(server: Server) -> float:
    """Seconds of one answer of a served model to ten galaxies."""
    rows = [
        {"galaxy_id": str(row), "embedding": np.full(DIM, 0.1 * row).tolist()} for row in range(10)
    ]
    body = json.dumps({"dataframe_records": rows}).encode()
    start = time.perf_counter()
    said = json.loads(server.ask("/invocations", body))["predictions"]
    if [row["galaxy_id"] for row in said] != [str(row) for row in range(10)]:
        sys.exit("answers are mixed up")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
        tracking.record_candidate("many", pairing, [path])
        for _ in range(given.runs - 1):
            tracking.record_candidate("many", pairing, [])
        each = (time.perf_counter() - start) / given.runs
        print(f"{given.runs} runs recorded, {each:.2f} s each", flush=True)
        with served(["ui", "--backend-store-uri", tracking.uri], "/health", folder) as server:
            print(
                f"page of the experiment: {page_seconds(folder, server.base, pairing.name):.1f} s",
                flush=True,
            )
        model = next(folder.glob("artifacts/**/MLmodel")).parent
        with served(
            ["models", "serve", "--env-manager", "local", "-m", str(model)], "/ping", folder
        ) as server:
            start = time.perf_counter()
            with ThreadPoolExecutor(given.at_once) as pool:
                seconds = sorted(pool.map(lambda _: answer_seconds(server), range(given.requests)))
            rate = given.requests / (time.perf_counter() - start)
            print(
                f"served: {rate:.0f} answers/s, median {seconds[len(seconds) // 2]:.3f} s, "
                f"slowest {seconds[-1]:.3f} s"
            )


if __name__ == "__main__":
    main()
