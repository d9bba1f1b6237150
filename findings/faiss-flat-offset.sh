#!/usr/bin/env bash
# faiss-cpu 1.15.1 IndexFlatL2, the exact index, finds wrong neighbours where the vectors lie far from zero against their
# scatter (columns with a large mean, features behind a ReLU): it computes |x|² + |y|² - 2 x·y in float32. Whether it
# does so depends on the size of the table: the same vectors with fewer columns are compared by differences and right.
# Nothing is said. scikit-learn's exact search is right on both.
# Seen: mean 1000, scatter 1, 300 vectors: 5 nearest of 256 columns 100 % right, of 512 columns about 10 %.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q faiss-cpu==1.15.1 numpy==2.4.6 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PY'
import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors


def right(columns: int) -> tuple[float, float]:
    rows = (1000 + np.random.default_rng(0).normal(size=(300, columns))).astype("f4")
    centred = rows.astype("f8") - rows.mean(0, dtype="f8")
    distances = ((centred[:, None] - centred[None]) ** 2).sum(-1)
    truth = np.argsort(distances, axis=1)[:, 1:6]
    index = faiss.IndexFlatL2(columns)
    index.add(rows)
    others = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(rows).kneighbors(rows)[1][:, 1:]
    share = lambda found: np.mean([len(set(a) & set(b)) for a, b in zip(truth, found)]) / 5
    return share(index.search(rows, 6)[1][:, 1:]), share(others)


short, long = right(256), right(512)
print(f"right of 5 neighbours, faiss and scikit-learn: 256 columns {short[0]:.0%}, {short[1]:.0%}; 512 columns {long[0]:.0%}, {long[1]:.0%}")
assert short[0] > 0.99 and min(short[1], long[1]) > 0.99 and long[0] < 0.6, "behaviour changed"
PY
