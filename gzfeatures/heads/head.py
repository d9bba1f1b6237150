"""Define a fitted head: a classifier or regressor, its inputs, and its training galaxies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from gzfeatures import brief
from gzfeatures.errors import InputError, parsing
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.conformal_intervals import ValueIntervals
from gzfeatures.features.table import Extractor
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Target
from gzfeatures.heads import persist
from gzfeatures.heads.array_checks import check_estimator
from gzfeatures.heads.inputs import Inputs, Tables
from gzfeatures.heads.trees import BoostedTrees
from gzfeatures.unlabelled.familiarity import LEVEL, Familiarity
from gzfeatures.unlabelled.shift import Shares, TableSample

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """Store a fitted classifier or regressor of embeddings, with its inputs and training galaxies.

    Parameters
    ----------
    name : str
        Name in `HEADS`.
    estimator : estimator
        Fitted scikit-learn estimator, which knows the classes as codes 0…k−1.
    classes : tuple of str
        Names of the k classes; for a head that predicts a number, the name of its column.
    target : {"classes", "multi-label", "fractions", "value", "redshift"}
        What the head predicts.
    scheme : str
        Class scheme of the training labels (the rules that turn votes into classes).
    extractors : tuple of Extractor
        Settings (network, layer, crop) of the embedding tables that the head reads, in order.
    columns : tuple of str
        Catalog columns that the head reads after the embeddings.
    dim : int
        Length of a row.
    trained_on : TrainedOn
        Training galaxies of the head, with all galaxies of their groups.
    labels, split : str
        Fingerprints (sha256) of the labels and of the split.
    seed : int
        Seed of the fit.
    parameters : mapping
        All parameters of the head.
    seconds : mapping of str to float
        Wall time of `tune` and `fit`.
    trials : tuple of dict
        Combinations of parameters that were tried (see `tune.search`).
    left_out : int
        Number of training galaxies without a vector.
    sets : Conformal, optional
        Thresholds for class sets that contain the true class with a promised probability, from
        galaxies kept out of training.
    familiarity : Familiarity, optional
        Distances to the training galaxies, measured for galaxies kept out of training.
    shares : Shares, optional
        Mean predicted probability of each class over galaxies kept out of training.
    intervals : ValueIntervals, optional
        Intervals that contain the true number with a promised probability, from galaxies kept out
        of training.
    """

    name: str
    estimator: Any
    classes: tuple[str, ...]
    target: Target
    scheme: str
    extractors: tuple[Extractor, ...]
    columns: tuple[str, ...]
    dim: int
    trained_on: TrainedOn
    labels: str
    split: str
    seed: int
    parameters: Mapping[str, Any]
    seconds: Mapping[str, float]
    trials: tuple[dict[str, Any], ...] = ()
    left_out: int = 0
    sets: Conformal | None = None
    familiarity: Familiarity | None = None
    shares: Shares | None = None
    intervals: ValueIntervals | None = None

    def __repr__(self) -> str:
        """Return the head's name, its backbones, and what it predicts, in one line."""
        backbones = " + ".join(extractor.backbone for extractor in self.extractors)
        of = (
            f"number {self.classes[0]}"
            if self.target in VALUE_TARGETS
            else f"{brief.count(len(self.classes), 'class')} of {self.scheme}"
        )
        return brief.line("Head", f"{self.name} on {backbones}", of)

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the head's classes, parameters, size and duration of fit."""
        promised = None if self.sets is None else brief.percent(self.sets.coverage)
        facts = {
            "predicts": ", ".join(self.classes[:12]) + ("" if len(self.classes) <= 12 else ", …"),
            "parameters": ", ".join(f"{key}={value}" for key, value in self.parameters.items()),
            "learned numbers": f"{self.numbers:,}",
            "class sets hold the true class in": promised,
            "fit": f"{self.seconds['fit']:.1f} s" if "fit" in self.seconds else None,
        }
        return brief.html(repr(self), facts)

    def predict(
        self,
        table: Tables,
        catalog: Catalog | None = None,
        *,
        calibrated: bool = True,
        unfamiliar: float = LEVEL,
        any_crop: bool = False,
        sample: TableSample | None = None,
    ) -> Predictions:
        """Predict all galaxies of an embedding table that was made like the training table.

        Parameters
        ----------
        table : EmbeddingTable or sequence of EmbeddingTable
            As many tables as in the fit, in the same order.
        catalog : Catalog, optional
            Catalog with the columns that the head reads, if it reads any.
        calibrated : bool
            False for the classifier's probabilities without calibration and class weights; only
            for a head that predicts classes.
        unfamiliar : float
            Galaxies with a smaller p value of familiarity get an empty class set, in [0, 1].
        any_crop : bool
            Also accept embeddings of another crop of the images.
        sample : TableSample, optional
            Collects galaxies of the table, to compare them later with galaxies kept out of
            training.

        Returns
        -------
        Predictions
            `seen` marks galaxies that the head or its backbone was trained on, with their groups;
            they are predicted, but never scored. `sets` are given if the head has thresholds for
            them, `familiarity` if the head was fitted with galaxies kept out of training.

        Raises
        ------
        InputError
            The table was made with other settings than the training table, or its vectors have
            another length; or class sets cannot keep their coverage with this `unfamiliar`.
        """
        # refuse before any work what the class sets cannot promise
        known = self.emptying(unfamiliar).sets if calibrated else None
        inputs = Inputs.of(table, catalog, self.columns)
        if len(inputs.extractors) != len(self.extractors):
            raise InputError(
                "tables",
                where=f"head {self.name}",
                rule=f"be {len(self.extractors)}",
                found=len(inputs.extractors),
            )
        for extractor, offered in zip(self.extractors, inputs.extractors, strict=True):
            if any_crop:
                offered = dataclasses.replace(
                    offered, view=dataclasses.replace(offered.view, crop=extractor.view.crop)
                )
            if extractor.fingerprint != offered.fingerprint:
                raise InputError(
                    "table comes from another extractor",
                    where=f"head {self.name}",
                    rule=f"be of {_described(extractor)}",
                    found=_described(offered),
                    remedy="extract the images with that backbone, weights, layer, view, "
                    "precision and symmetries",
                )
        if inputs.matrix.shape[1] != self.dim:
            raise InputError(
                "vector length",
                where=f"head {self.name}",
                rule=f"be {self.dim}",
                found=inputs.matrix.shape[1],
            )
        values = self.probabilities(inputs.matrix, calibrated=calibrated)
        # mark galaxies that the backbone, not only the head, was trained on: their embeddings are
        # too good for a fair test
        before = TrainedOn.joined(extractor.trained_on for extractor in inputs.extractors)
        seen = inputs.among(self.trained_on) | inputs.among(before)
        predictions = Predictions(inputs.ids, values, self.classes, self.target, seen)
        # uncalibrated probabilities have no class sets, because the thresholds were computed from
        # calibrated ones, and then no familiarity, which only empties the sets of some galaxies
        if self.familiarity is not None and calibrated:
            vectors = self.vectors(inputs.matrix)
            p = self.familiarity.p_values(vectors)
            if sample is not None:
                sample.add(inputs.ids, vectors, seen)
            predictions = dataclasses.replace(predictions, familiarity=p, unfamiliar=p < unfamiliar)
        if known is not None:
            predictions = dataclasses.replace(predictions, sets=known.sets(predictions))
        if self.intervals is not None and calibrated:
            bounds = self.intervals.bounds(predictions)
            predictions = dataclasses.replace(predictions, bounds=bounds)
        return predictions

    def vectors(self, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return those columns of a matrix that come from embedding tables, shape (n, dim).

        Parameters
        ----------
        matrix : array of float32
            Shape (n, d): the columns of embedding tables, then those of a catalog.
        """
        return matrix[:, : self.dim - len(self.columns)]

    def promising(self, coverage: float) -> Head:
        """Return a copy of the head with class sets, or intervals of numbers, of another coverage.

        The coverage is the promised share of galaxies whose set contains the true class, or whose
        interval contains the true number.

        The thresholds are computed again, from the calibration galaxies stored in the head.

        Parameters
        ----------
        coverage : float
            Share of galaxies whose true class is in its set, in (0, 1).

        Raises
        ------
        InputError
            The head has no class sets or intervals, or did not store the calibration galaxies; or
            coverage is outside (0, 1).
        """
        if self.intervals is not None:
            return dataclasses.replace(self, intervals=self.intervals.at(coverage))
        if self.target in VALUE_TARGETS:
            raise InputError(
                "head gives no intervals",
                where=f"head {self.name}",
                rule="have been fitted with 20 validation galaxies of different groups",
                remedy="fit it on a split with a larger validation part",
            )
        if self.sets is None:
            raise InputError(
                "head gives no class sets",
                where=f"head {self.name}",
                rule="have been fitted with validation galaxies and one class per galaxy",
                remedy="fit it on a split that has a validation part",
            )
        return dataclasses.replace(self, sets=self.sets.at(coverage))

    def emptying(self, unfamiliar: float) -> Head:
        """Return a copy of the head with sets that are empty below another familiarity p value.

        The thresholds are computed again, so that the sets keep their coverage.

        Parameters
        ----------
        unfamiliar : float
            Galaxies with a smaller p value of familiarity get an empty class set, in [0, 1].

        Raises
        ------
        InputError
            The sets cannot keep their coverage (see `Conformal.emptying`).
        """
        if self.sets is None or self.familiarity is None:
            return self
        return dataclasses.replace(self, sets=self.sets.emptying(unfamiliar))

    def probabilities(
        self, matrix: npt.NDArray[np.float32], *, calibrated: bool = True
    ) -> npt.NDArray[np.float64]:
        """Return class probabilities, vote fractions or numbers for rows of a matrix, (n, k).

        Parameters
        ----------
        matrix : array of float32
            Shape (n, d), as `predict` makes it.
        calibrated : bool
            False gives the probabilities before calibration.
        """
        if self.target == "fractions" or self.target in VALUE_TARGETS:
            return np.asarray(self.estimator.predict(matrix))
        values = (
            self.estimator.predict_proba(matrix)
            if calibrated
            else self.estimator.uncalibrated(matrix)
        )
        if self.target != "classes":
            return np.asarray(values)
        probabilities = np.zeros((len(values), len(self.classes)))
        probabilities[:, self.estimator.classes_] = values
        return probabilities

    @property
    def uncalibrated_classes(self) -> tuple[str, ...]:
        """Return classes without calibration galaxies: their probabilities stay uncalibrated."""
        if self.target == "multi-label":
            return tuple(self.classes[code] for code in getattr(self.estimator, "unchecked", ()))
        codes = getattr(self.estimator, "unchecked_", ())
        return tuple(self.classes[int(self.estimator.classes_[code])] for code in codes)

    @property
    def numbers(self) -> int:
        """Return how many numbers the head learned: entries of fitted arrays, nodes of trees."""
        return _numbers(self.estimator)

    def write(self, path: str | Path) -> Path:
        """Write the head to a skops file, and return the file's path.

        Parameters
        ----------
        path : str or Path
            File with the ending `.skops`.
        """
        return persist.write(Path(path), self.record(), self.estimator)

    def record(self) -> dict[str, Any]:
        """Return all fields of the head, except the fitted estimator, as JSON values."""
        record = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "estimator"
        }
        record |= {
            "extractors": [extractor.asdict() for extractor in self.extractors],
            "trained_on": self.trained_on.encode(),
            "parameters": dict(self.parameters),
            "seconds": dict(self.seconds),
            "sets": None if self.sets is None else self.sets.asdict(),
            "familiarity": None if self.familiarity is None else self.familiarity.asdict(),
            "shares": None if self.shares is None else self.shares.asdict(),
        }
        # write this field only for heads with intervals, because earlier versions
        # refuse unknown fields
        if self.intervals is None:
            del record["intervals"]
        else:
            record["intervals"] = self.intervals.asdict()
        return record

    @classmethod
    def read(cls, path: str | Path) -> Head:
        """Read a head from its file; refuse an unsafe file before any object in it is built.

        Parameters
        ----------
        path : str or Path
            File with the ending `.skops`.

        Raises
        ------
        MissingFileError, InputError
            For the reasons of `persist.read`; or the fields are not those of a head; or an array
            does not fit them.
        """
        record, estimator = persist.read(path)
        head = cls.of_record(record, estimator, path)
        # compare arrays with JSON fields, which may contradict each other in a damaged file
        with parsing("numbers of the head do not go together", path):
            try:
                check_estimator(estimator, head.dim, head.target, len(head.classes))
            except InputError as error:
                raise InputError(f"head is damaged: {error}", where=path) from error
        return head

    @classmethod
    def of_record(cls, record: dict[str, Any], estimator: Any, path: str | Path) -> Self:
        """Rebuild a head from its fitted estimator and the fields that `record` returned.

        Parameters
        ----------
        record : dict
            Fields of the head by name.
        estimator : object
            Fitted estimator of scikit-learn.
        path : str or Path
            File of the head, named in error messages.

        Raises
        ------
        InputError
            The fields are not those of a head.
        """
        with parsing("record of the head cannot be read", path):
            record = dict(record)
            record |= {name: tuple(record[name]) for name in ("classes", "columns", "trials")}
            record["extractors"] = tuple(
                Extractor.fromdict(fields) for fields in record["extractors"]
            )
            record["trained_on"] = TrainedOn.decode(record["trained_on"])
            record["sets"] = Conformal.fromdict(record["sets"]) if record.get("sets") else None
            familiarity = record.get("familiarity")
            record["familiarity"] = Familiarity.fromdict(familiarity) if familiarity else None
            intervals = record.get("intervals")
            record["intervals"] = ValueIntervals.fromdict(intervals) if intervals else None
            record["shares"] = Shares.fromdict(record["shares"]) if record.get("shares") else None
            head = cls(estimator=estimator, **record)
            if type(head.dim) is not int or not 0 < head.dim < 2**24:
                raise InputError("head is damaged: length of a row", where=path, found=head.dim)
        return head


def _numbers(fitted: Any) -> int:
    if isinstance(fitted, np.ndarray):
        return int(fitted.size)
    if isinstance(fitted, (list, tuple)):
        return sum(map(_numbers, fitted))
    if isinstance(fitted, BoostedTrees):
        return len(getattr(fitted, "value_", ()))
    return sum(map(_numbers, vars(fitted).values())) if isinstance(fitted, BaseEstimator) else 0


def _described(extractor: Extractor) -> str:
    return (
        f"{extractor.backbone} ({extractor.layer}, {extractor.dim}-d, {extractor.fingerprint[:12]})"
    )
