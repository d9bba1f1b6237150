#!/usr/bin/env bash
# pynndescent 0.7.0 gives other neighbours for another number of jobs, with the same data and the same random_state:
# a seed alone does not repeat a graph on a machine with another number of cores.
# Seen: 3,000 x 32 random rows, 29 % of the neighbour entries differ between 1 and 2 jobs; two runs with 2 agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pynndescent==0.7.0 numpy==2.4.6 numba==0.68.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from pynndescent import NNDescent

rows = np.random.default_rng(0).normal(size=(3000, 32)).astype("f4")
one, two, again = (NNDescent(rows, n_neighbors=15, random_state=7, n_jobs=jobs).neighbor_graph[0] for jobs in (1, 2, 2))
print(f"1 job and 2: {(one == two).mean():.0%} equal; 2 and 2: {(two == again).mean():.0%}")
assert (one != two).any() and (two == again).all(), "behaviour changed"
PY
