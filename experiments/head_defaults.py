"""Compare defaults of heads with other numbers, from 80 to 6,000 training galaxies.

    python experiments/finetuning.py WORK --resnet50 resnet50v1.pth --only svm  # writes tables
    python experiments/head_defaults.py WORK

Classes: vectors, labels and the 1,500 scored galaxies of `finetuning.py`, its three seeds; of 6,000
galaxies of `resnet50-v1` one draw. Each line: accuracy, macro F1, log loss. Vote fractions: RMSE on
galaxies with votes of the own tenth (sha256 of the id % 10 = 3), fitted on others; one number: the
fraction of Class1.1, in its standard deviation.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from finetuning import DATA, SEEDS, Cell, Sample, drawn, scores
from sklearn.datasets import load_digits

import gzfeatures as gz
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import digest_remainders
from gzfeatures.heads.estimators import transforms
from gzfeatures.heads.estimators.numbers import NumberRegression
from gzfeatures.heads.estimators.registry import HEADS

CLASSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("svm", {"C": 3.0, "gamma": 1.0}),
    *(("svm", {"C": 10.0, "gamma": gamma}) for gamma in (0.3, 0.1, 0.05)),
    ("svm", {}),
    *(("linear-svm", {"calibration": method}) for method in ("platt", "temperature")),
    *(("prototype", {"pca": width}) for width in (128, 32, 16, 8)),
    ("prototype", {}),
    ("logistic", {}),
    ("knn", {}),
    ("lda", {}),
)
VOTES: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("ridge", {"alpha": alpha}) for alpha in (100.0, 300.0, 1000.0, 3000.0, None)),
    *(
        ("svr", {"C": C, "gamma": g})
        for C, g in ((0.3, 1.0), (1.0, 0.3), (3.0, 0.1), (10.0, 0.03), (3.0, None))
    ),
)


ROWS_A_COMPONENT = transforms.ROWS_A_COMPONENT


def short_vectors() -> None:
    """Print how often svm is right on scikit-learn's digits, 64 numbers each, halves, 5 draws."""
    images, digits = load_digits(return_X_y=True)
    for numbers in ({"C": 3.0, "gamma": 1.0}, {"C": 10.0, "gamma": 0.1}, {}):
        right = []
        for seed in range(5):
            rows = np.random.default_rng(seed).permutation(len(digits))
            fitted, tested = np.array_split(rows, 2)
            head = HEADS["svm"](0, **numbers).fit(images[fitted].astype(np.float32), digits[fitted])
            said = head.predict(images[tested].astype(np.float32))
            right.append((said == digits[tested]).mean())
        print(f"digits {len(fitted)} svm {numbers}: {np.mean(right):.3f}", flush=True)


def classes(sample: Sample, start: str, table: gz.EmbeddingTable, labels: int) -> None:
    """Print a line a head, the mean over seeds."""
    vectors, row = np.asarray(table.matrix), {name: n for n, name in enumerate(table.ids)}
    truth = sample.labels.select(sample.scored).codes
    tested = vectors[[row[name] for name in sample.scored]]
    for head, numbers in CLASSES:
        found = []
        for seed in SEEDS if labels < 6000 else SEEDS[:1]:
            if labels < 6000:
                train = sample.split(Cell(start, labels, seed, head)).train
            else:
                others = table.ids[~np.isin(table.ids, sample.scored)]
                train = drawn(sample.labels.select(others), min(labels, len(others)), seed)
            codes = sample.labels.select(train).codes
            # "pca" as asked for, however few the rows are; the default falls with them
            transforms.ROWS_A_COMPONENT = 1 if "pca" in numbers else ROWS_A_COMPONENT
            fitted = HEADS[head](0, **numbers).fit(vectors[[row[name] for name in train]], codes)
            said = np.zeros((len(truth), len(sample.labels.classes)))
            said[:, fitted.classes_] = fitted.predict_proba(tested)
            found.append(scores(said, truth))
        text = " ".join(f"{value:.3f}" for value in np.mean(found, 0))
        print(f"{start} {len(train)} {head} {numbers}: {text}", flush=True)


def votes(start: str, table: gz.EmbeddingTable, known: Labels, galaxies: int) -> None:
    """Print a line a head: RMSE of the 37 fractions, and of one number in its spread."""
    kept = np.isin(table.ids, known.ids)
    ids, vectors = table.ids[kept], np.asarray(table.matrix)[kept]
    values = known.select(ids).values
    own = digest_remainders(ids, 10) == 3
    train = np.random.default_rng(0).permutation(np.flatnonzero(~own))[:galaxies]
    for head, numbers in VOTES:
        fitted = HEADS[head](0, **numbers).fit(vectors[train], values[train])
        error = np.clip(fitted.predict(vectors[own]), 0, 1) - values[own]
        kind = HEADS[head].for_target("value")
        one = NumberRegression(kind(0, **kind.complete(numbers)).estimator)
        one.fit(vectors[train], values[train, :1])
        spread = values[train, 0].std()
        rest = (one.predict(vectors[own])[:, 0] - values[own, 0]) / spread
        print(
            f"{start} {len(train)} votes {head} {numbers}: {np.sqrt(np.mean(error**2)):.4f} "
            f"{np.sqrt(np.mean(rest**2)):.3f}",
            flush=True,
        )


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="folder of the tables")
    place, sample = parser.parse_args().work, Sample.read()
    short_vectors()
    for start, numbers in (("resnet50-v1", (100, 300, 1000, 6000)), ("googlenet-gz2", (100, 300))):
        table = gz.EmbeddingTable.read(place / f"{start}.parquet")
        for labels in numbers:
            classes(sample, start, table, labels)
        voted = gz.SCHEMES["votes-37"].label(gz.Catalog.read(DATA / "votes.csv"))
        if start == "googlenet-gz2":  # its table has too few galaxies with votes
            ids = sample.labels.ids[np.isin(sample.labels.ids, voted.ids)]
            table = gz.extract(sample.images.select(ids), start)
        for galaxies in (100, 300, 1800):
            votes(start, table, voted, galaxies)


if __name__ == "__main__":
    main()
