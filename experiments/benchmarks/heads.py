"""Heads against plain scikit-learn and XGBoost on a synthetic table: seconds, ratios, accuracy,
memory.

Rounds are interleaved (every method once per round), so that a busy machine slows all alike;
medians are printed.

    python experiments/benchmarks/heads.py --rows 4000 --rounds 3
    python experiments/benchmarks/heads.py --rows 16000 --dim 1024 --rounds 2
    python experiments/benchmarks/heads.py --memory --rows 60000 --dim 2048
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

CLASSES = 5


def synthetic(rows: int, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rectified vectors with class structure: 64 latent directions, bent, mixed, noisy; as a
    network's pooled layer."""
    rng = np.random.default_rng(seed)
    y = rng.choice(CLASSES, rows, p=[0.3, 0.27, 0.2, 0.15, 0.08])
    mixing = rng.normal(size=(64, dim)).astype(np.float32) / 8
    X = np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, 4096):
        part = y[start : start + 4096]
        latent = (
            rng.normal(size=(len(part), 64)).astype(np.float32)
            + 2.0 * np.eye(CLASSES, 64, dtype=np.float32)[part]
        )
        X[start : start + 4096] = np.maximum(
            latent @ mixing + 0.5 * rng.normal(size=(len(part), dim)), 0
        )
    return X, y


def methods() -> dict[str, Callable[[], Any]]:
    """Unfitted estimators by name; each pair of lines is one comparison."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    from gzfeatures.heads.estimators.registry import HEADS

    return {
        "SVC": lambda: make_pipeline(StandardScaler(), SVC()),
        "svm bare": lambda: HEADS["svm"](C=1.0, calibration="none"),
        "svm": lambda: HEADS["svm"](C=1.0),
        "XGBClassifier": lambda: XGBClassifier(),
        "xgboost bare": lambda: HEADS["xgboost"](calibration="none"),
        "xgboost": lambda: HEADS["xgboost"](),
        "LogisticRegression": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        "logistic bare": lambda: HEADS["logistic"](calibration="none"),
        "logistic": lambda: HEADS["logistic"](),
    }


def speed(rows: int, dim: int, rounds: int, baselines: set[str]) -> dict[str, float]:
    """Print seconds, accuracy and ratios; return the median fit seconds of each method.

    Beside the wall clock stands the processor time of all threads, which a busy machine disturbs
    less.
    """
    X, y = synthetic(rows + 4000, dim)
    train, test = slice(0, rows), slice(rows, None)
    seconds: dict[str, list[tuple[float, float, float, float]]] = {}
    accuracy: dict[str, float] = {}
    chosen = {
        name: build
        for name, build in methods().items()
        if not name[0].isupper() or name in baselines
    }
    for _ in range(rounds):
        for name, build in chosen.items():
            estimator = build()
            start, cpu = time.perf_counter(), time.process_time()
            estimator.fit(X[train], y[train])
            fitted, cpu_fitted = time.perf_counter(), time.process_time()
            accuracy[name] = float((estimator.predict(X[test]) == y[test]).mean())
            times = (
                fitted - start,
                cpu_fitted - cpu,
                time.perf_counter() - fitted,
                time.process_time() - cpu_fitted,
            )
            seconds.setdefault(name, []).append(times)
    median = {
        name: [statistics.median(column) for column in zip(*times, strict=True)]
        for name, times in seconds.items()
    }
    print(
        f"{rows:,} × {dim:,}, {CLASSES} classes, {rounds} rounds, 4,000 test rows; wall "
        "and processor seconds, ratios"
    )
    print(
        f"{'':20}{'accuracy':>9}"
        + "".join(f"{word:>12}{'×':>7}" for word in ("fit", "fit cpu", "predict", "predict cpu"))
    )
    base = median[next(iter(median))]
    for name, values in median.items():
        base = values if name[0].isupper() else base
        print(
            f"{name:20}{accuracy[name]:9.4f}"
            + "".join(f"{v:12.3f}{b / v:7.1f}" for v, b in zip(values, base, strict=True))
        )
    return {name: values[0] for name, values in median.items()}


def tuned(rows: int, dim: int, plain: float, jobs: int) -> None:
    """Print the seconds of the three heads, tuned and calibrated, beside one plain SVC fit."""
    from gzfeatures.evaluation.metrics import evaluate
    from gzfeatures.features.table import EmbeddingTable, Extractor
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.heads.fit import fit
    from gzfeatures.images.view import View

    X, y = synthetic(rows + 4000, dim)
    ids = np.array([f"g{i}" for i in range(len(X))], dtype=object)
    digests = np.array(["0" * 64] * len(X), dtype=object)
    table = EmbeddingTable(
        ids, digests, X, Extractor("synthetic", "none", "random:0", "none", dim, View())
    )
    labels = Labels(ids, tuple("abcde"[:CLASSES]), y)
    split = Split(ids[:rows], ids[:0], ids[rows:])
    total = 0.0
    for name in ("logistic", "svm", "xgboost"):
        start = time.perf_counter()
        head = fit(table, labels, name, split=split, tune=True, jobs=jobs)
        spent = time.perf_counter() - start
        total += spent
        scores = evaluate(head.predict(table.select(split.test)), labels, intervals=0)
        print(
            f"{name:10} tuned and calibrated {spent:7.1f} s, accuracy "
            f"{scores.accuracy:.4f}, ECE {scores.ece:.4f}"
        )
    print(f"together {total:.1f} s; one plain SVC fit {plain:.1f} s; ratio {plain / total:.2f}")


def memory(name: str, rows: int, dim: int) -> None:
    """Print the peak memory of fitting one head, as a multiple of the table, beyond the bare
    interpreter's."""
    from gzfeatures.heads.estimators.registry import HEADS

    small_X, small_y = synthetic(3000, 64)
    HEADS[name]().fit(small_X, small_y)  # libraries loaded, threads started
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    X, y = synthetic(rows, dim)
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    HEADS[name]().fit(X, y)
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = X.nbytes / 1024
    print(
        f"{name:10} {rows:,} × {dim:,}: fit {spent:.1f} s, peak "
        f"{(peak - before) / table:.2f} × the table"
        f" (table made at {(made - before) / table:.2f} ×)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=16000, help="training rows")
    parser.add_argument("--dim", type=int, default=1024, help="length of a vector")
    parser.add_argument("--rounds", type=int, default=2, help="interleaved rounds")
    parser.add_argument("--jobs", type=int, default=1, help="candidates tuned at once")
    parser.add_argument(
        "--against",
        nargs="*",
        default=["SVC", "XGBClassifier", "LogisticRegression"],
        help="baselines to run",
    )
    parser.add_argument("--no-tuning", action="store_true", help="leave the tuned heads out")
    parser.add_argument(
        "--memory", action="store_true", help="measure memory instead, on --rows × --dim"
    )
    parser.add_argument("--head", help="with --memory: this head only, in this process")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.memory and arguments.head:
        memory(arguments.head, arguments.rows, arguments.dim)
    elif arguments.memory:
        for name in ("logistic", "svm", "xgboost"):
            shape = ["--rows", str(arguments.rows), "--dim", str(arguments.dim)]
            subprocess.run(
                [sys.executable, __file__, "--memory", "--head", name, *shape], check=True
            )
    else:
        fits = speed(arguments.rows, arguments.dim, arguments.rounds, set(arguments.against))
        if "SVC" in fits and not arguments.no_tuning:
            tuned(arguments.rows, arguments.dim, fits["SVC"], arguments.jobs)


if __name__ == "__main__":
    main()
