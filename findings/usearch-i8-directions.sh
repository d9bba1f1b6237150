#!/usr/bin/env bash
# usearch 2.26.6 with dtype="i8" and metric="l2sq" scales every vector to the same length before it stores it, so
# that "squared distance" compares directions alone: a vector five times as long is the nearest, at distance 0.
# Seen: true squared distances 216 and 0.69, found 0 and 669: the far one first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q usearch==2.26.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from usearch.index import Index

draw = np.random.default_rng(0)
query = draw.normal(size=16).astype("f4")
near = query + draw.normal(size=16).astype("f4") * 0.3
far = 5 * query
index = Index(ndim=16, metric="l2sq", dtype="i8")
index.add(np.array([0, 1]), np.stack([far, near]))
found = index.search(query, 2)
print("true:", ((far - query) ** 2).sum(), ((near - query) ** 2).sum(), "found:", found.keys, found.distances)
assert found.keys.tolist() == [0, 1] and found.distances[0] == 0, "behaviour changed"
PY
