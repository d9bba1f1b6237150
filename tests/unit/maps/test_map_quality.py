"""Neighbourhoods of a map are compared in embeddings that lie anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.maps.quality import neighbourhoods


@pytest.mark.parametrize("offset", [0.0, 100.0, 10_000.0])
def test_a_map_of_its_own_vectors_keeps_every_neighbour(offset: float) -> None:
    cloud = np.random.default_rng(0).normal(size=(300, 2)) + offset
    vectors = cloud.astype(np.float32)
    scores = neighbourhoods(vectors, vectors)
    assert scores["trustworthiness"] > 0.999
    assert scores["knn_preservation"] > 0.995  # float32 rounds positions at 10,000
