"""Principal components are the same, whether rows or their covariance are decomposed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from gzfeatures.heads.estimators.transforms import Compress


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("rows", [12, 32, 33, 200])  # at most half as many as columns, and more
def test_few_rows_have_the_components_of_their_covariance(rows: int, whiten: bool) -> None:
    rng = np.random.default_rng(rows)
    X = (rng.normal(size=(rows, 64)) * np.geomspace(9, 1, 64) + 3).astype(np.float32)
    new = rng.normal(size=(5, 64)).astype(np.float32)
    kept = min(8, rows - 1)
    known = PCA(kept, whiten=whiten, svd_solver="covariance_eigh").fit(X.astype(np.float64))
    found = Compress(8, whiten).fit(X).transform(new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, known.transform(new), rtol=2e-3, atol=2e-3)
