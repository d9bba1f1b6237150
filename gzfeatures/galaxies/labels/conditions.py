"""Read the conditions on votes that define classes, and evaluate them for each galaxy.

======================= =====================================================================
`smooth >= 0.469`       a cut on an answer's fraction, or on a numeric column of the catalog
`bar-yes > bar-no`      one answer against another
`wins completely-round` the answer has the largest fraction of its question, without a tie
`winding in tm`         a letter of the gz2_class string, read in its place; `-` is no letter
`votes < 20 if known`   a cut on a column that a catalog may lack: without the column it
                        holds for no galaxy, and the labels report that it is not known
======================= =====================================================================

Answers are named as in `votes.ANSWERS`, by their Kaggle column (Class1.1) or by their GZ2 stem.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.votes.column_names import GZ2, KAGGLE
from gzfeatures.galaxies.votes.gz2_class_strings import LETTERS, Parts
from gzfeatures.galaxies.votes.votes import ANSWERS, QUESTIONS

Mask = npt.NDArray[np.bool_]

_OPERATORS: dict[
    str, Callable[[npt.NDArray[np.float64], float | npt.NDArray[np.float64]], Mask]
] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(
    r"""\s*(?: wins\s+(?P<winner>\S+)
      | (?P<part>[a-z]+)\s+in\s+(?P<letters>[A-Za-z0-9+?-]+)
      | (?P<left>[A-Za-z][^\s<>=]*)\s*(?P<op>>=|<=|>|<)\s*(?P<right>[^\s<>=]+)
        (?P<known>\s+if\s+known)? )\s*""",
    re.VERBOSE,
)
_ANSWER = {
    **{answer: answer for answer in ANSWERS},
    **{v: k for k, v in KAGGLE.items()},
    **{v: k for k, v in GZ2.items()},
}


_FLAG = "_flag"


class Cut(NamedTuple):
    """Compare a vote fraction or column with a number or with a second answer's vote fraction."""

    left: str
    op: str
    right: float | str
    optional: bool = False


class Wins(NamedTuple):
    """Require that an answer has the largest vote fraction among its question's answers, no tie."""

    answer: str


class Letter(NamedTuple):
    """Require one of given letters in a field of the GZ2 class string; "-" means no letter."""

    part: str
    letters: str


Condition = Cut | Wins | Letter


def answer_name(text: str) -> str:
    """Return gzfeatures' name of a vote answer; accept the names of Kaggle and GZ2 columns too.

    Examples
    --------
    >>> answer_name("Class1.1")
    'smooth'
    """
    if text not in _ANSWER:
        raise unknown("answer", text, ANSWERS)
    return _ANSWER[text]


def parse(text: str, *, where: object = "scheme") -> Condition:
    """Read one condition that defines a class, such as `smooth >= 0.469`, from text.

    Raises
    ------
    InputError
        The text has none of the forms in the table at the top of this module, or its threshold is
        not finite, or is compared with a vote fraction and lies outside [0, 1]; or the class string
        cannot have such a letter in this field.
    UnknownNameError
        The text names an unknown answer, or an unknown letter field of the class string.

    Examples
    --------
    >>> parse("smooth >= 0.469")
    Cut(left='smooth', op='>=', right=0.469, optional=False)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InputError(
            "condition cannot be read",
            where=where,
            rule="look like 'smooth >= 0.5', 'bar-yes > bar-no', 'wins smooth' or 'winding in tm'",
            found=text,
        )
    if match["winner"]:
        return Wins(answer_name(match["winner"]))
    if match["part"]:
        if match["part"] not in Parts._fields:
            raise unknown("part of gz2_class", match["part"], Parts._fields)
        legal = getattr(LETTERS, match["part"])
        if not set(match["letters"]) <= {*legal, "-"}:
            raise InputError(
                f"letter of {match['part']}",
                where=where,
                rule=f"be one of {', '.join(legal)}, or - for none",
                found=text,
            )
        return Letter(match["part"], match["letters"])
    left = _ANSWER.get(match["left"], match["left"])
    optional = bool(match["known"])
    try:
        limit = float(match["right"])
    except ValueError:
        return Cut(left, match["op"], answer_name(match["right"]), optional)
    if not np.isfinite(limit):
        raise InputError("threshold", where=where, rule="be a finite number", found=text)
    if left in GZ2 and not 0 <= limit <= 1:
        raise InputError(
            "threshold of a vote fraction",
            where=where,
            rule="lie in [0, 1]",
            found=text,
            remedy="write 0.3 for 30 per cent" if limit > 1 else None,
        )
    return Cut(left, match["op"], limit, optional)


def flags_of(condition: Condition) -> tuple[str, ...]:
    """Return the GZ2 flag columns of all answers to the question that a condition is about."""
    if not isinstance(condition, Cut) or not condition.left.endswith(_FLAG):
        return ()
    answer = _ANSWER.get(condition.left.removesuffix(_FLAG))
    if answer is None:
        return ()
    answers = next(group for group in QUESTIONS.values() if answer in group)
    return tuple(GZ2[name] + _FLAG for name in answers)


def answers_of(condition: Condition) -> tuple[str, ...]:
    """Return the Galaxy Zoo answers whose vote fractions the condition needs."""
    if isinstance(condition, Wins):
        return next(answers for answers in QUESTIONS.values() if condition.answer in answers)
    if isinstance(condition, Letter):
        return ()
    return tuple(
        name for name in (condition.left, condition.right) if isinstance(name, str) and name in GZ2
    )


class Facts(NamedTuple):
    """Store functions by which conditions of class schemes look up the values of n galaxies.

    Parameters
    ----------
    fraction : callable
        Answer → its fractions, shape (n,), NaN = not asked or unknown.
    column : callable
        Name → a numeric column of the catalog, shape (n,).
    letter : callable
        Field of the class string, such as winding → each galaxy's letter, shape (n,), str.
    has_column : callable
        Name → whether the catalog has that column.
    unasked : callable
        Answer → whether it is known that nobody was asked its question, shape (n,), bool.
    most : callable
        Answer → largest possible fraction, shape (n,): the fraction itself where it is known;
        elsewhere the fraction of volunteers who can have reached the question.
    """

    fraction: Callable[[str], npt.NDArray[np.float64]]
    column: Callable[[str], npt.NDArray[np.float64]]
    letter: Callable[[str], npt.NDArray[np.str_]]
    has_column: Callable[[str], bool]
    unasked: Callable[[str], Mask]
    most: Callable[[str], npt.NDArray[np.float64]]


def unknowable(condition: Condition, facts: Facts) -> bool:
    """Return whether a condition marked "if known" tests a column or votes the catalog lacks."""
    return (
        isinstance(condition, Cut) and condition.optional and not facts.has_column(condition.left)
    )


_DIGITS = 12
"""Digits of a vote fraction that are compared: 0.1 + 0.2 is 0.3, not larger."""


def _rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return vote fractions without the errors of sums, products and quotients of fractions."""
    return np.asarray(np.round(values, _DIGITS))


def holds(condition: Condition, facts: Facts) -> Mask:
    """Return for each galaxy whether a condition holds, shape (n,); False where values are NaN."""
    if isinstance(condition, Letter):
        letters = ["" if letter == "-" else letter for letter in condition.letters]
        return np.isin(facts.letter(condition.part), letters)
    if isinstance(condition, Wins):
        fraction = _rounded(facts.fraction(condition.answer))
        rivals = [
            _rounded(facts.fraction(answer))
            for answer in answers_of(condition)
            if answer != condition.answer
        ]
        # the answer must exceed the largest of its rivals, because with a tie no answer wins
        return np.asarray(fraction > np.max(rivals, axis=0))
    if condition.left in GZ2:
        left = _rounded(facts.fraction(condition.left))
    else:
        left = facts.column(condition.left)
    return _OPERATORS[condition.op](left, _right(condition, facts))


def _right(condition: Cut, facts: Facts) -> float | npt.NDArray[np.float64]:
    """Return what a condition compares with: a number, or an answer's fractions, shape (n,)."""
    if isinstance(condition.right, str):
        return _rounded(facts.fraction(condition.right))
    # round a limit such as 0.333333333333333 like the fractions it is compared with
    return round(condition.right, _DIGITS) if condition.left in GZ2 else condition.right


def decided(condition: Condition, facts: Facts) -> Mask:
    """Return for each galaxy whether its votes suffice to decide the condition, shape (n,).

    If nobody was asked a question, its answers are known to have no votes. A fraction is at most
    the fraction of volunteers who reached the question: if 4 % saw features, fewer than half of all
    saw an edge-on disk.
    """
    if isinstance(condition, Letter):
        return np.ones(len(facts.letter(condition.part)), dtype=bool)
    parts = [
        ~np.isnan(facts.fraction(answer)) | facts.unasked(answer)
        for answer in answers_of(condition)
    ]
    if isinstance(condition, Cut) and condition.left not in GZ2:
        parts.append(~np.isnan(facts.column(condition.left)))
    sure = np.asarray(np.logical_and.reduce(parts))
    # "larger than" is known to be false if even the largest possible vote fraction is below the
    # limit
    if isinstance(condition, Cut) and condition.left in GZ2 and condition.op in (">", ">="):
        right, most = _right(condition, facts), _rounded(facts.most(condition.left))
        below = ~_OPERATORS[condition.op](most, right) & ~np.isnan(right)
        sure |= np.asarray(below)
    return sure


def all_hold(conditions: tuple[Condition, ...], facts: Facts) -> Mask:
    """Return for each galaxy whether all conditions of a class hold, shape (n,)."""
    return np.asarray(np.logical_and.reduce([holds(condition, facts) for condition in conditions]))


def undecided(conditions: tuple[Condition, ...], facts: Facts) -> Mask:
    """Return where missing votes leave it unknown whether all conditions hold, shape (n,), bool."""
    true = np.stack([holds(condition, facts) for condition in conditions])
    sure = np.stack([decided(condition, facts) for condition in conditions])
    # undecided: no condition is known to be false, and at least one is unknown; a single false
    # condition would exclude the class for certain
    return np.asarray((true | ~sure).all(axis=0) & ~sure.all(axis=0))
