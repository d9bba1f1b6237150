"""Define the Galaxy Zoo 2 decision tree, and tables of vote counts and vote fractions.

The tree is that of Willett+2013 (doi:10.1093/mnras/stt1458, table 2): 11 questions, 37 answers. A
volunteer starts at `smooth-or-features` and follows `NEXT` from answer to question until it says
None. `PARENTS` gives the answer after which a question is asked. The question `odd` is asked on
every path, so it has no parent, and its fractions are of all volunteers.

Three kinds of vote table are kept apart by type: `Counts` (votes), `Conditional` (fraction of those
who were asked the question: Hart+2016 and Willett+2013 columns) and `Cumulative` (fraction of all
volunteers: the Kaggle columns).
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.ids import Ids

Matrix: TypeAlias = npt.NDArray[np.float64]
Measure: TypeAlias = Literal["count", "weight", "fraction", "weighted", "debiased"]

QUESTIONS: dict[str, tuple[str, ...]] = {
    "smooth-or-features": ("smooth", "features-or-disk", "star-or-artifact"),
    "edge-on": ("edge-on-yes", "edge-on-no"),
    "bar": ("bar-yes", "bar-no"),
    "spiral": ("spiral-yes", "spiral-no"),
    "bulge-prominence": ("bulge-none", "bulge-just-noticeable", "bulge-obvious", "bulge-dominant"),
    "odd": ("odd-yes", "odd-no"),
    "rounded": ("completely-round", "in-between", "cigar-shaped"),
    "odd-feature": (
        "ring",
        "lens-or-arc",
        "disturbed",
        "irregular",
        "other",
        "merger",
        "dust-lane",
    ),
    "bulge-shape": ("bulge-shape-rounded", "bulge-shape-boxy", "bulge-shape-none"),
    "arms-winding": ("winding-tight", "winding-medium", "winding-loose"),
    "arms-number": ("arms-1", "arms-2", "arms-3", "arms-4", "arms-more-than-4", "arms-cant-tell"),
}
"""Answers of each question, in the order of the catalogs (Kaggle Class1–11, GZ2 t01–t11)."""

ANSWERS: tuple[str, ...] = tuple(answer for answers in QUESTIONS.values() for answer in answers)
"""Names of all 37 answers, in the order of the vote columns."""

PARENTS: dict[str, str | None] = {
    "smooth-or-features": None,
    "edge-on": "features-or-disk",
    "bar": "edge-on-no",
    "spiral": "edge-on-no",
    "bulge-prominence": "edge-on-no",
    "odd": None,
    "rounded": "smooth",
    "odd-feature": "odd-yes",
    "bulge-shape": "edge-on-yes",
    "arms-winding": "spiral-yes",
    "arms-number": "spiral-yes",
}
"""Answer that leads to each question; None if every volunteer is asked the question."""

_AFTER_ALL_ANSWERS: dict[str, str | None] = {
    "bar": "spiral",
    "bulge-prominence": "odd",
    "rounded": "odd",
    "odd-feature": None,
    "bulge-shape": "odd",
    "arms-winding": "arms-number",
    "arms-number": "bulge-prominence",
}

NEXT: dict[str, str | None] = {
    **{
        answer: after
        for question, after in _AFTER_ALL_ANSWERS.items()
        for answer in QUESTIONS[question]
    },
    "smooth": "rounded",
    "features-or-disk": "edge-on",
    "star-or-artifact": None,
    "edge-on-yes": "bulge-shape",
    "edge-on-no": "bar",
    "spiral-yes": "arms-winding",
    "spiral-no": "bulge-prominence",
    "odd-yes": "odd-feature",
    "odd-no": None,
}
"""Question that follows each answer; None where the classification ends."""

COLUMNS: dict[str, slice] = {}
"""Slice of each question's columns among the 37 vote columns."""
for _question, _answers in QUESTIONS.items():
    _first = ANSWERS.index(_answers[0])
    COLUMNS[_question] = slice(_first, _first + len(_answers))


def columns(question: str) -> slice:
    """Return the slice of a question's columns in the matrix of votes for 37 answers.

    Raises
    ------
    UnknownNameError
        No question has this name.

    Examples
    --------
    >>> columns("edge-on")
    slice(3, 5, None)
    """
    if question not in COLUMNS:
        raise unknown("question", question, QUESTIONS)
    return COLUMNS[question]


@dataclasses.dataclass(frozen=True, eq=False)
class _VoteTable(abc.ABC):
    """Store galaxy ids, and a matrix of their vote counts or fractions for 37 answers."""

    ids: Ids
    values: Matrix
    measure: Measure

    _lowest = 0.0
    _highest = 1.0

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(ANSWERS))
        if self.values.shape != shape:
            raise InputError(
                "votes do not fit their ids", rule=f"have shape {shape}", found=self.values.shape
            )
        bad = (self.values < self._lowest) | (self.values > self._highest)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            raise InputError(
                f"{self.measure} of '{ANSWERS[column]}' out of range",
                where=f"galaxy {self.ids[row]}",
                rule=f"lie in [{self._lowest:g}, {self._highest:g}]",
                found=float(self.values[row, column]),
                remedy=f"correct or drop these {int(bad.any(1).sum())} galaxies",
            )

    def __len__(self) -> int:
        return len(self.ids)

    def question(self, question: str) -> Matrix:
        """Return the votes for all answers of a question, shape (n, number of answers)."""
        return self.values[:, columns(question)]

    def answer(self, answer: str) -> Matrix:
        """Return the votes for one answer, shape (n,).

        Raises
        ------
        UnknownNameError
            No answer has this name.
        """
        if answer not in ANSWERS:
            raise unknown("answer", answer, ANSWERS)
        return self.values[:, ANSWERS.index(answer)]


class Counts(_VoteTable):
    """Store vote counts per answer: float64 ≥ 0, shape (n, 37), NaN where nobody was asked.

    `measure` is count or weight.
    """

    _highest = float("inf")

    def conditional(self) -> Conditional:
        """Return vote fractions among the volunteers who answered a question; NaN if nobody did."""
        values = np.full_like(self.values, np.nan)
        for part in COLUMNS.values():
            asked = self.values[:, part].sum(axis=1, keepdims=True)
            np.divide(self.values[:, part], asked, out=values[:, part], where=asked > 0)
        return Conditional(self.ids, values, "fraction" if self.measure == "count" else "weighted")


class Conditional(_VoteTable):
    """Store vote fractions among those asked a question: float64 in [0, 1], shape (n, 37).

    NaN where nobody was asked. `measure` is fraction, weighted or debiased; debiased answers need
    not sum to 1.
    """

    def path(self, answer: str) -> Matrix:
        """Return the fraction of volunteers who reached the question of an answer, shape (n,).

        NaN where it is not known.

        Raises
        ------
        UnknownNameError
            No answer has this name.
        """
        fractions = self.answer(answer)
        parent = PARENTS[next(name for name, answers in QUESTIONS.items() if answer in answers)]
        if parent is None:
            return np.ones_like(fractions)
        # multiply the fractions along the path of questions; zero times an unknown fraction is
        # zero, because no volunteer reached the later question
        before = self.path(parent)
        return np.where(before == 0, 0.0, before * self.answer(parent))

    def cumulative(self) -> Cumulative:
        """Convert fractions of those who reached each question to fractions of all volunteers.

        If no volunteer reached the question, the result is zero, even for a missing fraction;
        otherwise a missing fraction stays NaN.
        """
        values = np.empty_like(self.values)
        # a question comes after its parent in the list, so the result for its parent answer is
        # already computed
        for question, part in COLUMNS.items():
            parent = PARENTS[question]
            if parent is None:
                values[:, part] = self.values[:, part]
            else:
                path = values[:, ANSWERS.index(parent), None]
                values[:, part] = np.where(path == 0, 0.0, path * self.values[:, part])
        return Cumulative(self.ids, values, self.measure)


class Cumulative(_VoteTable):
    """Store vote fractions among all volunteers: float64 in [0, 1] or NaN, shape (n, 37)."""

    def conditional(self) -> Conditional:
        """Convert fractions among all volunteers to fractions among those who reached the question.

        Rounding in published tables can make a fraction larger than that of its question by some
        parts in a million; the result is then 1.
        """
        values = np.full_like(self.values, np.nan)
        for question, part in COLUMNS.items():
            parent = PARENTS[question]
            path = np.ones((len(self), 1)) if parent is None else self.answer(parent)[:, None]
            fractions = self.values[:, part]
            rounded = (fractions > path) & (fractions <= path + _ROUNDING)
            fractions = np.where(rounded, path, fractions)
            np.divide(fractions, path, out=values[:, part], where=path > 0)
        return Conditional(self.ids, values, self.measure)


_ROUNDING = 1e-5


def inconsistencies(
    votes: Conditional | Cumulative, tolerance: float = 1e-5
) -> dict[str, npt.NDArray[Any]]:
    """Return, for each question, the rows whose vote fractions do not sum to the expected value.

    Fractions of all volunteers sum to the fraction of the parent answer (to 1 for questions without
    a parent); fractions of those asked sum to 1.

    Parameters
    ----------
    votes : Conditional or Cumulative
        Rows in which a fraction of the question is NaN are ignored. Debiased fractions have no sum
        rule.
    tolerance : float
        Largest allowed absolute difference. In the Kaggle table differences are at most 2e-6.
    """
    rows_of: dict[str, npt.NDArray[Any]] = {}
    for question in QUESTIONS:
        parent = PARENTS[question]
        expected: Matrix | float = 1.0
        if isinstance(votes, Cumulative) and parent is not None:
            expected = votes.answer(parent)
        # if a question was not asked, its fractions are NaN; the comparison is then False, so the
        # row is not listed
        rows = np.flatnonzero(np.abs(votes.question(question).sum(axis=1) - expected) > tolerance)
        if len(rows):
            rows_of[question] = rows
    return rows_of
