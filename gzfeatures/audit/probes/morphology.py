"""Turn labels into numbers for each galaxy, from which linear models predict nuisances."""

from __future__ import annotations

import dataclasses

import numpy as np

from gzfeatures.audit.probes.ridge import Matrix
from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.votes.votes import QUESTIONS
from gzfeatures.ids import Ids

FIRST = QUESTIONS["smooth-or-features"]
"""Answers of the first question, which every volunteer is asked."""


@dataclasses.dataclass(frozen=True, eq=False)
class Morphology:
    """Store each galaxy's morphology as numbers, such as vote fractions, and as a class.

    Parameters
    ----------
    ids : Ids
        Shape (n,).
    numbers : ndarray of float64
        Vote fractions, or one-hot classes, shape (n, q).
    classes : Labels, optional
        One class of each galaxy; None if the labels are neither classes nor votes on the first
        question.
    description : str
        What the numbers are, in words.
    names : tuple of str
        Names of the q numbers.
    """

    ids: Ids
    numbers: Matrix
    classes: Labels | None
    description: str
    names: tuple[str, ...]


def morphology_of(labels: Labels) -> Morphology:
    """Turn labels into numbers (vote fractions or one-hot classes) and a class for each galaxy.

    Parameters
    ----------
    labels : Labels
        Classes, several classes, or vote fractions; a fraction without any votes counts as 0.

    Returns
    -------
    Morphology
        If the labels are vote fractions, a galaxy's class is its most frequent answer to the first
        question.

    Raises
    ------
    InputError
        The labels are numbers such as redshifts, or fewer than two classes.
    """
    if labels.target not in ("classes", "fractions", "multi-label"):
        raise InputError(
            "labels of an audit", rule="be classes or vote fractions", found=labels.target
        )
    if labels.target == "classes":
        codes = np.unique(labels.codes)
        if len(codes) < 2:
            raise InputError("classes of an audit", rule="be two or more", found=len(codes))
        numbers = np.asarray(labels.codes[:, None] == codes, dtype=np.float64)
        names = tuple(labels.classes[code] for code in codes)
        return Morphology(labels.ids, numbers, labels, f"{len(codes)} classes", names)
    numbers = np.nan_to_num(np.asarray(labels.values, dtype=np.float64))
    kind = "vote fractions" if labels.target == "fractions" else "classes, several of a galaxy"
    description = f"{numbers.shape[1]} {kind}"
    return Morphology(labels.ids, numbers, _first_answers(labels), description, labels.classes)


def _first_answers(labels: Labels) -> Labels | None:
    """Return labels whose class is each galaxy's most frequent answer to the first question.

    Return None if the given labels have no column for one of its answers.
    """
    if not set(FIRST) <= set(labels.classes):
        return None
    columns = [labels.classes.index(answer) for answer in FIRST]
    fractions = np.asarray(labels.values, dtype=np.float64)[:, columns]
    voted = np.isfinite(fractions).all(1)
    return Labels(
        labels.ids[voted], FIRST, fractions[voted].argmax(1), scheme="the first question's answers"
    )
