"""Calibrate the outputs of a trained network on galaxies that were kept out of its training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, parsing
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.conformal_intervals import ValueIntervals, too_few
from gzfeatures.features.backbones import RECORD
from gzfeatures.files import require_file
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.networks.inference.temperature import SPREAD, temperature_of, tempered
from gzfeatures.unlabelled.familiarity import LEVEL, Familiarity
from gzfeatures.unlabelled.shift import Shares

Matrix: TypeAlias = npt.NDArray[np.float32]

LEAST_FOR_SETS = 100
"""Fewest galaxies for conformal sets; with fewer, a handful would set the threshold of a class."""
FOLDS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class OutputCalibration:
    """Store the calibration of a network: temperature, conformal sets, intervals, familiarity.

    All are learned from galaxies that neither trained the network nor chose its best epoch.

    Parameters
    ----------
    temperature : float
        Number that divides the logits (see `temperature.tempered`).
    calibrated_on : int
        Number of galaxies that calibrated the predictions; 0 for vote fractions.
    sets : Conformal, optional
        Conformal class sets, if at least a hundred galaxies calibrated them.
    familiarity : Familiarity, optional
        Distance to the training galaxies in the features that enter the output layer.
    notes : tuple of str
        What could not be calibrated, and why.
    intervals : ValueIntervals, optional
        Intervals of predicted numbers, if at least twenty galaxies of different groups calibrated
        them.
    shares : Shares, optional
        Mean predicted probability of each class over the same galaxies as `familiarity`.
    """

    temperature: float = 1.0
    calibrated_on: int = 0
    sets: Conformal | None = None
    familiarity: Familiarity | None = None
    notes: tuple[str, ...] = ()
    intervals: ValueIntervals | None = None
    shares: Shares | None = None

    @classmethod
    def of(
        cls,
        kept_out: Predictions,
        labels: Labels,
        features: Matrix | None,
        training: Matrix,
        groups: Mapping[str, str] | None = None,
        *,
        spread: float = SPREAD,
    ) -> OutputCalibration:
        """Calibrate a network on the predictions of galaxies kept out of its training.

        Parameters
        ----------
        kept_out : Predictions
            Uncalibrated predictions of n galaxies that the network was not trained on.
        labels : Labels
            True labels of these galaxies.
        features : ndarray of float32, optional
            Values that enter the output layer for these galaxies, shape (n, dim); finite. None if
            these galaxies chose the best epoch: its features suit them better than new galaxies.
        training : ndarray of float32
            The same values for training galaxies, shape (m, dim).
        groups : mapping of str to str, optional
            Id → group; one galaxy of each group calibrates intervals of numbers.
        spread : float
            Standard deviation of the prior of the temperature's logarithm (see `temperature_of`).

        Examples
        --------
        >>> calibration = OutputCalibration.of(
        ...     validation, labels, features, training
        ... )  # doctest: +SKIP
        >>> calibration.applied(predictions, their_features)  # doctest: +SKIP
        """
        familiarity, notes = _familiarity(training, features)
        if kept_out.is_value:
            intervals, reasons = _intervals(kept_out, labels, features is not None, groups)
            count = 0 if intervals is None else len(kept_out)
            return cls(1.0, count, None, familiarity, (*reasons, *notes), intervals)
        if kept_out.kind == "fractions" or not len(kept_out):
            return cls(familiarity=familiarity, notes=notes)
        sets = None
        if kept_out.kind == "classes" and len(kept_out) >= LEAST_FOR_SETS:
            scored = _tempered_by_others(kept_out, labels, spread)
            if familiarity is not None and features is not None:
                # compare each calibration galaxy with the other ones, not with itself. An
                # unfamiliar galaxy gets an empty conformal set, which counts as a miss when the
                # thresholds are chosen
                p = familiarity.p_values_of_calibration(features)
                scored = dataclasses.replace(scored, familiarity=p, unfamiliar=p < LEVEL)
            sets = Conformal.of(scored, labels)
            notes = (*sets.notes, *notes)
        elif kept_out.kind == "classes":
            notes = (f"no sets of classes are promised, for that takes {LEAST_FOR_SETS}", *notes)
        temperature, shares = temperature_of(kept_out, labels, spread), None
        if kept_out.kind == "classes" and familiarity is not None:
            # average probabilities after their calibration by the temperature: later predictions,
            # which are compared with these averages, are calibrated too
            shares = Shares.of(tempered(kept_out.probabilities, temperature, kept_out.kind))
        return cls(temperature, len(kept_out), sets, familiarity, notes, shares=shares)

    def promising(self, coverage: float) -> OutputCalibration:
        """Return the calibration with conformal sets or intervals for another coverage.

        Raises
        ------
        InputError
            The network has neither class sets nor intervals, or coverage is outside (0, 1).
        """
        if self.intervals is not None:
            return dataclasses.replace(self, intervals=self.intervals.at(coverage))
        if self.sets is None:
            raise InputError(
                "network gives no class sets, and no intervals of numbers",
                rule=f"have been calibrated on {LEAST_FOR_SETS} validation galaxies "
                "of one class each",
                found=self.calibrated_on,
                remedy="train it on a split with a larger validation part",
            )
        return dataclasses.replace(self, sets=self.sets.at(coverage))

    def emptying(self, unfamiliar: float) -> OutputCalibration:
        """Return the calibration with class sets that are empty below another familiarity p value.

        Raises
        ------
        InputError
            The sets cannot keep their coverage (see `Conformal.emptying`).
        """
        if self.sets is None or self.familiarity is None:
            return self
        return dataclasses.replace(self, sets=self.sets.emptying(unfamiliar))

    def applied(
        self, bare: Predictions, features: Matrix, *, unfamiliar: float = LEVEL
    ) -> Predictions:
        """Return calibrated predictions, with conformal sets and likeness to training galaxies.

        Parameters
        ----------
        bare : Predictions
            Uncalibrated predictions of n galaxies.
        features : ndarray of float32
            Values that enter the output layer for these galaxies, shape (n, dim).
        unfamiliar : float
            Galaxies with a smaller p value of familiarity get an empty class set, in [0, 1].

        Raises
        ------
        InputError
            `features` has another length than the features of the training galaxies; or class sets
            cannot keep their coverage with this `unfamiliar`.
        """
        calibration = self.emptying(unfamiliar)
        predictions = dataclasses.replace(
            bare, probabilities=tempered(bare.probabilities, self.temperature, bare.kind)
        )
        if self.familiarity is not None:
            p = self.familiarity.p_values(features)
            predictions = dataclasses.replace(predictions, familiarity=p, unfamiliar=p < unfamiliar)
        if calibration.sets is not None:
            sets = calibration.sets.sets(predictions)
            predictions = dataclasses.replace(predictions, sets=sets)
        if self.intervals is not None:
            bounds = self.intervals.bounds(predictions)
            predictions = dataclasses.replace(predictions, bounds=bounds)
        return predictions

    def asdict(self) -> dict[str, Any]:
        """Return the calibration as JSON values for the file `backbone.json` of a checkpoint."""
        intervals = {} if self.intervals is None else {"intervals": self.intervals.asdict()}
        return {
            **intervals,
            "temperature": self.temperature,
            "calibrated_on": self.calibrated_on,
            "sets": None if self.sets is None else self.sets.asdict(),
            "familiarity": None if self.familiarity is None else self.familiarity.asdict(),
            "shares": None if self.shares is None else self.shares.asdict(),
        }

    @classmethod
    def fromdict(cls, record: Mapping[str, Any]) -> OutputCalibration:
        """Rebuild the calibration from a checkpoint's JSON values; older checkpoints lack some."""
        sets, familiarity = record.get("sets"), record.get("familiarity")
        intervals = record.get("intervals")
        return cls(
            float(record.get("temperature") or 1.0),
            int(record.get("calibrated_on") or 0),
            Conformal.fromdict(sets) if sets else None,
            Familiarity.fromdict(familiarity) if familiarity else None,
            intervals=ValueIntervals.fromdict(intervals) if intervals else None,
            shares=Shares.fromdict(record["shares"]) if record.get("shares") else None,
        )


def calibration_of(checkpoint: str | Path) -> OutputCalibration:
    """Read the calibration of a checkpoint; an empty one if the network is not calibrated.

    Raises
    ------
    InputError
        The checkpoint's file `backbone.json` is damaged.
    MissingFileError
        The folder holds no finished checkpoint.
    """
    record = require_file(Path(checkpoint) / RECORD, "record of a finished checkpoint")
    with parsing("what calibrates the network cannot be read", record):
        return OutputCalibration.fromdict(json.loads(record.read_text("utf-8")))


def _intervals(
    kept_out: Predictions, labels: Labels, fresh: bool, groups: Mapping[str, str] | None
) -> tuple[ValueIntervals | None, tuple[str, ...]]:
    """Calibrate intervals around predicted numbers; return None and a reason if impossible."""
    # the epoch was chosen for small errors on these galaxies: intervals from these errors would be
    # too narrow for other galaxies
    if not fresh and len(kept_out):
        return None, ("no interval is promised: all validation galaxies chose the epoch",)
    intervals = ValueIntervals.of(kept_out, labels, groups=groups)
    return intervals, () if intervals is not None else (too_few(len(kept_out)),)


def _familiarity(
    training: Matrix, kept_out: Matrix | None
) -> tuple[Familiarity | None, tuple[str, ...]]:
    """Learn which galaxies resemble the training galaxies, or return None and a reason."""
    if kept_out is None:
        return None, ("no familiarity_p: all validation galaxies chose the epoch",)
    try:
        familiarity = Familiarity.of(training, kept_out)
    except InputError as error:
        # do not raise: without familiarity the network still predicts, and hours of training would
        # be lost
        return None, (f"no familiarity_p: {error}",)
    reason = familiarity.why_none_flagged
    return familiarity, () if reason is None else (reason,)


def _tempered_by_others(kept_out: Predictions, labels: Labels, spread: float) -> Predictions:
    """Calibrate each galaxy's probabilities by a temperature fitted to other galaxies."""
    # conformal sets are only valid if no galaxy takes part in the calibration of its own
    # probabilities
    fold = np.arange(len(kept_out)) % FOLDS
    probabilities = kept_out.probabilities.copy()
    for number in range(FOLDS):
        rest, part = kept_out.select(kept_out.ids[fold != number]), fold == number
        probabilities[part] = tempered(
            probabilities[part], temperature_of(rest, labels, spread), kept_out.kind
        )
    return dataclasses.replace(kept_out, probabilities=probabilities)
