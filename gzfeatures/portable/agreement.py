"""Compare the predictions of an exported ONNX file with those of the head it was made from."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS
from gzfeatures.heads.estimators.calibrated import Calibrated
from gzfeatures.heads.head import Head
from gzfeatures.heads.trees import BoostedTrees
from gzfeatures.networks.portable.runtimes import RUNTIMES, Run, installed
from gzfeatures.portable.head_graph import CLASS, FAMILIARITY, SET, main_output
from gzfeatures.unlabelled.familiarity import LEVEL

BATCHES = {1: 32, 7: 98, 32: 500}
"""Batch size → number of galaxies compared at this batch size, for a file that reads pixels."""
GALAXIES = 500
"""Largest number of galaxies on which an exported file is compared with the head."""
TOLERANCE = 1e-4
"""Largest allowed difference of a probability; of a number, divided by the range of all numbers."""
SAME_VALUES = 0.95
"""Smallest allowed fraction of values within the tolerance, for heads that jump at thresholds.

Rounding moves a few galaxies across a threshold of a tree, but a wrong operator or an offset moves
nearly all."""
RANKS = 1e-3
"""Largest allowed difference of the familiarity p value; with few calibration galaxies, more."""
SINGLE_PRECISION = (
    "nothing is written; numbers that differ little from a large one, such as dates, lose their "
    "digits in the file's single precision: fit the head to their difference from it"
)
"""Remedy if predicted numbers disagree."""
SAME_SETS = 0.99
"""Smallest allowed fraction of equal class sets: at a threshold, rounding may change a set."""
SAME_CLASS_INT8 = 0.98
"""Smallest allowed fraction of galaxies with the same class as the head, for a file with int8."""


@dataclasses.dataclass(frozen=True, eq=False)
class Expected:
    """Store a head's predictions for n galaxies, with which an exported file is compared.

    Parameters
    ----------
    values : ndarray of float64
        Class probabilities, vote fractions or predicted numbers, shape (n, k).
    familiarity : ndarray of float64, optional
        p values of familiarity, shape (n,).
    sets : ndarray of bool, optional
        True for the classes in each galaxy's conformal set, shape (n, k).
    """

    values: npt.NDArray[np.float64]
    familiarity: npt.NDArray[np.float64] | None
    sets: npt.NDArray[np.bool_] | None

    @classmethod
    def of(cls, head: Head, vectors: npt.NDArray[np.float32]) -> Expected:
        """Return the predictions of a head for embeddings of shape (n, dim)."""
        from gzfeatures.evaluation.predictions import Predictions

        values, p, sets = head.probabilities(vectors), None, None
        if head.familiarity is not None:
            p = head.familiarity.p_values(vectors)
        if head.sets is not None:
            ids = np.array([str(row) for row in range(len(vectors))], dtype=object)
            unfamiliar = None if p is None else p < LEVEL
            predictions = Predictions(ids, values, head.classes, unfamiliar=unfamiliar)
            sets = head.sets.sets(predictions)
        return cls(values, p, sets)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Store how much an exported file, run by one library, differs from the original head.

    Parameters
    ----------
    runtime : str
        Name and version of the library that ran the file.
    batch, galaxies : int
        Number of galaxies per batch, and in total.
    largest : float
        Largest difference of a probability or vote fraction; of a number, divided by the range of
        all numbers.
    same_class : float, optional
        Fraction of galaxies with the same most probable class.
    familiarity : float, optional
        Largest difference of the familiarity p value.
    same_set : float, optional
        Fraction of galaxies with the same conformal class set.
    within : float
        Fraction of values that differ by `TOLERANCE` at most.
    """

    runtime: str
    batch: int
    galaxies: int
    largest: float
    same_class: float | None = None
    familiarity: float | None = None
    same_set: float | None = None
    within: float = 1.0


def agreements(
    data: bytes,
    head: Head,
    rows: npt.NDArray[Any],
    expected: Expected,
    *,
    fixed: int | None = None,
    few: bool = True,
) -> list[Agreement]:
    """Compare the exported file with the head, in every installed library that runs ONNX files.

    Parameters
    ----------
    data : bytes
        Content of the exported file.
    head : Head
        Head from which the file was made.
    rows : ndarray
        Pixels or embeddings of n galaxies, as the file reads them.
    expected : Expected
        Predictions of the head for these galaxies.
    fixed : int, optional
        Batch size, if the file accepts only one size.
    few : bool
        Predict fewer galaxies in small batches, because a backbone on pixels is slow.
    """
    found = []
    for name in installed():
        run, version = RUNTIMES[name](data), importlib.metadata.version(name)
        sizes = BATCHES if fixed is None else {fixed: GALAXIES}
        for batch, most in sizes.items():
            part = rows[: most if few else len(rows)]
            answer = _answers(run, part, batch)
            found.append(_compared(f"{name} {version}", batch, head, answer, expected))
    return found


def _answers(run: Run, rows: npt.NDArray[Any], batch: int) -> dict[str, npt.NDArray[Any]]:
    parts = [run(rows[start : start + batch]) for start in range(0, len(rows), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compared(
    runtime: str, batch: int, head: Head, answer: dict[str, npt.NDArray[Any]], expected: Expected
) -> Agreement:
    values = answer[main_output(head)]
    n = len(values)
    wanted = expected.values[:n]
    scale = float(np.ptp(wanted)) or 1.0 if head.target in VALUE_TARGETS else 1.0
    same_class = familiarity = same_set = None
    if head.target == "classes":
        same_class = float((answer[CLASS] == wanted.argmax(1)).mean())
    if expected.familiarity is not None:
        familiarity = float(np.abs(answer[FAMILIARITY] - expected.familiarity[:n]).max())
    if expected.sets is not None:
        same_set = float((answer[SET].astype(bool) == expected.sets[:n]).all(1).mean())
    apart = np.abs(values - wanted) / scale
    within = float((apart <= TOLERANCE).mean())
    largest = float(apart.max())
    return Agreement(runtime, batch, n, largest, same_class, familiarity, same_set, within)


def require_agreement(found: Sequence[Agreement], head: Head, where: object) -> None:
    """Refuse an exported file whose predictions differ from those of the head.

    Probabilities must agree within 1e-4, and numbers within 1e-4 of their range. Heads with trees
    or isotonic calibration jump at thresholds, so for these 95 % of the values must agree, and the
    class of every galaxy.

    Raises
    ------
    InputError
        The predictions differ; the message names the first difference.
    """
    stepped = has_steps(head.estimator)
    for each in found:
        place = f"{where} in {each.runtime}, batches of {each.batch}"
        remedy = SINGLE_PRECISION if head.target in VALUE_TARGETS else None
        if stepped and each.same_class is not None and each.same_class < 1:
            raise _disagrees(place, "give every galaxy the same class", each.same_class)
        if stepped and each.within < SAME_VALUES:
            rule = f"have {SAME_VALUES:.0%} of the values within {TOLERANCE:g}"
            raise _disagrees(place, rule, each.within, remedy)
        if not stepped and not each.largest <= TOLERANCE:
            raise _disagrees(place, f"differ by {TOLERANCE:g} at most", each.largest, remedy)
        if each.familiarity is not None and head.familiarity is not None:
            allowed = max(RANKS, 2 / (len(head.familiarity.distances) + 1))
            if not each.familiarity <= allowed:
                rule = f"have a familiarity_p within {allowed:.2g}"
                raise _disagrees(place, rule, each.familiarity)
        if each.same_set is not None and each.same_set < SAME_SETS:
            raise _disagrees(place, f"have {SAME_SETS:.0%} of the class sets", each.same_set)


def require_agreement_int8(found: Sequence[Agreement], where: object) -> None:
    """Refuse an 8-bit file that predicts another class than the head for over 2 % of galaxies.

    Raises
    ------
    InputError
        The message names the first library that gives this result.
    """
    for each in found:
        if each.same_class is None or each.same_class < SAME_CLASS_INT8:
            rule = f"give {SAME_CLASS_INT8:.0%} of the galaxies the same class"
            raise _disagrees(f"{where} in 8-bit integers, {each.runtime}", rule, each.same_class)


def _disagrees(where: str, rule: str, found: float | None, remedy: str | None = None) -> InputError:
    text = "nothing" if found is None else f"{found:.4g}"
    if remedy is None and "8-bit" not in where:
        remedy = "nothing is written; tell the authors"
    return InputError(
        "exported file says something else than the head",
        where=where,
        rule=rule,
        found=text,
        remedy=remedy or "nothing is written; export without --int8",
    )


def has_steps(estimator: Any) -> bool:
    """Return whether a head's predictions jump at thresholds (trees or isotonic calibration)."""
    return any(
        isinstance(part, BoostedTrees)
        or (isinstance(part, Calibrated) and part.method == "isotonic")
        for part in _parts(estimator)
    )


def _parts(fitted: Any) -> Iterator[Any]:
    """Yield an estimator and, recursively, all estimators inside it."""
    if isinstance(fitted, (list, tuple)):
        for each in fitted:
            yield from _parts(each)
    elif isinstance(fitted, BaseEstimator):
        yield fitted
        for value in vars(fitted).values():
            yield from _parts(value)
