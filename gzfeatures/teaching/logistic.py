"""Fit a small logistic classifier to a person's labels, as the labelling page does.

`page/logistic.js` does the same arithmetic in the browser. The objective has one minimum, and
Newton's method goes to it until steps are below 1e-10. So the probabilities of the two programs
differ only by some 1e-12, although they add numbers in different order; the choice of questions
(`next_questions`) compares scores to 1e-6.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
STRENGTH = 0.2
"""Inverse of the ridge penalty, for vectors whose mean squared length is 1. It was chosen on real
galaxies (`experiments/teaching.py`), for ten to a hundred labels."""
FREE = 1e-6
"""Penalty of the intercept: almost none, but enough to keep Newton's matrix invertible."""
STEPS, CLOSE = 100, 1e-10


class OneAgainstRest:
    """Predict class probabilities; one logistic function separates each class from all others.

    Parameters
    ----------
    weights : ndarray of float64
        Weights of each class, shape (k, d + 1), the intercept last. With two classes, the rows are
        equal except for their signs.
    """

    def __init__(self, weights: Array) -> None:
        self.weights = weights

    @classmethod
    def fit(cls, vectors: Array, codes: npt.NDArray[np.int64], k: int) -> OneAgainstRest:
        """Fit a classifier to labelled galaxies; a class weighs as much as all others together.

        Parameters
        ----------
        vectors : ndarray of float64
            Compressed embeddings of labelled galaxies, shape (m, d).
        codes : ndarray of int
            Class number of each galaxy, 0 … k − 1; every class occurs.
        k : int
            Number of classes, at least 2.

        Examples
        --------
        >>> head = OneAgainstRest.fit(np.array([[-1.0], [1.0]]), np.array([0, 1]), 2)
        >>> head.probabilities(np.array([[0.0]])).round(6).tolist()
        [[0.5, 0.5]]
        """
        rows = np.hstack([vectors, np.ones((len(vectors), 1))])
        if k == 2:
            weights = _minimum(rows, codes == 1)
            return cls(np.stack([-weights, weights]))
        return cls(np.stack([_minimum(rows, codes == code) for code in range(k)]))

    def probabilities(self, vectors: Array) -> Array:
        """Return the probability of each class for each galaxy, shape (n, k)."""
        p = _logistic(vectors @ self.weights[:, :-1].T + self.weights[:, -1])
        return np.asarray(p / p.sum(1, keepdims=True))


def _logistic(z: Array) -> Array:
    """Return 1 / (1 + exp(−z)), computed without overflow for large |z|."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


def _minimum(rows: Array, member: npt.NDArray[np.bool_]) -> Array:
    """Return the weights of one logistic function, shape (d + 1,), by Newton's method.

    A step that does not lower the objective is halved, because Newton's steps are too long far from
    the minimum.
    """
    share = member.mean()
    weight = np.where(member, 0.5 / share, 0.5 / (1 - share))
    penalty = np.full(rows.shape[1], 1 / STRENGTH)
    penalty[-1] = FREE
    y = member.astype(np.float64)

    def objective(w: Array) -> float:
        z = rows @ w
        loss = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
        return float(weight @ loss + 0.5 * (penalty * w) @ w)

    w = np.zeros(rows.shape[1])
    value = objective(w)
    for _ in range(STEPS):
        p = _logistic(rows @ w)
        gradient = rows.T @ (weight * (p - y)) + penalty * w
        curvature = (rows * (weight * p * (1 - p))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        for _ in range(30):
            nearer = objective(w - step)
            if nearer <= value + 1e-12 * (1 + abs(value)):
                break
            step = step / 2
        w, value = w - step, nearer
        if np.abs(step).max() < CLOSE:
            break
    return w
