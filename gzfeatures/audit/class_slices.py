"""Measure how well classes are predicted among galaxies of similar redshift, seeing or the like."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.audit.probes.nuisances import Nuisance
from gzfeatures.audit.probes.ridge import Fold, Matrix, out_of_fold
from gzfeatures.evaluation.statistics.intervals import FEWEST, mover
from gzfeatures.evaluation.statistics.proportions import score_interval

LEVEL = 0.9
"""Coverage of the intervals."""
SLICES = 3
"""Slices of a number: terciles."""


@dataclasses.dataclass(frozen=True)
class SliceScore:
    """Store the mean recall of all classes in one slice of a nuisance, such as low redshift.

    Parameters
    ----------
    nuisance, slice : str
        Name of the nuisance, and its range or category in this slice.
    galaxies : int
        Number of galaxies in the slice.
    classes : int
        Number of classes with ten galaxies or more in the slice; only these are scored.
    within : float, optional
        Mean recall of these classes in the slice; None for fewer than two such classes.
    interval : (float, float), optional
        90 % confidence interval of `within`.
    everywhere : float, optional
        Mean recall of the same classes among all galaxies.
    """

    nuisance: str
    slice: str
    galaxies: int
    classes: int
    within: float | None = None
    interval: tuple[float, float] | None = None
    everywhere: float | None = None

    @property
    def left(self) -> float | None:
        """Return (score − chance) in the slice divided by that of all galaxies; None if unknown."""
        if self.within is None or self.everywhere is None:
            return None
        chance = 1 / self.classes
        whole = self.everywhere - chance
        return (self.within - chance) / whole if whole > 0 else None

    def asdict(self) -> dict[str, Any]:
        """Return the fields as JSON, with `left`: score in the slice relative to all galaxies."""
        return dataclasses.asdict(self) | {"left": self.left}


def confusion_of(
    truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.float64]:
    """Return the counts of true against predicted classes, shape (classes, classes)."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (truth, predicted), 1)
    return counts


def predicted_codes(
    vectors: Matrix, codes: npt.NDArray[np.int64], folds: Sequence[Fold]
) -> npt.NDArray[np.int64]:
    """Predict each galaxy's class by a linear model fitted to the other cross-validation folds.

    Large and small classes count alike, as in the mean recall, by which predictions are scored.
    """
    count = int(codes.max()) + 1
    shares = np.bincount(codes, minlength=count) / len(codes)
    wanted = np.asarray(codes[:, None] == np.arange(count), dtype=np.float64)
    raised = out_of_fold(vectors, wanted, folds) - shares
    # divide by each class's standard deviation: otherwise a rare class would never have the largest
    # predicted value
    spread = np.sqrt(np.maximum(shares * (1 - shares), 1e-12))
    return np.asarray((raised / spread).argmax(1))


def balanced_accuracy(
    truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int
) -> tuple[float, tuple[float, float], npt.NDArray[np.bool_]] | None:
    """Return mean recall over classes with ten or more galaxies, its interval, and a class mask.

    With fewer than two such classes, the result is None. The interval (90 %) is computed as in
    `intervals.of_confusion`.
    """
    confusion = confusion_of(truth, predicted, classes)
    galaxies = confusion.sum(1)
    counted = galaxies >= FEWEST
    if counted.sum() < 2:
        return None
    galaxies = galaxies[counted]
    recall = np.diag(confusion)[counted] / galaxies
    low, high = mover(recall, *score_interval(recall, galaxies, LEVEL))
    return float(recall.mean()), (float(low), float(high)), counted


def slice_scores(
    nuisance: Nuisance,
    truth: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    classes: int,
) -> list[SliceScore]:
    """Score class predictions in each tercile, or each category, of a nuisance such as redshift.

    Parameters
    ----------
    nuisance : Nuisance
        Nuisance of n galaxies.
    truth, predicted : ndarray of int64
        True and cross-validated classes of these galaxies, shape (n,).
    classes : int
        Number of classes.
    """
    scores = []
    for name, rows in _slices(nuisance):
        score = balanced_accuracy(truth[rows], predicted[rows], classes)
        if score is None:
            counts = np.bincount(truth[rows], minlength=classes)
            few = int((counts >= FEWEST).sum())
            scores.append(SliceScore(nuisance.name, name, int(rows.sum()), few))
            continue
        within, interval, counted = score
        confusion = confusion_of(truth, predicted, classes)
        recall = np.diag(confusion)[counted] / confusion.sum(1)[counted]
        row = SliceScore(
            nuisance.name,
            name,
            int(rows.sum()),
            int(counted.sum()),
            within,
            interval,
            float(recall.mean()),
        )
        scores.append(row)
    return scores


def _slices(nuisance: Nuisance) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Divide galaxies into terciles, or categories, of a nuisance; return names and row masks."""
    if nuisance.categories:
        return [(name, nuisance.values == code) for code, name in enumerate(nuisance.categories)]
    values = nuisance.values
    edges = np.unique(np.quantile(values, np.linspace(0, 1, SLICES + 1)))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return [
        (f"{edges[n]:.3g} to {edges[n + 1]:.3g}", place == n)
        for n in range(len(edges) - 1)
        if (place == n).any()
    ]
