"""Fit a head to the embeddings and labels of a split's training galaxies."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, require_known
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.estimators.registry import HEADS, HeadKind, build_for, recipe
from gzfeatures.heads.head import Head as Head
from gzfeatures.heads.inputs import Inputs, Tables, require_resolved
from gzfeatures.ids import Ids, among, positions
from gzfeatures.progress import Progress, handed

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

PREDICTED = {
    "classes": "classes",
    "multi-label": "multi-label",
    "fractions": "fractions",
    "value": "numbers",
    "redshift": "numbers",
}
"""What a head predicts for each kind of labels, in words for error messages."""


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
    progress: Progress | bool = False,
    **parameters: Any,
) -> Head:
    """Fit a head to the training galaxies of a split; other galaxies in the table are not used.

    Parameters
    ----------
    table : EmbeddingTable or sequence of EmbeddingTable
        Vectors; several tables are joined by galaxy id.
    labels : Labels
        Labels to predict; every training galaxy has one.
    head : str
        Name in `HEADS`.
    split : Split
        The head is fitted to the split's `train` ids; groups stay together in every inner fold.
    seed : int
        Equal inputs and seed give the equal head, whatever the order of rows.
    tune : bool
        Choose parameters by grouped, stratified cross-validation inside train.
    catalog, columns : Catalog and names, optional
        Catalog columns appended to the vectors; missing values are replaced by the training median.
    jobs : int
        Combinations of parameters tried at once when tuning.
    progress : Progress or bool
        Shows each trial of tuning; True shows it in the terminal, False (default) nowhere.
    **parameters
        Parameters of the head (see `HEADS[head].defaults`); tuning leaves these unchanged. The keys
        of `class_weight` may be names of classes.

    Raises
    ------
    UnknownNameError, InputError
        No such head, parameter or weighted class; the head does not predict such labels; a training
        galaxy has no vector or no label; train has one class, or a class with one galaxy; a catalog
        column cannot be resolved in single precision.

    Examples
    --------
    >>> split = Split.draw(labels, groups=table.groups)  # doctest: +SKIP
    >>> head = fit(table, labels, "svm", split=split, C=3)  # doctest: +SKIP
    >>> head.predict(table.select(split.test)).summary  # doctest: +SKIP
    """
    # check the arguments first, before slow work begins
    chosen = suited(head, labels).for_target(labels.target)
    inputs = Inputs.of(table, catalog, columns)
    require_resolved(catalog, columns)
    train, rows = _training_rows(inputs, split)
    targets = labels.select(train).values
    if labels.target == "classes":
        _check_classes(targets, labels.classes)
    examples = (inputs.matrix, targets, _groups(train, split), rows)
    # catalog columns may have missing values: the head then replaces them by the training median
    settings = {**parameters, **({"impute": True} if inputs.columns else {})}
    class_weight = settings.get("class_weight")
    if isinstance(class_weight, Mapping):
        settings["class_weight"] = _by_code(class_weight, labels)
    seconds: dict[str, float] = {}
    trials: tuple[dict[str, Any], ...] = ()
    # choose parameters by cross-validation on training galaxies: a choice on test galaxies would
    # make the scores too good
    if tune:
        from gzfeatures.heads.tune import search

        start = time.perf_counter()
        how: dict[str, Any] = {"seed": seed, "jobs": jobs, "progress": handed(progress)}
        settings, trials = search(chosen, *examples, labels.target, settings, **how)
        seconds["tune"] = time.perf_counter() - start
    start = time.perf_counter()
    estimator = build_for(chosen, labels.target, seed, settings).fit(*examples)
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
        trained_on=_trained_on(split, inputs),
        labels=labels.fingerprint,
        split=split.fingerprint,
        seed=seed,
        # store class weights by class name: class codes have no meaning outside this fit
        parameters=chosen.complete(
            settings | ({"class_weight": class_weight} if class_weight is not None else {})
        ),
        seconds=seconds,
        trials=trials,
        left_out=len(split.train) - len(train),
    )


def suited(head: str, labels: Labels) -> HeadKind:
    """Return the kind of head with a given name; refuse a kind that cannot predict these labels.

    Raises
    ------
    UnknownNameError, InputError
        No head has that name; the head predicts classes and the labels are numbers, or vice versa.
    """
    chosen = recipe(head)
    regression = labels.target == "fractions" or labels.target in VALUE_TARGETS
    task = "fractions" if regression else "classes"
    if chosen.task != task:
        legal = ", ".join(name for name, entry in HEADS.items() if entry.task == task)
        raise InputError(
            f"head does not predict {PREDICTED[labels.target]}",
            rule=f"be one of {legal}",
            found=chosen.name,
            remedy=_remedy(labels.target),
        )
    return chosen


def _remedy(target: str) -> str | None:
    """Return advice for an error: how to name the column of labels so that it is read as meant.

    Without a column `label`, columns of numbers are read as vote fractions. None if the labels are
    one number per galaxy.
    """
    if target == "fractions":
        return (
            "call the column of classes label: without one, columns of numbers are read as "
            "vote fractions"
        )
    return None if target in VALUE_TARGETS else "to predict a number, name its column by --target"


def _training_rows(inputs: Inputs, split: Split) -> tuple[Ids, npt.NDArray[np.intp]]:
    """Return the sorted ids of training galaxies with an embedding, and their rows in the table."""
    # sort: the order of rows in the table must not change the fitted head
    train = np.sort(split.train)
    train = train[~among(train, inputs.skipped)] if inputs.skipped else train
    return train, positions(inputs.ids, train, where="embedding table")


def _by_code(weights: Mapping[str, float], labels: Labels) -> dict[int, float]:
    """Replace class names by class codes in class weights."""
    if labels.target != "classes":
        raise InputError(
            "weights of classes",
            rule='be "balanced" or "macro-f1" where several can hold',
            found=labels.target,
        )
    require_known("class", weights, labels.classes)
    return {labels.classes.index(name): float(weight) for name, weight in weights.items()}


def _check_classes(codes: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    counts = np.bincount(codes, minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise InputError(
            "training labels have one class",
            rule="have at least two",
            found=classes[int(counts.argmax())],
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
    # write "group" or "id" before the name, because a group may have the same name as a galaxy
    return np.array(
        [f"group {split.groups[i]}" if i in split.groups else f"id {i}" for i in train],
        dtype=object,
    )


def _trained_on(split: Split, inputs: Inputs) -> TrainedOn:
    """Return a head's training galaxies, and all galaxies that share a group with such a galaxy.

    A group of the split has galaxies that belong together, such as copies of one image. Groups with
    a galaxy on which the backbone was trained are included too.
    """
    before = TrainedOn.joined(extractor.trained_on for extractor in inputs.extractors)
    seen = set(inputs.ids[inputs.among(before)])
    # a group may contain galaxies without an embedding, whose image files are unknown here:
    # recognise such training galaxies of the backbone by their id
    grouped = np.array(list(split.groups), dtype=object)
    absent = grouped[~among(grouped, inputs.ids)]
    seen |= set(absent[before.contains(absent, kind=inputs.first.kind)])
    # if one galaxy of a group was trained on, no galaxy of this group is a fair test galaxy
    seen_groups = {group for name, group in split.groups.items() if name in seen}
    seen_groups |= {split.groups[name] for name in split.train if name in split.groups}
    members = [name for name, group in split.groups.items() if group in seen_groups]
    ids = np.array([*split.train, *members], dtype=object)
    first = inputs.first
    trained_rows = among(first.ids, ids)
    if first.pictures is None:
        return TrainedOn.of(ids, kind=first.kind, files=first.digests[trained_rows])
    trained = TrainedOn.of(
        ids,
        kind=first.kind,
        files=first.digests[trained_rows],
        pictures=first.pictures[trained_rows],
    )
    other_sides = among(first.ids, split.ids) & ~trained_rows
    return trained.without_pictures_like(first.pictures[other_sides])
