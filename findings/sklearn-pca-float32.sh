#!/usr/bin/env bash
# scikit-learn 1.9.1 PCA, by default (svd_solver="auto"), takes the solver covariance_eigh for a table of many rows and
# few columns, and subtracts the mean from the covariance in the precision of the input. Columns in float32 whose mean
# is large against their scatter (magnitudes, embeddings behind a ReLU) get axes and variances that are noise; nothing
# is said, and the same rows in float64 are right.
# Seen: mean 1000, scatter 1: the first variance is 9.05 instead of 1.00, and the first axis is turned by 84 degrees.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from sklearn.decomposition import PCA

rows = 1000 + np.random.default_rng(0).normal(size=(20_000, 8)) * np.linspace(1, 0.2, 8)
rows = rows.astype("f4")  # every value keeps its scatter to 1 part in 10,000
default, full = PCA(4).fit(rows), PCA(4, svd_solver="full").fit(rows)
double = PCA(4).fit(rows.astype("f8"))
turned = np.degrees(np.arccos(min(1, abs(default.components_[0] @ double.components_[0]))))
print(f"solver {default._fit_svd_solver}, first variance {default.explained_variance_[0]:.2f}, turned by {turned:.0f} degrees")
print(f"svd_solver full {full.explained_variance_[0]:.2f}, float64 {double.explained_variance_[0]:.2f}")
assert abs(double.explained_variance_[0] - 1) < 0.05 and abs(full.explained_variance_[0] - 1) < 0.05
assert default.explained_variance_[0] > 2 and turned > 20, "behaviour changed"
PY
