"""LabelScheme: a rule from votes or class strings to classes, as data, and the one function that applies it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies import gz2class
from gzfeatures.galaxies.catalog import Catalog
from gzfeatures.galaxies.conditions import (
    Condition,
    Facts,
    Letter,
    Mask,
    all_hold,
    answer_name,
    answers_of,
    parse,
    unknowable,
)
from gzfeatures.galaxies.ids import Ids, uniform
from gzfeatures.galaxies.kinds import CLASS_STRINGS
from gzfeatures.galaxies.labels import Labels, Target
from gzfeatures.galaxies.votecolumns import Form
from gzfeatures.galaxies.votes import GZ2_SUFFIXES, QUESTIONS, Measure

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
RAW: tuple[Measure, ...] = ("weighted", "fraction", "count", "debiased")
"""Measures in the order the cuts on Kaggle fractions prefer them."""

NO_RULE = "no rule claims it"
TWO_RULES = "two rules claim it"
NO_VOTES = "votes are missing"
NO_STRING = "gz2_class is missing or cannot be read"
NO_CLASS = "class column is empty"
UNKNOWABLE = ": not known in this catalog"
_UNREAD = "?"


@dataclasses.dataclass(frozen=True, eq=False)
class LabelScheme:
    """Classes, and what makes a galaxy belong to them.

    Parameters
    ----------
    name : str
        Lower case with hyphens.
    classes : mapping of str to conditions
        Class → conditions that must all hold, as text (see `conditions`). For `fractions`, class → (answer,); for a
        drawn class or one that is only read from `column`, no condition.
    source : str
        Paper, repository or person the rule comes from.
    target : {"classes", "multi-label", "fractions"}
        One class per galaxy; several booleans; or the vote fractions themselves.
    form : {"cumulative", "conditional"}
        Which fractions the conditions mean (see `votes`).
    measures : tuple of str
        Measures in order of preference; the first the catalog has is used.
    leave_out : mapping of str to conditions
        Reason → conditions; a galaxy for which all hold gets no label. Where the catalog lacks the column of a
        condition that ends in "if known", the reason is reported as not known, with no galaxies.
    on_conflict : {"leave-out", "first"}
        What becomes of a galaxy that two classes claim. Either way it is listed in `Labels.conflicts`.
    reading : {"place", "anywhere"}
        How gz2_class strings are read (see `gz2class.parse`).
    soft : mapping of str to str
        Class → the answer whose fraction is its soft label; empty = none are given.
    draw : bool
        The class is drawn with the probabilities of `soft`, in place of conditions.
    column : str, optional
        Column of ready class names, used where the catalog has no votes.

    Raises
    ------
    InputError
        A name, condition or combination of fields is not legal.
    UnknownNameError
        An answer or a part of the class string does not exist.
    """

    name: str
    classes: Mapping[str, tuple[str, ...]]
    source: str = ""
    target: Target = "classes"
    form: Form = "cumulative"
    measures: tuple[Measure, ...] = RAW
    leave_out: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    on_conflict: str = "leave-out"
    reading: gz2class.Reading = "place"
    soft: Mapping[str, str] = dataclasses.field(default_factory=dict)
    draw: bool = False
    column: str | None = None

    def __post_init__(self) -> None:
        where = f"scheme {self.name}"
        for name in (self.name, *self.classes):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise InputError("name", where=where, rule="be lower case letters and digits with hyphens", found=name)
        if len(self.classes) < 2:
            raise InputError(
                "scheme has too few classes", where=where, rule="have two or more", found=list(self.classes)
            )
        legal: tuple[tuple[str, object, tuple[str, ...]], ...] = (
            ("target", self.target, ("classes", "multi-label", "fractions")),
            ("form", self.form, ("cumulative", "conditional")),
            ("on_conflict", self.on_conflict, ("leave-out", "first")),
            ("reading", self.reading, ("place", "anywhere")),
            *(("measures", measure, tuple(GZ2_SUFFIXES)) for measure in self.measures),
        )
        for field, value, allowed in legal:
            if value not in allowed:
                raise InputError(field, where=where, rule=f"be one of {', '.join(allowed)}", found=value)
        for conditions in (*self.classes.values(), *self.leave_out.values()):
            for text in conditions if self.target != "fractions" else ():
                parse(text, where=where)
        if (self.soft or self.draw) and set(self.soft) != set(self.classes):
            raise InputError("soft labels", where=where, rule="name an answer for each class", found=dict(self.soft))
        self._answer_of_class()
        if self.target == "classes" and not self.draw and self.column is None and not all(self.classes.values()):
            raise InputError(
                "class without conditions", where=where, rule="have at least one", found=dict(self.classes)
            )

    def _answer_of_class(self) -> dict[str, str]:
        """Class → the answer whose fraction is its soft label, or its value."""
        texts = {k: "".join(v) for k, v in self.classes.items()} if self.target == "fractions" else self.soft
        return {name: answer_name(text) for name, text in texts.items()}

    def label(self, catalog: Catalog, seed: int = 0) -> Labels:
        """Label the galaxies of a catalog.

        Parameters
        ----------
        catalog : Catalog
            Has the votes, class strings or columns that the scheme looks at.
        seed : int
            For drawn classes; a galaxy's draw depends on its id and the seed alone.

        Returns
        -------
        Labels
            With soft vote fractions where the scheme defines them (0 for an answer that nobody was asked about), the
            left-outs by reason, and the conflicts.

        Raises
        ------
        InputError
            The catalog lacks something the scheme needs.
        """
        ready = self._ready(catalog)
        if ready is not None:
            return ready
        n, facts = len(catalog), self._facts(catalog)
        soft = self._soft(facts, n)
        reasons: dict[str, Mask] = {}
        if self._needs_string:
            reasons[NO_STRING] = np.asarray(facts.letter("form") == _UNREAD)
        if self._answers:
            asked_of_all = [answer for answer in self._answers if answer in QUESTIONS["smooth-or-features"]]
            reasons[NO_VOTES] = self._unknown(facts, asked_of_all, n)
        for reason, texts in self.leave_out.items():
            if any(unknowable(condition, facts) for condition in _parsed(texts)):
                reasons[reason + UNKNOWABLE] = np.zeros(n, dtype=bool)
            else:
                reasons[reason] = all_hold(_parsed(texts), facts)
        if self.target == "fractions":
            return self._labels(catalog, soft, reasons)
        if self.draw:
            return self._labels(catalog, self._drawn(soft, catalog.ids, seed), reasons, soft)
        claims = np.stack([all_hold(_parsed(conditions), facts) for conditions in self.classes.values()], axis=1)
        if self.target == "multi-label":
            return self._labels(catalog, claims, reasons, soft)
        claimants = np.asarray(claims.sum(axis=1))
        unclaimed, conflict = claimants == 0, claimants > 1
        if self._answers and self.form == "cumulative":
            reasons[NO_VOTES] = reasons[NO_VOTES] | (unclaimed & self._unknown(facts, self._answers, n))
        reasons[NO_RULE] = unclaimed
        if self.on_conflict == "leave-out":
            reasons[TWO_RULES] = conflict
        return self._labels(catalog, claims.argmax(axis=1), reasons, soft, conflict)

    @property
    def _conditions(self) -> list[Condition]:
        if self.target == "fractions":
            return []
        return [c for texts in (*self.classes.values(), *self.leave_out.values()) for c in _parsed(texts)]

    @property
    def _answers(self) -> tuple[str, ...]:
        """Answers whose fractions the rule needs."""
        needed = [answer for condition in self._conditions for answer in answers_of(condition)]
        return tuple(dict.fromkeys([*needed, *self._answer_of_class().values()]))

    @property
    def _needs_string(self) -> bool:
        return any(isinstance(condition, Letter) for condition in self._conditions)

    def _facts(self, catalog: Catalog) -> Facts:
        """What the conditions look at; votes and letters are read when the first condition asks for them."""
        votes = cache(lambda: catalog.votes(self.form, self.measures, self._answers))
        letters = cache(lambda: self._letters(catalog))
        return Facts(
            fraction=lambda answer: votes().answer(answer),
            column=catalog.column,
            letter=lambda part: letters()[part],
            has_column=catalog.has_column,
        )

    def _letters(self, catalog: Catalog) -> dict[str, npt.NDArray[np.str_]]:
        name = next((column for column in CLASS_STRINGS if column in catalog.frame), None)
        if name is None:
            raise InputError(
                "no class strings",
                where=f"{catalog.kind} catalog {catalog.source}",
                rule=f"have a column {' or '.join(CLASS_STRINGS)}",
                remedy=f"scheme {self.name} works on Hart+2016 and Willett+2013 tables",
            )
        distinct, codes = gz2class.parse_column(catalog.frame[name], self.reading)
        return {part: np.append(distinct[part].to_numpy(dtype="U1"), _UNREAD)[codes] for part in distinct.columns}

    @staticmethod
    def _unknown(facts: Facts, answers: Collection[str], n: int) -> Mask:
        """Galaxies for which one of these fractions is NaN, shape (n,)."""
        return np.asarray(np.isnan([np.zeros(n), *map(facts.fraction, answers)]).any(axis=0))

    def _soft(self, facts: Facts, n: int) -> npt.NDArray[np.float64]:
        """Fraction of each class, shape (n, k); (n, 0) where the scheme gives none."""
        answers = self._answer_of_class()
        if not answers:
            return np.empty((n, 0))
        return np.stack([facts.fraction(answers[name]) for name in self.classes], axis=1)

    def _drawn(self, soft: npt.NDArray[np.float64], ids: Ids, seed: int) -> npt.NDArray[np.int64]:
        cumulated = np.cumsum(soft, axis=1)
        drawn = uniform(ids, seed)[:, None] * cumulated[:, -1:]
        return np.asarray(np.minimum((cumulated <= drawn).sum(axis=1), len(self.classes) - 1))

    def _ready(self, catalog: Catalog) -> Labels | None:
        """Labels from a column of ready class names, where the catalog has one and no votes."""
        if self.column is None or self.column not in catalog.frame or catalog.has_votes(self.measures, self._answers):
            return None
        names = catalog.frame[self.column]
        codes = names.map({name: code for code, name in enumerate(self.classes)}).to_numpy(dtype=float, na_value=np.nan)
        strange = np.isnan(codes) & names.notna().to_numpy() & (names != "").to_numpy()
        if strange.any():
            raise InputError(
                "unknown class name",
                where=f"catalog {catalog.source}, galaxy {catalog.ids[np.argmax(strange)]}",
                rule=f"be one of {', '.join(self.classes)} or empty",
                found=str(names.iloc[int(np.argmax(strange))]),
            )
        empty = np.isnan(codes)
        return self._labels(catalog, np.where(empty, 0, codes).astype(np.int64), {NO_CLASS: empty})

    def _labels(
        self,
        catalog: Catalog,
        values: npt.NDArray[Any],
        reasons: Mapping[str, Mask],
        soft: npt.NDArray[np.float64] | None = None,
        conflict: Mask | None = None,
    ) -> Labels:
        """Labels of the galaxies that no reason leaves out; a galaxy is listed under its first reason."""
        out = np.zeros(len(catalog), dtype=bool)
        left_out = {}
        for reason, rows in reasons.items():
            if (rows & ~out).any() or reason.endswith(UNKNOWABLE):
                left_out[reason] = catalog.ids[rows & ~out]
            out |= rows
        keep = ~out
        return Labels(
            ids=catalog.ids[keep],
            classes=tuple(self.classes),
            values=values[keep],
            target=self.target,
            scheme=self.name,
            left_out=left_out,
            conflicts=catalog.ids[:0] if conflict is None else catalog.ids[conflict],
            soft=np.nan_to_num(soft[keep]) if soft is not None and soft.size else None,
        )


@cache
def _parsed(texts: tuple[str, ...]) -> tuple[Condition, ...]:
    return tuple(parse(text) for text in texts)
