"""Compute intervals that contain the true value of a predicted number with a chosen probability."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.evaluation.prediction_checks import scorable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.proportions import Array, clopper_pearson
from gzfeatures.galaxies.labels.labels import Labels

LEAST = 20
"""Number of calibration galaxies, one per group, below which no interval is promised."""
REPORT_LEVEL = 0.95
"""Level of the exact interval around the measured coverage."""
_SMALLEST_SCALE = 1e-3
"""Smallest 1 + z of a prediction, so that an impossible redshift also has an interval."""


@dataclasses.dataclass(frozen=True, eq=False)
class ValueIntervals:
    """Hold errors of calibration galaxies, which give intervals around predicted numbers.

    The interval of each galaxy is the predicted number plus or minus a high quantile of the
    calibration galaxies' absolute errors; for a redshift, these are in units of 1 + predicted
    redshift. The promise is kept if new galaxies and calibration galaxies are random draws of the
    same catalog. Calibration galaxies must be neither trained on nor scored; validation galaxies
    meet this condition.

    Parameters
    ----------
    errors : ndarray of float64
        Absolute errors of the calibration galaxies in rising order, one galaxy of each group of
        related galaxies, shape (m,), m ≥ 20.
    coverage : float
        Promised probability that an interval contains the true number, in (0, 1).
    kind : {"value", "redshift"}
        For "redshift", errors are in units of 1 + predicted redshift.

    References
    ----------
    Lei+2018, doi:10.1080/01621459.2017.1307116, algorithm 2; Dunn+2023,
    doi:10.1080/01621459.2022.2060112, section 3.3 (use one galaxy of each group, because galaxies
    of a group are not independent).
    """

    errors: Array
    coverage: float
    kind: str

    def __post_init__(self) -> None:
        valid = self.errors.ndim == 1 and len(self.errors) >= LEAST
        if not valid or not np.isfinite(self.errors).all() or (np.diff(self.errors) < 0).any():
            raise InputError(
                "errors of calibration galaxies", rule=f"be {LEAST} or more finite, rising numbers"
            )
        if not 0 < self.coverage < 1:
            raise InputError("coverage", rule="lie between 0 and 1", found=self.coverage)
        if self._rank > len(self.errors):
            least = int(np.ceil(self.coverage / (1 - self.coverage) - 1e-9))
            raise InputError(
                f"intervals of coverage {self.coverage:g}",
                rule=f"have {least} calibration galaxies of different groups",
                found=len(self.errors),
                remedy="ask for less coverage, or for a larger validation part",
            )

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        labels: Labels,
        coverage: float = 0.9,
        groups: Mapping[str, str] | None = None,
    ) -> ValueIntervals | None:
        """Return intervals from the errors of galaxies not trained on; None for fewer than 20.

        Parameters
        ----------
        predictions : Predictions
            Predicted numbers; galaxies that were trained on (mask `seen`) are left out.
        labels : Labels
            True numbers of the same galaxies.
        coverage : float
            Promised probability that an interval contains the true number, in (0, 1).
        groups : mapping of str to str, optional
            Group of each id. One galaxy of each group is used, the one with the smallest sha256 of
            its id.

        Raises
        ------
        InputError
            Classes or vote fractions are predicted, the labels are of another number, or the
            coverage needs more galaxies.
        """
        fresh = predictions.ids
        if predictions.seen is not None:
            fresh = fresh[~predictions.seen]
        # galaxies of a group are related and have similar errors: use one galaxy of each group, the
        # one with the smallest sha256 of its id, so that the order of galaxies does not matter
        first: dict[tuple[str, str], tuple[bytes, str]] = {}
        for name in fresh:
            grouped = groups is not None and name in groups
            key = ("group", groups[name]) if grouped and groups is not None else ("id", name)
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest(), name
            first[key] = min(first.get(key, digest), digest)
        if len(first) < LEAST:
            return None
        chosen = predictions.select(np.array([name for _, name in first.values()], dtype=object))
        errors = np.abs(scorable(chosen, labels).values[:, 0] - chosen.values)
        return cls(np.sort(errors / _scale(chosen)), coverage, chosen.kind)

    @property
    def _rank(self) -> int:
        """Return the rank, from 1, of the error that sets the half-width of intervals.

        Of the absolute errors of m calibration galaxies in rising order, it is ⌈(m + 1) coverage⌉.
        """
        return int(np.ceil((len(self.errors) + 1) * self.coverage - 1e-9))

    def at(self, coverage: float) -> ValueIntervals:
        """Return intervals of another coverage (share that contain the true number).

        Raises
        ------
        InputError
            Coverage is outside (0, 1), or needs more calibration galaxies.
        """
        return dataclasses.replace(self, coverage=coverage)

    def bounds(self, predictions: Predictions) -> Array:
        """Return the lower and upper end of each galaxy's interval, shape (n, 2).

        Raises
        ------
        InputError
            Classes are predicted, or plain numbers instead of redshifts, or the reverse.
        """
        if predictions.kind != self.kind:
            raise InputError(
                "predictions are of another kind", rule=f"be of {self.kind}", found=predictions.kind
            )
        reach = self.errors[self._rank - 1] * _scale(predictions)
        return np.column_stack([predictions.values - reach, predictions.values + reach])

    def coverage_report(self, predictions: Predictions, labels: Labels) -> dict[str, Any]:
        """Measure how often intervals contain the true number, on galaxies not used to calibrate.

        Returns
        -------
        dict
            `promised` coverage; `n` (number of galaxies); `reached` (share of intervals that
            contain the true number) with its exact `interval` (Clopper & Pearson) at `level`;
            `width` (median width of the intervals); `calibrated_on` (number of calibration
            galaxies).

        Raises
        ------
        LeakError, InputError
            As `evaluate`; or predictions of another kind than the intervals.
        """
        bounds = self.bounds(predictions)
        true = scorable(predictions, labels).values[:, 0]
        hits, n = int(((bounds[:, 0] <= true) & (true <= bounds[:, 1])).sum()), len(true)
        low, high = clopper_pearson(np.float64(hits), np.float64(n), REPORT_LEVEL)
        return {
            "promised": self.coverage,
            "level": REPORT_LEVEL,
            "n": n,
            "reached": hits / n,
            "interval": [float(low), float(high)],
            "width": float(np.median(bounds[:, 1] - bounds[:, 0])),
            "calibrated_on": len(self.errors),
        }

    def asdict(self) -> dict[str, Any]:
        """Return errors of calibration galaxies, coverage and kind of number as JSON values."""
        return {"errors": self.errors.tolist(), "coverage": self.coverage, "kind": self.kind}

    @classmethod
    def fromdict(cls, fields: Mapping[str, Any]) -> ValueIntervals:
        """Return the errors that give intervals, from a dict that `asdict` wrote."""
        errors = np.asarray(fields["errors"], dtype=np.float64)
        return cls(errors, float(fields["coverage"]), str(fields["kind"]))


def too_few(count: int) -> str:
    """Return the sentence that says why predicted numbers get no interval.

    Examples
    --------
    >>> too_few(12)
    'no interval is promised: 12 validation galaxies are too few (at least 20 of different groups)'
    """
    return (
        f"no interval is promised: {count} validation galaxies are too few "
        f"(at least {LEAST} of different groups)"
    )


def _scale(predictions: Predictions) -> Array:
    """Return the unit of each galaxy's error: 1, or for redshifts 1 + predicted redshift."""
    if predictions.kind != "redshift":
        return np.ones(len(predictions))
    return np.maximum(1 + predictions.values, _SMALLEST_SCALE)
