"""Define how embeddings are compared: metric, and projection to principal components."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.features.matrices import BLOCK

Array: TypeAlias = npt.NDArray[np.float64]
METRICS = ("euclidean", "cosine")
ENOUGH = 10_000
"""Fewest rows from which principal axes are computed; larger tables are thinned evenly."""


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Project embeddings to the vectors whose Euclidean distances are compared.

    Distances in the space are euclidean. Under `cosine` each embedding is first scaled to unit
    length, so that the distance is the chord between directions, sqrt(2 − 2 cos): its order is that
    of the cosine distance.

    Parameters
    ----------
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    mean : ndarray of float32
        Shape (dim,), subtracted first.
    axes : ndarray of float32, optional
        Principal axes, shape (components, dim), by falling variance; None keeps every dimension.
    kept : float
        Share of the variance along `axes`, in (0, 1].
    """

    metric: str
    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32] | None
    kept: float = 1.0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown("metric", self.metric, METRICS)
        if self.axes is not None and self.axes.shape[1:] != self.mean.shape:
            raise InputError(
                "principal axes", rule=f"have length {len(self.mean)}", found=self.axes.shape
            )

    @classmethod
    def fit(
        cls,
        matrix: npt.NDArray[np.float32],
        *,
        metric: str = "euclidean",
        components: int | None = 50,
    ) -> FeatureSpace:
        """Compute the principal components of embeddings, and return the projection to them.

        Parameters
        ----------
        matrix : ndarray of float32
            Shape (n, dim), finite.
        metric : {"euclidean", "cosine"}
            How rows are compared.
        components : int, optional
            Number of principal components to keep; None, or a number not below the number of
            dimensions or rows, keeps all dimensions. For a large matrix, the axes are computed from
            10,000 to 20,000 evenly spaced rows.

        Raises
        ------
        InputError
            The rows are all equal, or a row has no direction (`cosine`).
        UnknownNameError
            The metric is not in `METRICS`.
        """
        if metric not in METRICS:
            raise unknown("metric", metric, METRICS)
        if components is not None and components < 1:
            raise InputError("principal components", rule="be at least 1", found=components)
        rows = unit_rows(matrix, metric)
        mean = rows.mean(0, dtype=np.float64).astype(np.float32)
        if not len(rows) or np.ptp(rows, axis=0).max() == 0:
            raise InputError(
                "embeddings are all equal",
                rule="differ between galaxies",
                remedy="check the extraction",
            )
        if components is None or components >= min(rows.shape):
            return cls(metric, mean, None)
        share, axes = _principal(
            rows[:: max(1, len(rows) // max(ENOUGH, components))], mean, components
        )
        # the sign of an eigenvector is arbitrary: make its largest component positive, so that all
        # machines give the same axes
        axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
        return cls(metric, mean, np.ascontiguousarray(axes, dtype=np.float32), share)

    def vectors(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Project embeddings, shape (n, dim), to the principal components.

        The result has shape (n, components), or (n, dim) without axes.

        Raises
        ------
        InputError
            Rows of another length, or a row without direction (`cosine`).
        """
        if matrix.shape[1:] != self.mean.shape:
            raise InputError(
                "embedding", rule=f"have {len(self.mean)} dimensions", found=matrix.shape[1]
            )
        mapped = np.empty(
            (len(matrix), len(self.mean) if self.axes is None else len(self.axes)), dtype=np.float32
        )
        rows = unit_rows(matrix, self.metric)
        for start in range(0, len(rows), BLOCK):
            centred = rows[start : start + BLOCK] - self.mean
            mapped[start : start + BLOCK] = centred if self.axes is None else centred @ self.axes.T
        return mapped

    def asdict(self) -> dict[str, Any]:
        """Return metric, number of components and their share of the variance as JSON values."""
        return {
            "metric": self.metric,
            "components": None if self.axes is None else len(self.axes),
            "kept": self.kept,
        }


def _principal(
    rows: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], count: int
) -> tuple[float, Array]:
    """Compute principal axes, shape (count, dim), and their share of the whole variance.

    Axes are sorted by falling variance.
    """
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits

    n, dim = rows.shape
    scatter = np.zeros((min(n, dim), min(n, dim)))
    whole = (rows - mean).astype(np.float64) if n < dim else None
    if whole is not None:
        # with fewer galaxies than dimensions, use X Xᵀ (n × n) instead of XᵀX (dim × dim): it is
        # smaller and has the same eigenvalues above 0
        scatter += whole @ whole.T
    else:
        for start in range(0, n, BLOCK):
            centred = rows[start : start + BLOCK] - mean
            scatter += centred.T @ centred
    # use one thread: at this matrix size, several threads would wait for each other longer than
    # they compute
    with threadpool_limits(1, "blas"):
        values, vectors = eigh(scatter, subset_by_index=[len(scatter) - count, len(scatter) - 1])
    axes = vectors[:, ::-1].T
    if whole is not None:
        axes = axes @ whole
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return float(np.clip(values.sum() / np.trace(scatter), 0, 1)), axes


def unit_rows(
    matrix: npt.NDArray[np.float32], metric: str, *, first_row: int = 0
) -> npt.NDArray[np.float32]:
    """Return rows unchanged for `euclidean`, or scaled to length 1 for `cosine`.

    With `cosine` a row of zeros raises InputError, which names the row, counted from `first_row`;
    so does any other metric.
    """
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    rows = np.asarray(matrix, dtype=np.float32)
    if metric == "euclidean":
        return rows
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if not length.all():
        raise InputError(
            "embedding has no direction",
            where=f"row {first_row + int(np.argmin(length))}",
            rule="not be all zeros under the cosine metric",
            remedy="use the euclidean metric",
        )
    return np.asarray(rows / length, dtype=np.float32)
