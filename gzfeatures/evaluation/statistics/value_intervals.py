"""Compute intervals around predicted numbers that hold the true one as often as promised."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gzfeatures.errors import InputError
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

    The interval of a galaxy reaches as far to both sides as all but a few of the errors of
    calibration galaxies; of a redshift the errors, and so the reach, are in units of 1 + the
    predicted redshift. Galaxies must be exchangeable with the calibration galaxies: a random draw
    of the same catalog, neither trained on nor scored, such as the validation part.

    Parameters
    ----------
    errors : ndarray of float64
        Rising absolute errors of the calibration galaxies, one of each group, shape (m,), m ≥ 20.
    coverage : float
        Promised probability that an interval holds the true number, in (0, 1).
    kind : {"value", "redshift"}
        Whether errors are in units of 1 + z.

    References
    ----------
    Lei+2018, doi:10.1080/01621459.2017.1307116, algorithm 2; Dunn+2023,
    doi:10.1080/01621459.2022.2060112, section 3.3 (one galaxy of each group, so that those of a
    group, which resemble one another, do not count as many).
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
        """Store errors of galaxies not trained on, which give intervals; None for fewer than 20.

        Parameters
        ----------
        predictions : Predictions
            Of numbers; galaxies that were trained on (`seen`) are left out.
        labels : Labels
            Their true numbers.
        coverage : float
            Promise, in (0, 1).
        groups : mapping of str to str, optional
            Id → group; one galaxy of each group calibrates, chosen by a digest of its id.

        Raises
        ------
        InputError
            The predictions are no numbers, or coverage asks for more galaxies than there are.
        """
        fresh = predictions.ids
        if predictions.seen is not None:
            fresh = fresh[~predictions.seen]
        # galaxies of a group are related and have similar errors: use one of each, chosen by the
        # sha256 of its id, so that the order of galaxies does not matter
        first: dict[tuple[str, str], tuple[bytes, str]] = {}
        for name in fresh:
            grouped = groups is not None and name in groups
            key = ("group", groups[name]) if grouped and groups is not None else ("id", name)
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest(), name
            first[key] = min(first.get(key, digest), digest)
        if len(first) < LEAST:
            return None
        chosen = predictions.select(np.array([name for _, name in first.values()], dtype=object))
        errors = np.abs(labels.select(chosen.ids).values[:, 0] - chosen.values)
        return cls(np.sort(errors / _scale(chosen)), coverage, chosen.kind)

    @property
    def _rank(self) -> int:
        """Return the rank (from 1) of the error that limits intervals: ⌈(m + 1) coverage⌉."""
        return int(np.ceil((len(self.errors) + 1) * self.coverage - 1e-9))

    def at(self, coverage: float) -> ValueIntervals:
        """Return the same errors, for intervals that hold the truth in another share of cases.

        Raises
        ------
        InputError
            Coverage is outside (0, 1), or asks for more calibration galaxies than there are.
        """
        return dataclasses.replace(self, coverage=coverage)

    def bounds(self, predictions: Predictions) -> Array:
        """Return the lower and upper end of each galaxy's interval, shape (n, 2).

        Raises
        ------
        InputError
            Classes, or numbers of another kind, are predicted.
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
            `promised`; `n`; `reached` with its exact `interval` (Clopper & Pearson) at `level`;
            `width` (median width); `calibrated_on` (galaxies of different groups).
        """
        bounds = self.bounds(predictions)
        true = labels.select(predictions.ids).values[:, 0]
        hits, n = int(((bounds[:, 0] <= true) & (true <= bounds[:, 1])).sum()), len(true)
        low, high = clopper_pearson(np.float64(hits), np.float64(n), REPORT_LEVEL)
        return {
            "promised": self.coverage,
            "level": REPORT_LEVEL,
            "n": n,
            "reached": hits / n if n else None,
            "interval": [float(low), float(high)] if n else None,
            "width": float(np.median(bounds[:, 1] - bounds[:, 0])) if n else None,
            "calibrated_on": len(self.errors),
        }

    def asdict(self) -> dict[str, Any]:
        """Return calibration errors, coverage and kind (number or redshift) as JSON values."""
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
    """Return the unit of each galaxy's error: 1, or 1 + predicted redshift."""
    if predictions.kind != "redshift":
        return np.ones(len(predictions))
    return np.maximum(1 + predictions.values, _SMALLEST_SCALE)
