"""fit: an embedding table and the training side of a split → a Head that predicts class names."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from gzfeatures.errors import InputError
from gzfeatures.features.table import Extractor
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.ids import Ids, positions
from gzfeatures.galaxies.labels import Labels, Target
from gzfeatures.galaxies.splits import Split
from gzfeatures.heads import persist
from gzfeatures.heads.inputs import Inputs, Tables
from gzfeatures.heads.zoo import HEADS, Recipe, recipe
from gzfeatures.results.predictions import Predictions

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalog import Catalog


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A fitted head, and all that says what it may be used on.

    Parameters
    ----------
    name : str
        Name in `HEADS`.
    estimator : estimator
        Fitted scikit-learn estimator on codes.
    classes : tuple of str
        k class names.
    target : {"classes", "multi-label", "fractions"}
        What it predicts.
    scheme : str
        Label scheme it learned.
    extractors : tuple of Extractor
        Tables it reads, in order.
    columns : tuple of str
        Catalog columns it reads after them.
    dim : int
        Length of a row.
    trained_on : TrainedOn
        Galaxies it was trained on, with all of their groups.
    labels, split : str
        Fingerprints.
    seed : int
        Of the fit.
    parameters : mapping
        Every parameter of the recipe.
    seconds : mapping of str to float
        Wall clock of `tune` and `fit`.
    trials : tuple of dict
        What tuning tried (see `tune.search`).
    left_out : int
        Training galaxies that have no vector.
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

    def predict(self, table: Tables, catalog: Catalog | None = None) -> Predictions:
        """Predict every galaxy of a table made by the extractor the head was fitted on.

        Parameters
        ----------
        table : EmbeddingTable or sequence of EmbeddingTable
            As many as were fitted on, in that order.
        catalog : Catalog, optional
            Holds the head's columns, if it has any.

        Returns
        -------
        Predictions
            `seen` marks galaxies that the head or its backbone was trained on, with their groups; they are
            predicted, but no score accepts them.

        Raises
        ------
        InputError
            Another extractor made the table, or its vectors have another length.
        """
        inputs = Inputs.of(table, catalog, self.columns)
        if len(inputs.extractors) != len(self.extractors):
            raise InputError(
                "tables", where=f"head {self.name}", rule=f"be {len(self.extractors)}", found=len(inputs.extractors)
            )
        for mine, theirs in zip(self.extractors, inputs.extractors, strict=True):
            if mine.fingerprint != theirs.fingerprint:
                raise InputError(
                    "table comes from another extractor",
                    where=f"head {self.name}",
                    rule=f"be of {_described(mine)}",
                    found=_described(theirs),
                    remedy="extract the images with that backbone, weights, layer, view and precision",
                )
        if inputs.matrix.shape[1] != self.dim:
            raise InputError(
                "vector length", where=f"head {self.name}", rule=f"be {self.dim}", found=inputs.matrix.shape[1]
            )
        if self.target == "fractions":
            values = self.estimator.predict(inputs.matrix)
        else:
            values = self.estimator.predict_proba(inputs.matrix)
        if self.target == "classes":
            p = np.zeros((len(values), len(self.classes)))
            p[:, self.estimator.classes_] = values
            values = p
        seen = self.trained_on.contains(inputs.ids)
        for extractor in inputs.extractors:
            if extractor.trained_on is not None:
                seen |= TrainedOn.decode(extractor.trained_on).contains(inputs.ids)
        return Predictions(inputs.ids, values, self.classes, self.target, seen)

    @property
    def numbers(self) -> int:
        """How many numbers were learned: entries of all fitted arrays, nodes of all trees."""
        return _numbers(self.estimator)

    def write(self, path: str | Path) -> Path:
        """Write the head as a skops file; returns its path."""
        record = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "estimator"
        }
        record |= {
            "extractors": [extractor.asdict() for extractor in self.extractors],
            "trained_on": self.trained_on.encode(),
            "parameters": dict(self.parameters),
            "seconds": dict(self.seconds),
        }
        return persist.write(Path(path), record, self.estimator)

    @classmethod
    def read(cls, path: str | Path) -> Head:
        """Read a head written by `write`; a file that holds anything else is refused before anything is built of it.

        Raises
        ------
        MissingFileError, InputError
            As `persist.read`; or its record is not that of a head.
        """
        record, estimator = persist.read(path)
        try:
            record |= {name: tuple(record[name]) for name in ("classes", "columns", "trials")}
            record["extractors"] = tuple(Extractor.fromdict(fields) for fields in record["extractors"])
            record["trained_on"] = TrainedOn.decode(record["trained_on"])
            return cls(estimator=estimator, **record)
        except (TypeError, KeyError) as error:
            raise InputError("record of the head cannot be read", where=path, found=str(error)) from None


def fit(
    table: Tables,
    labels: Labels,
    head: str = "svm",
    *,
    split: Split,
    seed: int = 0,
    tune: bool = False,
    catalog: Catalog | None = None,
    columns: Sequence[str] = (),
    jobs: int = 1,
    **parameters: Any,
) -> Head:
    """Fit a head on the training galaxies of a split; nothing else of the table is looked at.

    Parameters
    ----------
    table : EmbeddingTable or sequence of EmbeddingTable
        Vectors; several tables are joined by galaxy id.
    labels : Labels
        Targets; every training galaxy has one.
    head : str
        Name in `HEADS`.
    split : Split
        Its `train` ids are fitted on, its groups stay together in every inner fold.
    seed : int
        Equal inputs and seed give the equal head, whatever the order of rows.
    tune : bool
        Choose parameters by grouped, stratified cross-validation inside train.
    catalog, columns : Catalog and names, optional
        Catalog columns appended to the vectors; what is missing there is filled with the training median.
    jobs : int
        Candidates tried at once when tuning.
    **parameters
        Of the head (see `HEADS[head].defaults`); what is given here is not tuned.

    Raises
    ------
    UnknownNameError, InputError
        No such head or parameter; the head does not predict such labels; a training galaxy has no vector or no label;
        train has one class, or a class with one galaxy.
    """
    chosen = _suited(recipe(head), labels)
    inputs = Inputs.of(table, catalog, columns)
    train, rows = _training_rows(inputs, split)
    targets = labels.select(train).values
    if labels.target == "classes":
        _check_classes(targets, labels.classes)
    groups = _groups(train, split)
    given = {**parameters, **({"impute": True} if inputs.columns else {})}
    seconds: dict[str, float] = {}
    trials: tuple[dict[str, Any], ...] = ()
    if tune:
        from gzfeatures.heads.tune import search

        start = time.perf_counter()
        given, trials = search(chosen, inputs.matrix, targets, groups, rows, labels.target, given, seed=seed, jobs=jobs)
        seconds["tune"] = time.perf_counter() - start
    start = time.perf_counter()
    estimator = build_for(chosen, labels.target, seed, given).fit(inputs.matrix, targets, groups, rows)
    seconds["fit"] = time.perf_counter() - start
    return Head(
        name=head,
        estimator=estimator,
        classes=labels.classes,
        target=labels.target,
        scheme=labels.scheme,
        extractors=inputs.extractors,
        columns=inputs.columns,
        dim=inputs.matrix.shape[1],
        trained_on=_trained_on(split, inputs.extractors),
        labels=labels.fingerprint,
        split=split.fingerprint,
        seed=seed,
        parameters=chosen.complete(given),
        seconds=seconds,
        trials=trials,
        left_out=len(split.train) - len(train),
    )


def build_for(chosen: Recipe, target: Target, seed: int, parameters: Mapping[str, Any]) -> Any:
    """Unfitted estimator of a recipe for a kind of labels."""
    estimator = chosen(seed, **parameters)
    if target != "multi-label":
        return estimator
    from gzfeatures.heads.pipelines import Flags

    return Flags(estimator)


def _suited(chosen: Recipe, labels: Labels) -> Recipe:
    task = "fractions" if labels.target == "fractions" else "classes"
    if chosen.task != task:
        legal = ", ".join(name for name, entry in HEADS.items() if entry.task == task)
        raise InputError(f"head does not predict {labels.target}", rule=f"be one of {legal}", found=chosen.name)
    return chosen


def _training_rows(inputs: Inputs, split: Split) -> tuple[Ids, npt.NDArray[np.intp]]:
    """Training ids that have a vector, sorted so that the order of rows cannot matter, and their rows."""
    train = np.sort(split.train)
    train = train[~np.isin(train, list(inputs.skipped))] if inputs.skipped else train
    return train, positions(inputs.ids, train, where="embedding table")


def _check_classes(codes: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    counts = np.bincount(codes, minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise InputError(
            "training labels have one class", rule="have at least two", found=classes[int(counts.argmax())]
        )
    if (counts == 1).any():
        raise InputError(
            "class has one training galaxy",
            rule="have at least two: one to learn from, one to check on",
            found=classes[int(np.argmax(counts == 1))],
            remedy="leave the class out, merge it with another, or label more galaxies",
        )


def _groups(train: Ids, split: Split) -> npt.NDArray[np.object_] | None:
    if not split.groups:
        return None
    # an id and a group of the same spelling are different things
    return np.array([f"group {split.groups[i]}" if i in split.groups else f"id {i}" for i in train], dtype=object)


def _trained_on(split: Split, extractors: Sequence[Extractor]) -> TrainedOn:
    """Training galaxies, and every galaxy in a group with one that the head or a backbone was trained on."""
    known = {split.groups[name] for name in split.train if name in split.groups}
    for extractor in extractors:
        if extractor.trained_on is not None and split.groups:
            members = list(split.groups)
            met = TrainedOn.decode(extractor.trained_on).contains(members)
            known |= {split.groups[name] for name, was_met in zip(members, met, strict=True) if was_met}
    return TrainedOn.of([*split.train, *(name for name, group in split.groups.items() if group in known)])


def _numbers(fitted: Any) -> int:
    if isinstance(fitted, np.ndarray):
        return int(fitted.size)
    if isinstance(fitted, (list, tuple)):
        return sum(map(_numbers, fitted))
    if hasattr(fitted, "get_booster") and fitted.__sklearn_is_fitted__():
        return sum(tree.count("\n") for tree in fitted.get_booster().get_dump())
    return sum(map(_numbers, vars(fitted).values())) if isinstance(fitted, BaseEstimator) else 0


def _described(extractor: Extractor) -> str:
    return f"{extractor.backbone} ({extractor.layer}, {extractor.dim}-d, {extractor.fingerprint[:12]})"
