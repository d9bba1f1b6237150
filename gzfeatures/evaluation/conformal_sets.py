"""Compute sets of classes that contain the true class as often as promised (conformal)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gzfeatures.brief import percent
from gzfeatures.errors import InputError
from gzfeatures.evaluation.prediction_checks import scorable
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.proportions import Array, clopper_pearson
from gzfeatures.galaxies.labels.labels import Labels

Method = Literal["threshold", "raps"]
METHODS: tuple[Method, ...] = ("threshold", "raps")
SHARED_BELOW = 20
"""Number of calibration galaxies below which a class shares its threshold with another class."""
PENALTY, UNPENALISED = 0.1, 2
"""Parameters of RAPS: the penalty of each further class, and the number of classes without it."""
LEVEL = 0.01
"""Familiarity p value below which a galaxy's set is empty, if nothing else is asked for."""
REPORT_LEVEL = 0.95
"""Level of the exact intervals around the measured coverage."""


@dataclasses.dataclass(frozen=True, eq=False)
class Conformal:
    """Hold thresholds for class sets that contain the true class with a promised probability.

    A class enters a galaxy's set if its conformity, a measure of how well it fits the galaxy,
    reaches the threshold of the class. The most probable class always enters, so that only a galaxy
    unlike the training galaxies (`Predictions.unfamiliar`) gets an empty set. The promise is kept
    if new galaxies and calibration galaxies are random draws of the same catalog. Calibration
    galaxies must be neither trained on nor scored; validation galaxies meet this condition.

    Parameters
    ----------
    classes : tuple of str
        Names of the k classes.
    thresholds : ndarray of float64
        Smallest conformity with which each class enters a set, shape (k,), in [0, 1]. A class with
        threshold 0 enters every set.
    coverage : float
        Promised probability that a set contains the true class, in (0, 1).
    method : {"threshold", "raps"}
        Conformity of a class. "threshold": its probability (Sadinle+2019). "raps": 1 − the summed
        probability of all more probable classes − a penalty for each rank beyond the second (RAPS,
        Angelopoulos+2021, without randomisation).
    per_class : bool
        Whether the promise holds for the galaxies of each class (Mondrian), or only for all
        galaxies together.
    scores : tuple of ndarray of float64
        Conformities of the calibration galaxies' true classes, in rising order: one array per
        class, or one for all classes together. Empty in heads of an earlier version, which did not
        store them.
    level : float
        Familiarity p value below which a galaxy's set is empty; the thresholds allow for the true
        classes that are missed by this.
    calibration : tuple of ndarray of float64
        For each array of `scores`, the calibration galaxies' conformities before any set was
        emptied, and their familiarity p values, shape (m, 2): for thresholds of another level.
        Empty without familiarity, and in heads of an earlier version.

    References
    ----------
    Vovk+2005, Algorithmic Learning in a Random World, section 4.5 (Mondrian); Sadinle+2019,
    doi:10.1080/01621459.2017.1395341, section 3; Angelopoulos+2021, arXiv:2009.14193, equation 4
    with u = 0.

    Examples
    --------
    >>> sets = Conformal.of(validation, labels, coverage=0.95)  # doctest: +SKIP
    >>> sets.sets(predictions).sum(1)  # classes in each set  # doctest: +SKIP
    """

    classes: tuple[str, ...]
    thresholds: Array
    coverage: float
    method: Method = "threshold"
    per_class: bool = False
    scores: tuple[Array, ...] = ()
    level: float = LEVEL
    calibration: tuple[Array, ...] = ()

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        labels: Labels,
        coverage: float = 0.9,
        *,
        per_class: bool = True,
        method: Method = "threshold",
    ) -> Conformal:
        """Return thresholds for class sets, calibrated on galaxies that were kept out of training.

        Parameters
        ----------
        predictions : Predictions
            Predictions of the calibration galaxies, which were kept out of training. A galaxy in
            the mask `unfamiliar` counts as missed; the mask marks p values in `familiarity` below
            `LEVEL`.
        labels : Labels
            True classes of these galaxies.
        coverage : float
            Promised probability that a set contains the true class, in (0, 1).
        per_class : bool
            Whether to keep the promise for the galaxies of each class, even of rare ones. A class
            with too few galaxies for the promise (fewer than 9 at 90 %) enters every set. A class
            with fewer than 20 galaxies shares the lower threshold with the next smallest class, so
            that both reach the coverage. `notes` names these classes.
        method : {"threshold", "raps"}
            How the conformity of a class is computed; see `Conformal`.

        Raises
        ------
        LeakError, InputError
            As `evaluate`; or labels that are not one class per galaxy; an unknown method; or
            coverage outside (0, 1).
        """
        if method not in METHODS:
            raise InputError(
                "method of class sets", rule=f"be one of {', '.join(METHODS)}", found=method
            )
        codes = scorable(predictions, labels).codes
        true = fits = _conformity(predictions.probabilities, method)[np.arange(len(codes)), codes]
        if predictions.unfamiliar is not None:
            # a galaxy unlike the training galaxies gets an empty set, which never contains its
            # class: count it as 0, the worst fit. This lowers the thresholds, so the sets of the
            # other galaxies become larger, and all sets together reach the coverage
            true = np.where(predictions.unfamiliar, 0.0, true)
        k = len(predictions.classes)
        members = [codes == c for c in range(k)] if per_class else [np.ones(len(codes), bool)]
        parts = tuple(np.sort(true[rows]) for rows in members)
        thresholds = _thresholds(parts, k, _share(coverage))
        known = cls(predictions.classes, thresholds, coverage, method, per_class, parts)
        if predictions.unfamiliar is None or predictions.familiarity is None:
            return known
        # keep the p values, from which thresholds for sets of another level are computed
        pairs = np.column_stack([fits, predictions.familiarity])
        return dataclasses.replace(known, calibration=tuple(pairs[rows] for rows in members))

    def at(self, coverage: float) -> Conformal:
        """Return thresholds for another coverage (share of sets with the true class).

        Raises
        ------
        InputError
            Coverage is outside (0, 1); or `scores` is empty.
        """
        if not self.scores:
            raise InputError(
                "class sets have one coverage only",
                rule="keep the scores of their calibration galaxies",
                found=f"{self.coverage:g}, asked for {coverage:g}",
                remedy="fit the head again: this head was written by an earlier version",
            )
        thresholds = _thresholds(self.scores, len(self.classes), _share(coverage))
        return dataclasses.replace(self, thresholds=thresholds, coverage=coverage)

    def emptying(self, level: float) -> Conformal:
        """Return thresholds of the same coverage for sets that are empty below another p value.

        More empty sets miss more true classes; the other sets become larger to make up for them.

        Parameters
        ----------
        level : float
            Familiarity p value below which a galaxy's set is empty, in [0, 1].

        Raises
        ------
        InputError
            More sets would be empty than the coverage allows; or `calibration`, which a higher
            level than the stored one needs, is empty.
        """
        # a head whose own level does not allow its coverage says so in its notes
        if level == self.level:
            return self
        require_reachable(self.coverage, level)
        if not self.calibration:
            # fewer empty sets than the thresholds allow for only raise the coverage
            if level < self.level:
                return self
            raise InputError(
                f"class sets promise {self.coverage:.4g} only with unfamiliar galaxies below "
                f"{self.level:g}",
                rule="keep the p values of their calibration galaxies",
                found=f"none, asked for {level:g}",
                remedy="leave --unfamiliar out and select by the column familiarity_p, or fit the "
                "head again: it was written by an earlier version",
            )
        columns = (pairs.T for pairs in self.calibration)
        parts = tuple(np.sort(np.where(p < level, 0.0, fits)) for fits, p in columns)
        thresholds = _thresholds(parts, len(self.classes), self.coverage)
        return dataclasses.replace(self, thresholds=thresholds, scores=parts, level=level)

    def sets(self, predictions: Predictions) -> npt.NDArray[np.bool_]:
        """Return which classes are in each galaxy's class set, shape (n, k).

        Each set contains the most probable class, except for galaxies in the mask
        `predictions.unfamiliar` (unlike the training galaxies): their sets are empty.

        Raises
        ------
        InputError
            The predictions have other classes than the thresholds.
        """
        if predictions.classes != self.classes:
            raise InputError(
                "predictions are of other classes", rule=f"be of {', '.join(self.classes)}"
            )
        members = _conformity(predictions.probabilities, self.method) >= self.thresholds
        members[np.arange(len(predictions)), predictions.codes] = True
        if predictions.unfamiliar is not None:
            members[predictions.unfamiliar] = False
        return np.asarray(members)

    @property
    def missed(self) -> list[str]:
        """Return a sentence for each class with more empty sets than the coverage allows."""
        sentences = []
        for number, pairs in enumerate(self.calibration):
            p = pairs[:, 1]
            empty, n = int((p < self.level).sum()), len(p)
            # a class with a few unfamiliar galaxies too many may have them by chance
            if empty > n * (1 - self.coverage) + 2 * np.sqrt(n * self.level):
                name = self.classes[number] if self.per_class else "the true class"
                sentences.append(
                    f"{name} is in fewer than {self.coverage:.4g} of its class sets: {empty} of "
                    f"{n} calibration galaxies are unfamiliar (p below {self.level:g}), so that "
                    "their sets are empty"
                )
        return sentences

    @property
    def notes(self) -> list[str]:
        """Return a sentence for each class with too few galaxies, or with too many empty sets."""
        return [*self._few, *self.missed]

    @property
    def _few(self) -> list[str]:
        if not self.per_class or not self.scores:
            return []
        sizes = [len(part) for part in self.scores]
        sentences = [
            f"{self.classes[c]} is in every class set: {sizes[c]} calibration galaxies are too few "
            f"for {percent(self.coverage)} (at least {_least(self.coverage)})"
            for c in range(len(sizes))
            if sizes[c] < _least(self.coverage)
        ]
        for members in _sharing(sizes, self.coverage):
            if len(members) > 1:
                names = ", ".join(f"{self.classes[c]} ({sizes[c]})" for c in members)
                sentences.append(
                    f"{names} share a threshold: "
                    f"below {SHARED_BELOW} calibration galaxies one is uncertain"
                )
        return sentences

    def coverage_report(self, predictions: Predictions, labels: Labels) -> dict[str, Any]:
        """Measure how often class sets contain the true class, on galaxies not used to calibrate.

        Returns
        -------
        dict
            `promised` coverage; `reached` (share of galaxies whose set contains the true class)
            with its exact `interval` (Clopper & Pearson) at `level`; the same for each class
            (`per_class`: `class, n, reached, interval`, None for a class without galaxies;
            `reached_per_class`: only the shares); `size` (mean number of classes in a set);
            `single` and `empty` (shares of sets with one class and with none); `unfamiliar` (share
            of galaxies unlike the training galaxies, whose sets are empty); `n` (number of
            galaxies); `method`; `notes`.

        Raises
        ------
        LeakError, InputError
            As `evaluate`; or the predictions have other classes than the thresholds.
        """
        codes = scorable(predictions, labels).codes
        return self._report(predictions, codes, self.sets(predictions))

    def crossed_report(self, predictions: Predictions, labels: Labels) -> dict[str, Any]:
        """Measure coverage on calibration galaxies: test thresholds of each half on the other half.

        A half is every second galaxy in the order of ids. Each half is tested by thresholds that
        were calibrated on the other half, so that no galaxy tests a threshold that depends on it.
        Because only half of the galaxies calibrate, the sets tend to be larger than those of
        `sets`.

        Returns
        -------
        dict
            The keys of `coverage_report`, and `crossed`: True.

        Raises
        ------
        LeakError, InputError
            As `coverage_report`.
        """
        codes = scorable(predictions, labels).codes
        half = np.argsort(np.argsort(predictions.ids)) % 2 == 0
        sets = np.zeros((len(codes), len(self.classes)), dtype=bool)
        for part in (half, ~half):
            others = predictions.select(predictions.ids[~part])
            crossed = Conformal.of(
                others, labels, self.coverage, per_class=self.per_class, method=self.method
            )
            sets[part] = crossed.sets(predictions.select(predictions.ids[part]))
        return self._report(predictions, codes, sets) | {"crossed": True}

    def _report(
        self,
        predictions: Predictions,
        codes: npt.NDArray[np.int64],
        sets: npt.NDArray[np.bool_],
    ) -> dict[str, Any]:
        """Return how often given class sets contain the true class, overall and per class."""
        holds_truth = sets[np.arange(len(codes)), codes]
        size = sets.sum(1)
        rows = [
            {"class": name, **_counted(holds_truth[codes == code])}
            for code, name in enumerate(self.classes)
        ]
        unfamiliar = predictions.unfamiliar
        return {
            "promised": self.coverage,
            "level": REPORT_LEVEL,
            **_counted(holds_truth),
            "per_class": rows,
            "reached_per_class": {row["class"]: row["reached"] for row in rows},
            "size": float(size.mean()),
            "single": float((size == 1).mean()),
            "empty": float((size == 0).mean()),
            "unfamiliar": 0.0 if unfamiliar is None else float(unfamiliar.mean()),
            "method": self.method,
            "notes": self.notes,
        }

    def asdict(self) -> dict[str, Any]:
        """Return thresholds and calibration scores as JSON values."""
        return {
            "classes": list(self.classes),
            "thresholds": self.thresholds.tolist(),
            "coverage": self.coverage,
            "method": self.method,
            "per_class": self.per_class,
            "scores": [part.tolist() for part in self.scores],
            "level": self.level,
            "calibration": [part.tolist() for part in self.calibration],
        }

    @classmethod
    def fromdict(cls, fields: Mapping[str, Any]) -> Conformal:
        """Return the thresholds from a dict that `asdict` of this or an earlier version wrote."""
        return cls(
            tuple(fields["classes"]),
            np.asarray(fields["thresholds"], dtype=np.float64),
            fields["coverage"],
            fields.get("method", "threshold"),
            fields.get("per_class", False),
            tuple(np.asarray(part, dtype=np.float64) for part in fields.get("scores", ())),
            fields.get("level", LEVEL),
            tuple(
                np.asarray(part, dtype=np.float64).reshape(-1, 2)
                for part in fields.get("calibration", ())
            ),
        )


def calibrate_sets(
    kept_out: Predictions, labels: Labels, coverage: float = 0.9, method: Method = "threshold"
) -> Conformal | None:
    """Return thresholds for class sets, calibrated on galaxies that were not trained on.

    Return None if all galaxies were trained on, or if labels are not one class per galaxy.
    """
    fresh = kept_out.ids if kept_out.seen is None else kept_out.ids[~kept_out.seen]
    if labels.target != "classes" or not len(fresh):
        return None
    return Conformal.of(kept_out.select(fresh), labels, coverage, method=method)


def require_reachable(
    coverage: float,
    level: float = LEVEL,
    remedy: str = "choose a lower --coverage or a lower --unfamiliar",
) -> None:
    """Refuse a coverage that class sets cannot reach, because too many of them are empty.

    Parameters
    ----------
    coverage : float
        Promised share of galaxies whose set contains the true class.
    level : float
        Familiarity p value below which a set is empty: about the share of empty sets.
    remedy : str
        What the caller's user can change, for the error.

    Raises
    ------
    InputError
        `coverage` is above 1 − `level`.

    Examples
    --------
    >>> require_reachable(0.9, 0.1)
    """
    if level > 1 - coverage + 1e-9:
        raise InputError(
            f"class sets cannot hold the true class in {coverage:.4g} of the galaxies",
            rule=f"be empty for galaxies with a familiarity_p below {1 - coverage:.4g} at most",
            found=f"below {level:.4g}",
            remedy=remedy,
        )


def _share(coverage: float) -> float:
    """Return the coverage unchanged; refuse a coverage outside (0, 1)."""
    if not 0 < coverage < 1:
        raise InputError("coverage", rule="lie between 0 and 1", found=coverage)
    return coverage


def _conformity(p: Array, method: Method) -> Array:
    """Return how well each class fits each galaxy, from 0 to 1, shape (n, k)."""
    if method == "threshold":
        return p
    # RAPS, regularised adaptive sets (Angelopoulos+2021, arXiv:2009.14193, eq. 4): `score` is the
    # probability of all more likely classes plus a penalty for each rank beyond the second. A class
    # of a low score fits well, so return 1 - score
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    ranks_above = np.maximum(np.arange(1, p.shape[1] + 1) - UNPENALISED, 0)
    score = np.empty_like(p)
    np.put_along_axis(score, order, np.cumsum(ranked, 1) - ranked + PENALTY * ranks_above, 1)
    return np.asarray(1 - np.clip(score, 0, 1))


def _least(coverage: float) -> int:
    """Return the fewest calibration galaxies that a coverage needs: 9 for 90 %, 19 for 95 %."""
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


def _thresholds(parts: Sequence[Array], k: int, coverage: float) -> Array:
    """Return each class's least score to enter a set, shape (k,); small classes share a value."""
    lowest = np.array([_lowest(part, coverage) for part in parts])
    if len(parts) == 1:
        return np.repeat(lowest, k)
    for members in _sharing([len(part) for part in parts], coverage):
        # classes with few galaxies share a threshold: the lowest in their group, so that each class
        # reaches the coverage
        lowest[members] = lowest[members].min()
    return lowest


def _sharing(sizes: Sequence[int], coverage: float) -> list[list[int]]:
    """Group classes so that each group has at least 20 calibration galaxies, if so many exist."""
    groups: list[list[int]] = []
    open_ = False
    for c in sorted(range(len(sizes)), key=lambda c: (sizes[c], c)):
        if sizes[c] < _least(coverage):
            continue
        if open_:
            groups[-1].append(c)
        else:
            groups.append([c])
        open_ = sum(sizes[member] for member in groups[-1]) < SHARED_BELOW
    if open_ and len(groups) > 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups


def _lowest(true: Array, coverage: float) -> float:
    """Return the highest score threshold that reaches the coverage; 0 for too few galaxies.

    The threshold is the ⌊(n + 1)(1 − coverage)⌋-th smallest score of n galaxies' true classes.
    """
    # without 1e-9, rounding of (n + 1)(1 − coverage) could give one galaxy too few
    allowed = int(np.floor((len(true) + 1) * (1 - coverage) + 1e-9))
    return float(true[allowed - 1]) if allowed else 0.0


def _counted(holds_truth: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return how often the class sets contain the true class, with a Clopper–Pearson interval."""
    n, hits = len(holds_truth), int(holds_truth.sum())
    if not n:
        return {"n": 0, "reached": None, "interval": None}
    low, high = clopper_pearson(np.float64(hits), np.float64(n), REPORT_LEVEL)
    return {"n": n, "reached": hits / n, "interval": [float(low), float(high)]}
