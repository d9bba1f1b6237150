"""Compress each embedding to a few numbers, from which a web page fits a classifier."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.ids import Ids

COMPONENTS = 64
"""Numbers per galaxy; with 32, 64 and 128 of them heads are equally good."""
POWER = 0.5
"""Power of its standard deviation that divides a component: 0 leaves all, 1 makes all equal.

With 1, components of noise count like the others, and a head of a hundred labels is at a loss.
"""


def page_vectors(
    matrix: npt.NDArray[np.float32], components: int = COMPONENTS
) -> npt.NDArray[np.float16]:
    """Return the leading principal components of embeddings, scaled, as float16.

    Parameters
    ----------
    matrix : ndarray of float32
        Embeddings, shape (n, dim), finite.
    components : int
        Most numbers per galaxy; a narrower table keeps all of its own.

    Returns
    -------
    ndarray of float16
        Shape (n, at most `components`); the mean squared length of a row is 1, or 0 where all rows
        are equal.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    >>> page_vectors(rows, components=3).shape
    (50, 3)
    """
    if not len(matrix) or np.ptp(matrix, axis=0).max() == 0:
        return np.zeros((len(matrix), min(components, matrix.shape[1])), dtype=np.float16)
    space = FeatureSpace.fit(matrix, components=components)
    scores = space.vectors(matrix).astype(np.float64)
    spread = scores.std(0)
    # a component without variance holds no information, and division by its spread of 0 would give
    # infinities
    scores = scores / np.where(spread > 0, spread, 1) ** POWER
    length = np.sqrt((scores**2).sum(1).mean())
    return np.asarray(scores / (length or 1.0), dtype=np.float16)


def table_digest(ids: Ids, vectors: npt.NDArray[np.float16]) -> str:
    """Return a digest (sha256, 32 letters) of a table, by which a browser finds its saved labels.

    Examples
    --------
    >>> len(table_digest(np.array(["a"], dtype=object), np.zeros((1, 2), dtype=np.float16)))
    32
    """
    digest = hashlib.sha256("\n".join(ids.tolist()).encode())
    digest.update(np.ascontiguousarray(vectors).astype("<f2").tobytes())
    return digest.hexdigest()[:32]
