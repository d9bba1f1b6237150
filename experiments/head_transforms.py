"""Do transforms of vectors, on which papers rest, make heads better?

    python experiments/head_transforms.py TABLE.parquet --labels labels.csv
        [--splits 20] [--heads svm logistic xgboost] [--transforms "unit rows" …]
        [--kept scores.jsonl]

Before a head's own steps (which standardise every column, and for xgboost keep 128 components),
vectors pass through one transform, fitted on the training galaxies alone: none; rows of unit
length; the square root with its sign (power 1/2); that, then rows of unit length; Yeo & Johnson's
power transform of each column (2000, doi:10.1093/biomet/87.4.954). Principal components, plain and
whitened, are the heads' own (`pca`, `whiten`), after standardisation. Printed are the mean test
accuracy over the splits and the difference from none on the same splits, in points, with its 90 %
interval (t of the splits). Galaxies that the backbone was trained on only train.

With --kept each accuracy is written to a file once it is known, with the fingerprints of the
vectors and of the labels it belongs to; the same command again computes only what is not there.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.preprocessing import PowerTransformer

import gzfeatures as gz
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.splits.label_file import read_labels

Rows = np.ndarray
Transform = Callable[[Rows], Callable[[Rows], Rows]]


def unit(rows: Rows) -> Rows:
    """Scale rows to unit length."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def root(rows: Rows) -> Rows:
    """Take the square root of each number, with its sign."""
    return np.sign(rows) * np.sqrt(np.abs(rows))


TRANSFORMS: dict[str, tuple[Transform, dict[str, object]]] = {
    "none": (lambda train: lambda rows: rows, {}),
    "unit rows": (lambda train: unit, {}),
    "square root": (lambda train: root, {}),
    "square root, unit rows": (lambda train: lambda rows: unit(root(rows)), {}),
    "power (Yeo-Johnson)": (lambda train: PowerTransformer().fit(train).transform, {}),
    "PCA 256": (lambda train: lambda rows: rows, {"pca": 256}),
    "PCA 128, whitened": (lambda train: lambda rows: rows, {"pca": 128, "whiten": True}),
    "PCA 256, whitened": (lambda train: lambda rows: rows, {"pca": 256, "whiten": True}),
}


class Kept:
    """Accuracies of earlier calls, in lines of JSON: a call that was cut off goes on from them.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    subject : str
        Digest of the vectors and labels; lines of others are passed over.
    """

    def __init__(self, path: Path | None, subject: str) -> None:
        self.path, self.subject = path, subject
        self.known: dict[tuple[int, str, str], float] = {}
        lines = path.read_text().splitlines() if path and path.exists() else []
        for line in lines:
            entry = json.loads(line)
            if entry["subject"] == subject:
                self.known[entry["seed"], entry["head"], entry["transform"]] = entry["accuracy"]

    def get(self, seed: int, head: str, transform: str, compute: Callable[[], float]) -> float:
        """Give what is known, or compute and note it."""
        key = seed, head, transform
        if key not in self.known:
            self.known[key] = compute()
            if self.path:
                entry = {"seed": seed, "head": head, "transform": transform}
                entry |= {"accuracy": self.known[key], "subject": self.subject}
                with self.path.open("a") as file:
                    file.write(f"{json.dumps(entry)}\n")
        return self.known[key]


def score(table: EmbeddingTable, labels: gz.Labels, split: gz.Split, head: str, name: str) -> float:
    """Fit a head on transformed vectors of the training galaxies; its test accuracy in percent."""
    transform, parameters = TRANSFORMS[name]
    apply = transform(table.select(split.train).matrix)
    matrix = np.asarray(apply(table.matrix), dtype=np.float32)
    extractor = dataclasses.replace(table.extractor, dim=matrix.shape[1])
    changed = dataclasses.replace(table, matrix=matrix, extractor=extractor)
    fitted = gz.fit(changed, labels, head, split=split, **parameters)
    tested = fitted.predict(changed.select(split.test))
    return 100 * float(gz.evaluate(tested, labels, intervals=0).accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="embedding table")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--heads", nargs="+", default=["svm", "logistic", "xgboost"])
    parser.add_argument(
        "--transforms", nargs="+", choices=[*TRANSFORMS][1:], default=[*TRANSFORMS][1:]
    )
    parser.add_argument("--kept", type=Path, help="accuracies known so far; the next call goes on")
    given = parser.parse_args()
    names = ["none", *given.transforms]
    table = EmbeddingTable.read(given.table)
    labels, _ = read_labels(given.labels)
    labels = labels.select(np.array([i for i in table.ids if i in set(labels.ids)], dtype=object))
    scores: dict[tuple[str, str], list[float]] = {}
    subject = hashlib.sha256(np.ascontiguousarray(table.matrix).tobytes())
    subject.update(labels.fingerprint.encode())
    kept = Kept(given.kept, subject.hexdigest())
    for seed in range(given.splits):
        split = gz.Split.draw(labels, (0.7, 0.1, 0.2), only_train=table.seen_ids, seed=seed)
        for name in names:
            for head in given.heads:
                compute = functools.partial(score, table, labels, split, head, name)
                accuracy = kept.get(seed, head, name, compute)
                scores.setdefault((head, name), []).append(accuracy)
        # the table so far, because all splits take most of an hour
        print(f"{table.extractor.backbone}, {len(labels)} galaxies, {seed + 1} splits", flush=True)
        for head, name in scores:
            mine = np.array(scores[head, name])
            apart = mine - np.array(scores[head, "none"])
            if len(apart) > 1:
                half = stats.t.ppf(0.95, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
                line = f"| {head} | {name} | {mine.mean():.2f} | {apart.mean():+.2f} | "
                print(line + f"{apart.mean() - half:+.2f} to {apart.mean() + half:+.2f} |")


if __name__ == "__main__":
    main()
