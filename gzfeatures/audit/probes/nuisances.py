"""Store and simulate nuisances: values such as redshift or camera column, not morphology."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.audit.probes.ridge import Fold, Matrix, explained, out_of_fold
from gzfeatures.errors import InputError
from gzfeatures.ids import Ids, positions

LIKELIEST = 1e-3
"""Smallest probability of a category in draws, so that none is impossible."""


@dataclasses.dataclass(frozen=True, eq=False)
class Nuisance:
    """Store a nuisance of some galaxies: numbers, such as redshift, or categories.

    Parameters
    ----------
    name : str
        Name on the page of the audit.
    origin : str
        Column it comes from, or how it was measured.
    ids : Ids
        Galaxies whose value is known, shape (n,).
    values : ndarray
        float64 numbers, or int64 codes of categories, shape (n,).
    categories : tuple of str
        Names of the codes; empty for a number.

    Raises
    ------
    InputError
        Shapes disagree, or a number is not finite.
    """

    name: str
    origin: str
    ids: Ids
    values: npt.NDArray[Any]
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != self.ids.shape or not np.isfinite(self.values).all():
            raise InputError(
                f"nuisance {self.name}",
                rule="be one finite number of each galaxy",
                found=self.values.shape,
            )

    @property
    def measure(self) -> str:
        """Return the score for predictions of the nuisance: `R2` for numbers, `AUROC` otherwise."""
        return "AUROC" if self.categories else "R2"

    def select(self, ids: Ids) -> Nuisance:
        """Return the nuisance for the given galaxies only, in the order of the given ids."""
        rows = positions(self.ids, ids, where=f"nuisance {self.name}")
        return dataclasses.replace(self, ids=ids, values=self.values[rows])

    @property
    def targets(self) -> Matrix:
        """Return the numbers that a regression must predict, (n, k), or one-hot categories."""
        if not self.categories:
            return np.asarray(self.values[:, None], dtype=np.float64)
        return _indicators(self.values, len(self.categories))

    def drawn(
        self, morphology: Matrix, folds: Sequence[Fold], draws: int, rng: np.random.Generator
    ) -> Matrix:
        """Simulate values of the nuisance that depend on morphology alone, shape (draws, n, k).

        A number is its cross-validated prediction plus a permuted residual; a category is drawn
        with its cross-validated probability.
        """
        if not self.categories:
            predicted = out_of_fold(morphology, self.targets, folds)
            residuals = self.targets - predicted
            orders = np.argsort(rng.random((draws, len(residuals))), axis=1)
            return np.asarray(predicted[None] + residuals[orders])
        chances = _chances(morphology, self.values, len(self.categories), folds)
        edges = chances.cumsum(1)
        codes = (rng.random((draws, len(edges), 1)) > edges[None, :, :-1]).sum(2)
        return np.stack([_indicators(each, len(self.categories)) for each in codes])

    def figures(self, columns: Matrix, predicted: Matrix) -> npt.NDArray[np.float64]:
        """Return how well each column of the nuisance is predicted: R² or AUROC, (columns,)."""
        return auroc(columns, predicted) if self.categories else explained(columns, predicted)


def _indicators(codes: npt.NDArray[np.int64], count: int) -> Matrix:
    """Return one-hot codes of categories, shape (n, count); (n, 1) for two categories."""
    kept = np.arange(1, count) if count == 2 else np.arange(count)
    return np.asarray(codes[:, None] == kept, dtype=np.float64)


def _chances(
    morphology: Matrix, codes: npt.NDArray[np.int64], count: int, folds: Sequence[Fold]
) -> Matrix:
    """Predict probabilities of a nuisance's categories from morphology, out of fold, (n, count)."""
    from sklearn.linear_model import LogisticRegression

    chances = np.full((len(codes), count), LIKELIEST)
    for rest, part in folds:
        classes, counts = np.unique(codes[rest], return_counts=True)
        if len(classes) == 1:
            chances[part[:, None], classes] = counts / len(rest)
            continue
        model = LogisticRegression(C=0.02, max_iter=3000).fit(morphology[rest], codes[rest])
        chances[part[:, None], classes] = model.predict_proba(morphology[part])
    chances = np.maximum(chances, LIKELIEST)
    return np.asarray(chances / chances.sum(1, keepdims=True))


def auroc(truth: Matrix, scores: Matrix) -> npt.NDArray[np.float64]:
    """Return each column's area under the ROC curve, (t,); NaN if its truth has one value only.

    The area is computed from ranks (Mann & Whitney); a tie counts half.

    Examples
    --------
    >>> auroc(np.array([[0.0], [1.0], [1.0]]), np.array([[0.2], [0.2], [0.9]])).tolist()
    [0.75]
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=0)
    members = truth.sum(0)
    others = len(truth) - members
    above = (ranks * truth).sum(0) - members * (members + 1) / 2
    pairs = members * others
    return np.asarray(np.divide(above, pairs, out=np.full_like(above, np.nan), where=pairs > 0))
