"""Do 90 % intervals hold 90 %? Simulated surveys of known truth: coverage and width of every
metric's interval.

    python experiments/benchmarks/coverage.py                      # the whole table
    python experiments/benchmarks/coverage.py --draws 200 -n 400   # a quick look

Galaxies of five classes with shares .50, .25, .15, .08 and .02 get scores with Gaussian noise and a
signal for the true class; probabilities are the right posterior, sharpened or flattened. The grid
is six signals and sharpenings, from a poor classifier (accuracy .67) to a nearly perfect one
(.997), and three of three common classes. The truth of each is measured on 600,000 galaxies, except
for the calibration error of right probabilities, which is 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gzfeatures.evaluation.statistics.intervals import EXACT, Curves
from gzfeatures.evaluation.statistics.metric_sums import placements
from gzfeatures.evaluation.statistics.score_intervals import Statistics

RARE, COMMON = (0.5, 0.25, 0.15, 0.08, 0.02), (0.5, 0.3, 0.2)
GRID: tuple[tuple[tuple[float, ...], float, float], ...] = (
    (RARE, 1.2, 1.0), (RARE, 1.2, 2.0), (RARE, 2.2, 1.0), (RARE, 2.2, 0.6), (RARE, 3.2, 1.0),
    (RARE, 3.2, 2.0),
    (RARE, 4.0, 1.0), (COMMON, 1.2, 1.0), (COMMON, 2.2, 1.5), (COMMON, 3.2, 1.0),
)  # fmt: skip
"""Class shares, signal, and exponent of the probabilities: 1 is calibrated, more is too sure."""
TRUTH_GALAXIES = 600_000
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "auc", "mcc", "ece")
OF_RAREST = ("recall", "precision", "f1")


def survey(
    shares: Sequence[float], signal: float, sharp: float, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, k) and true codes (n,) of one simulated survey."""
    k = len(shares)
    codes = rng.choice(k, n, p=shares)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), codes] += signal
    logits = sharp * (signal * scores + np.log(shares))
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True), codes


def truth(shares: Sequence[float], signal: float, sharp: float, seed: int) -> dict[str, float]:
    """Every metric of a classifier, on very many galaxies."""
    p, codes = survey(shares, signal, sharp, TRUTH_GALAXIES, np.random.default_rng(seed))
    known = Statistics.of(p[:20_000], codes[:20_000])  # its losses and bins are replaced below
    k = len(shares)
    confusion = np.bincount(codes * k + p.argmax(1), minlength=k * k).reshape(k, k).astype(float)
    hit, true, chosen = np.diagonal(confusion), confusion.sum(1), confusion.sum(0)
    n = float(len(codes))
    confidence = p.max(1)
    bins = np.clip(np.ceil(confidence * known.bins.shape[-1]).astype(int) - 1, 0, None)
    excess = np.bincount(bins, confidence - (p.argmax(1) == codes))
    chance = (true * chosen).sum()
    return {
        "accuracy": hit.sum() / n,
        "balanced_accuracy": (hit / true).mean(),
        "macro_f1": (2 * hit / (true + chosen)).mean(),
        "log_loss": -np.log(np.maximum(p[np.arange(len(codes)), codes], 1e-7)).mean(),
        "brier": ((p - np.eye(k)[codes]) ** 2).sum(1).mean(),
        "auc": placements(p, np.eye(k)[codes])[0].mean(),
        "mcc": (hit.sum() * n - chance)
        / np.sqrt((n**2 - (chosen**2).sum()) * (n**2 - (true**2).sum())),
        "ece": 0.0 if sharp == 1 else np.abs(excess).sum() / n,
        "recall": hit[-1] / true[-1],
        "precision": hit[-1] / chosen[-1],
        "f1": 2 * hit[-1] / (true[-1] + chosen[-1]),
    }


def covered(
    cell: tuple[Sequence[float], float, float],
    exact: dict[str, float],
    n: int,
    draws: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Of `draws` surveys of n galaxies: share with an interval, coverage and mean width among them,
    by metric."""
    rng = np.random.default_rng([seed, n])
    surveys = [Statistics.of(*survey(*cell, n, rng)) for _ in range(draws)]
    stacked = Statistics(
        *(
            Curves(*(np.stack(parts) for parts in zip(*column, strict=True)))
            if isinstance(column[0], Curves)
            else np.stack(column)
            for column in zip(*(vars(each).values() for each in surveys), strict=True)
        )
    )
    found: dict[str, dict[str, float]] = {}
    for name, (low, high) in stacked.intervals(0.9).items():
        if name in OF_RAREST:
            low, high = low[:, -1], high[:, -1]
        given = np.isfinite(low)
        held = (low <= exact[name] + 1e-12) & (exact[name] <= high + 1e-12)
        found[name] = {
            "given": float(given.mean()),
            "held": float(held[given].mean()) if given.any() else np.nan,
            "width": float((high - low)[given].mean()) if given.any() else np.nan,
            "draws": float(given.sum()),
        }
    return found


def table(
    sizes: Sequence[int], draws: int, cells: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """One row per metric and size: mean, least and highest coverage over the grid, width, share
    with an interval.

    A cell counts where at least a tenth of its draws, and 100, have an interval.
    """
    chosen = range(len(GRID)) if cells is None else cells
    truths = {index: truth(*GRID[index], seed=index) for index in chosen}
    rows = []
    for n in sizes:
        results = {index: covered(GRID[index], truths[index], n, draws, index) for index in chosen}
        for name in (*METRICS, *OF_RAREST):
            found = [cell[name] for cell in results.values()]
            full = [cell for cell in found if cell["draws"] >= min(100, draws / 10)]
            held = [cell["held"] for cell in full]
            rows.append(
                {
                    "n": n,
                    "metric": name,
                    "mean": float(np.mean(held)) if held else None,
                    "least": min(held, default=None),
                    "most": max(held, default=None),
                    "width": float(np.mean([cell["width"] for cell in full])) if full else None,
                    "given": float(np.mean([cell["given"] for cell in found])),
                    "cells": len(full),
                    "exact": name in EXACT,
                }
            )
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table for a README."""
    lines = [
        "| n | metric | mean | least | most | width | with interval | cells |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = [
            f"{row[key]:.3f}" if row[key] is not None else "–"
            for key in ("mean", "least", "most", "width")
        ]
        name = row["metric"].replace("_", " ") + (" (exact)" if row["exact"] else "")
        name += " of the rarest class" if row["metric"] in OF_RAREST else ""
        lines.append(
            f"| {row['n']:,} | {name} | {' | '.join(numbers)} | "
            f"{row['given']:.3f} | {row['cells']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; with -o also as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("-n", "--galaxies", type=int, nargs="+", default=[120, 400, 2000])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = table(options.galaxies, options.draws)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
