"""Fit a kernel classifier to very large tables, with memory that does not grow with the rows.

An exact support vector machine compares all rows with each other: its time grows with their square.
Here scores are sums over at most `MORE` rows of the table, the landmarks (Nyström approximation:
Williams & Seeger 2001, NIPS 13, 682). Their weights are those of least squares with the same
penalty (Suykens & Vandewalle 1999, doi:10.1023/A:1018628609742), solved exactly. Rudi, Camoriano &
Rosasco 2015, arXiv:1507.04717, show that so few landmarks cost no accuracy where the penalty
decides; many more would need a preconditioned solver (FALKON, arXiv:1705.10958).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.blas import ssyrk

from gzfeatures.features.matrices import Matrix

LANDMARKS, MORE, MANY = 1024, 2048, 50_000
"""Number of landmarks: the first, or the second for a table of more than `MANY` rows."""
ROWS = 2048
"""Number of rows whose kernel is in memory at once: 16 MB."""
JITTER = 1e-4
"""Added to the kernel's diagonal, which is 1: with two equal landmarks it has no inverse."""

Array = npt.NDArray[np.float64]


def landmarks(codes: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.intp]:
    """Choose rows (landmarks) evenly from each class, in proportion to the class's size.

    No random numbers are used: the same rows give the same landmarks.

    Examples
    --------
    >>> landmarks(np.array([0, 1, 0, 1, 0, 0]), 3).tolist()
    [0, 4, 1]
    """
    by_class = np.argsort(codes, kind="stable")
    count = min(most, len(codes))
    return by_class[np.arange(count) * len(codes) // count]


def kernel(rows: Matrix, vectors: Matrix, gamma: float) -> Matrix:
    """Return the Gaussian kernel exp(−γ‖x − vector‖²) of rows and vectors, float32, (n, m)."""
    # ‖x − v‖² = ‖x‖² + ‖v‖² − 2 x·v needs one matrix product and no array of all differences
    values: Matrix = rows @ vectors.T
    values *= 2
    values -= (vectors**2).sum(1)
    values -= (rows**2).sum(1, keepdims=True)
    np.minimum(values, 0, out=values)
    values *= gamma
    return np.exp(values, out=values)


def least_squares(
    X: Matrix, codes: npt.NDArray[np.int64], classes: int, C: float, gamma: float
) -> tuple[Matrix, Matrix, Matrix]:
    """Fit one kernel score per class by least squares: to +1 in the class, to −1 for all others.

    The scores f = K(x, landmarks) weights + intercept minimise C Σ (y − f)² + ½ ‖f‖², the norm
    being that of the kernel's space, without the intercept.

    Parameters
    ----------
    X : ndarray of float32
        Shape (n, d).
    codes : ndarray of int
        Classes 0 … k − 1, shape (n,).
    classes : int
        k.
    C : float
        Penalty of a galaxy's error.
    gamma : float
        γ of the kernel exp(−γ‖x − x'‖²).

    Returns
    -------
    vectors, weights, intercept : ndarray of float32
        Shapes (m, d), (m, k) and (k,).
    """
    vectors = np.ascontiguousarray(X[landmarks(codes, MORE if len(codes) > MANY else LANDMARKS)])
    m, n = len(vectors), len(codes)
    among = kernel(vectors, vectors, gamma).astype(np.float64)
    among[np.diag_indices(m)] += JITTER
    # turn the kernel k of rows with landmarks into features φ = k T⁻¹, where K = TᵀT is the kernel
    # among landmarks: then ‖w‖² is the squared norm of the score φw in the kernel's space
    to_features = solve_triangular(cholesky(among), np.eye(m)).astype(np.float32)
    products, class_products = np.zeros((m, m)), np.zeros((m, classes))
    for start in range(0, n, ROWS):
        features = kernel(X[start : start + ROWS], vectors, gamma) @ to_features
        # compute one triangle of the symmetric matrix; sum in double precision,
        # because single loses digits
        products += ssyrk(1.0, features.T)
        own = np.eye(classes, dtype=np.float32)[codes[start : start + ROWS]]
        class_products += features.T @ own
    products = np.triu(products) + np.triu(products, 1).T
    counts = np.bincount(codes, minlength=classes)
    weights, intercept = _solved(products, class_products, counts, C)
    return vectors, (to_features @ weights).astype(np.float32), intercept.astype(np.float32)


def _solved(
    products: Array, class_products: Array, counts: npt.NDArray[np.int64], C: float
) -> tuple[Array, Array]:
    """Solve the normal equations of least squares for weights and intercepts."""
    n, total = counts.sum(), class_products.sum(1)
    mean = total / n
    truth = 2 * counts / n - 1  # mean of the targets, +1 in the class and −1 outside
    right = 2 * class_products - total[:, None] - n * np.outer(mean, truth)
    left = 2 * C * (products - n * np.outer(mean, mean))
    left[np.diag_indices(len(left))] += 1
    weights = cho_solve(cho_factor(left, overwrite_a=True), 2 * C * right)
    return weights, truth - mean @ weights
