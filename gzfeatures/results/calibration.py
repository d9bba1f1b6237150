"""Are the probabilities right, and what can be promised with them: reliability, abstention, conformal sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels import Labels
from gzfeatures.results.bootstrap import Array, wilson
from gzfeatures.results.metrics import evaluate, scorable
from gzfeatures.results.predictions import Predictions
from gzfeatures.results.sums import bin_of


def reliability(predictions: Predictions, labels: Labels) -> list[dict[str, Any]]:
    """Reliability diagram of the most probable class, in the bins of the expected calibration error.

    Parameters
    ----------
    predictions : Predictions
        Class probabilities.
    labels : Labels
        Truth.

    Returns
    -------
    list of dict
        Filled bins in rising order: `stated` (mean probability), `reached` (share that is right) with its 90 %
        `interval`, `n`. The ECE is Σ n |stated − reached| / Σ n.

    Raises
    ------
    LeakError, InputError
        As `evaluate`; or the labels are not one class per galaxy.
    """
    confidence, right = _confidence(predictions, labels)
    bins = bin_of(confidence)
    count = np.bincount(bins)
    filled = np.flatnonzero(count)
    stated, reached = (np.bincount(bins, of)[filled] / count[filled] for of in (confidence, right))
    return [
        {"stated": float(s), "reached": float(r), "interval": wilson(float(r), int(n)), "n": int(n)}
        for s, r, n in zip(stated, reached, count[filled], strict=True)
    ]


def measured(predictions: Predictions, labels: Labels) -> dict[str, Any]:
    """How far probabilities are from the truth: `ece`, `brier`, `log_loss`, and the `bins` of `reliability`."""
    metrics = evaluate(predictions, labels, intervals=0).metrics
    return {name: metrics[name] for name in ("ece", "brier", "log_loss")} | {"bins": reliability(predictions, labels)}


def coverage_accuracy(predictions: Predictions, labels: Labels) -> dict[str, Array]:
    """Accuracy on the galaxies that are kept when the least certain ones are left to people.

    Galaxies of equal confidence are kept or left together.

    Returns
    -------
    dict of ndarray
        `threshold` (falling), `coverage` (share with at least that confidence, rising to 1) and `accuracy` on them,
        each of shape (number of distinct confidences,).

    Raises
    ------
    LeakError, InputError
        As `reliability`.
    """
    confidence, right = _confidence(predictions, labels)
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    kept = last + 1.0
    return {"threshold": falling[last], "coverage": kept / len(order), "accuracy": np.cumsum(right[order])[last] / kept}


@dataclasses.dataclass(frozen=True, eq=False)
class Conformal:
    """Sets of classes that hold the true one with a stated probability (split conformal prediction).

    A class is in the set when its probability reaches its threshold. Galaxies must be exchangeable with those the
    thresholds come from: a random draw of the same catalog, neither trained on nor scored, such as the validation part.

    Parameters
    ----------
    classes : tuple of str
        k names.
    thresholds : ndarray of float64
        Least probability of a class that is in the set, shape (k,).
    coverage : float
        Promised probability that a set holds the true class, in (0, 1).

    References
    ----------
    Vovk+2005, Algorithmic Learning in a Random World; Sadinle+2019, doi:10.1080/01621459.2017.1395341, section 3.
    """

    classes: tuple[str, ...]
    thresholds: Array
    coverage: float

    @classmethod
    def of(
        cls, predictions: Predictions, labels: Labels, coverage: float = 0.9, *, per_class: bool = False
    ) -> Conformal:
        """Thresholds from galaxies kept out of training.

        Parameters
        ----------
        predictions : Predictions
            Of those galaxies.
        labels : Labels
            Their classes.
        coverage : float
            Promise, in (0, 1).
        per_class : bool
            Keep the promise within each class, rare ones too; sets are larger. A class with too few galaxies for the
            promise is in every set.

        Raises
        ------
        LeakError, InputError
            As `evaluate`; the labels are not one class per galaxy; or coverage is outside (0, 1).
        """
        if not 0 < coverage < 1:
            raise InputError("coverage", rule="lie between 0 and 1", found=coverage)
        codes = scorable(predictions, labels).codes
        true = predictions.probabilities[np.arange(len(codes)), codes]
        k = len(predictions.classes)
        parts = [true[codes == c] for c in range(k)] if per_class else [true] * k
        return cls(predictions.classes, np.array([_lowest(part, coverage) for part in parts]), coverage)

    def sets(self, predictions: Predictions) -> npt.NDArray[np.bool_]:
        """Which classes are in each galaxy's set, shape (n, k).

        Raises
        ------
        InputError
            The predictions are of other classes.
        """
        if predictions.classes != self.classes:
            raise InputError("predictions are of other classes", rule=f"be of {', '.join(self.classes)}")
        return predictions.probabilities >= self.thresholds

    def kept(self, predictions: Predictions, labels: Labels) -> dict[str, Any]:
        """How the promise was kept on other galaxies.

        Returns
        -------
        dict
            `promised`; `reached` (share of galaxies whose set holds the true class) and `reached_per_class` (None for
            an absent class); `size` (mean number of classes in a set); `single` and `empty` (shares of sets with one
            class and with none); `n`.

        Raises
        ------
        LeakError, InputError
            As `evaluate`; or the predictions are of other classes.
        """
        codes = scorable(predictions, labels).codes
        sets = self.sets(predictions)
        held = sets[np.arange(len(codes)), codes]
        size = sets.sum(1)
        of_class = {name: held[codes == code] for code, name in enumerate(self.classes)}
        return {
            "promised": self.coverage,
            "reached": float(held.mean()),
            "reached_per_class": {name: float(h.mean()) if len(h) else None for name, h in of_class.items()},
            "size": float(size.mean()),
            "single": float((size == 1).mean()),
            "empty": float((size == 0).mean()),
            "n": len(codes),
        }

    def asdict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return {"classes": list(self.classes), "thresholds": self.thresholds.tolist(), "coverage": self.coverage}

    @classmethod
    def fromdict(cls, fields: Mapping[str, Any]) -> Conformal:
        """What `asdict` gave."""
        return cls(tuple(fields["classes"]), np.asarray(fields["thresholds"], dtype=np.float64), fields["coverage"])


def promise(kept_out: Predictions, labels: Labels, coverage: float = 0.9) -> Conformal | None:
    """Sets by galaxies kept out of training; None where no such galaxy is, or labels are not one class per galaxy."""
    fresh = kept_out.ids if kept_out.seen is None else kept_out.ids[~kept_out.seen]
    if labels.target != "classes" or not len(fresh):
        return None
    return Conformal.of(kept_out.select(fresh), labels, coverage)


def _lowest(true: Array, coverage: float) -> float:
    """Highest threshold that keeps the promise: the ⌊(n + 1)(1 − coverage)⌋-th smallest; 0 where n is too small."""
    allowed = int(np.floor((len(true) + 1) * (1 - coverage) + 1e-9))
    return float(np.sort(true)[allowed - 1]) if allowed else 0.0


def _confidence(predictions: Predictions, labels: Labels) -> tuple[Array, npt.NDArray[np.bool_]]:
    right = scorable(predictions, labels).codes == predictions.codes
    return predictions.probabilities.max(1), right
