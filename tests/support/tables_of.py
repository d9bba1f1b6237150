"""Embedding tables drawn at random, for tests that need vectors and no network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.ids import as_ids
from gzfeatures.images.view import View


def table_of(
    matrix: np.ndarray, digests: Sequence[str] | None = None, ids: Sequence[str] | None = None
) -> EmbeddingTable:
    """A table of these vectors; each galaxy has an image of its own unless digests say
    otherwise."""
    names = as_ids([f"g{row:04d}" for row in range(len(matrix))] if ids is None else ids)
    files = [f"{row:064x}" for row in range(len(matrix))] if digests is None else digests
    extractor = Extractor("toy", "toy", "random:0", "flatten", matrix.shape[1], View(size=32))
    return EmbeddingTable(
        names, np.array(files, dtype=object), matrix.astype(np.float32), extractor
    )
