#!/usr/bin/env bash
# usearch 2.26.6 takes signed int64 keys and gives them back as uint64: a negative id, such as those of Euclid's
# catalogs, comes back as another number, without an error.
# Seen: key -842000000000000000 found as 17604744073709551616.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q usearch==2.26.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from usearch.index import Index

vectors = np.random.default_rng(0).normal(size=(100, 16)).astype("f4")
keys = -842_000_000_000_000_000 - np.arange(100)
index = Index(ndim=16, metric="l2sq", dtype="f32")
index.add(keys, vectors)
found = index.search(vectors[:1], 1).keys.ravel()
print(keys.dtype, keys[0], "->", found.dtype, found[0])
assert found.dtype == np.uint64 and int(found[0]) == 17604744073709551616, "behaviour changed"
PY
