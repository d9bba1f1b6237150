"""Define class schemes: conditions on votes, stored as data, that give galaxies their classes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from typing import Literal, cast

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.classes_from_votes import NONE_OF_THESE, OWN_REASONS, Labelling
from gzfeatures.galaxies.labels.conditions import Condition, Letter, answer_name, answers_of, parse
from gzfeatures.galaxies.labels.labels import Labels, Target
from gzfeatures.galaxies.votes import gz2_class_strings
from gzfeatures.galaxies.votes.column_names import GZ2_SUFFIXES
from gzfeatures.galaxies.votes.vote_columns import ANY, RAW, Choice, Form
from gzfeatures.galaxies.votes.votes import Measure

Others = Literal["class", "left out"]
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclasses.dataclass(frozen=True, eq=False)
class LabelScheme:
    """Define a class scheme: its classes, and the conditions under which a galaxy has each class.

    Parameters
    ----------
    name : str
        Lower case with hyphens.
    classes : mapping of str to conditions
        Class → conditions that must all hold, as text (see `conditions`). For `fractions`, class →
        (answer,); for a drawn class or one that is only read from `column`, no condition.
    source : str
        Paper, repository or person from which the rules come.
    target : {"classes", "multi-label", "fractions"}
        One class per galaxy; several booleans; or the vote fractions themselves.
    form : {"cumulative", "conditional"}
        Kind of fraction in the conditions: of all volunteers, or of those asked (see `votes`).
    measures : tuple of str
        Kinds of votes (such as `debiased`) in order of preference; the first that the catalog has
        is used.
    leave_out : mapping of str to conditions
        Reason → conditions; a galaxy for which all conditions hold gets no label. If a condition
        ends in "if known" and the catalog lacks its column, the reason excludes no galaxy, and is
        reported as not known.
    on_conflict : {"leave-out", "first"}
        What happens to a galaxy that fulfils the conditions of two classes: it gets no label, or
        the first of these classes. `Labels.conflicts` lists it in both cases.
    reading : {"place", "anywhere"}
        How gz2_class strings are read (see `gz2_class_strings.parse`).
    soft : mapping of str to str
        Class → the answer whose fraction is the soft label of the class; empty = no soft labels.
    draw : bool
        Draw the class at random with the vote fractions of `soft` as probabilities, instead of by
        conditions.
    column : str, optional
        Column of ready class names, used where the catalog has no votes.
    others : {"left out", "class"}
        What happens to a galaxy whose votes are known and fulfil the conditions of no class: it
        gets no label, or the class `none-of-these`, which is then the last class; the labels then
        have no soft labels. Galaxies left out for other reasons stay left out. Only for a scheme
        with one class per galaxy.

    Raises
    ------
    InputError
        A name, a condition, or a combination of fields is not allowed.
    UnknownNameError
        A condition names an unknown answer, or an unknown letter field of the class string.
    """

    name: str
    classes: Mapping[str, tuple[str, ...]]
    source: str = ""
    target: Target = "classes"
    form: Form = "cumulative"
    measures: tuple[Measure, ...] = RAW
    leave_out: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    on_conflict: str = "leave-out"
    reading: gz2_class_strings.Reading = "place"
    soft: Mapping[str, str] = dataclasses.field(default_factory=dict)
    draw: bool = False
    column: str | None = None
    others: Others = "left out"

    def __post_init__(self) -> None:
        self._require_names()
        self._require_legal_words()
        self._require_one_class()
        self._require_others_possible()
        self._require_conditions()

    @property
    def _where(self) -> str:
        """Return the name of the class scheme for error messages."""
        return f"scheme {self.name}"

    def _require_names(self) -> None:
        """Refuse names that are no lower-case words or are taken, and fewer than two classes."""
        for name in (self.name, *self.classes):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise InputError(
                    "name",
                    where=self._where,
                    rule="be lower case letters and digits with hyphens",
                    found=name,
                )
        # under a name that has a meaning already, one of the two reasons would leave no galaxy out
        if taken := [reason for reason in self.leave_out if reason in OWN_REASONS]:
            raise InputError(
                "reason to leave out",
                where=self._where,
                rule="have a name of its own",
                found=taken[0],
                remedy="choose another name",
            )
        if len(self.classes) < 2:
            raise InputError(
                "scheme has too few classes",
                where=self._where,
                rule="have two or more",
                found=list(self.classes),
            )

    def _require_legal_words(self) -> None:
        """Refuse a field of the class scheme whose value is not one of the allowed words."""
        legal: tuple[tuple[str, object, tuple[str, ...]], ...] = (
            ("target", self.target, ("classes", "multi-label", "fractions")),
            ("form", self.form, ("cumulative", "conditional")),
            ("on_conflict", self.on_conflict, ("leave-out", "first")),
            ("reading", self.reading, ("place", "anywhere")),
            ("others", self.others, ("class", "left out")),
            *(("measures", measure, tuple(GZ2_SUFFIXES)) for measure in self.measures),
        )
        for field, value, allowed in legal:
            if value not in allowed:
                raise InputError(
                    field, where=self._where, rule=f"be one of {', '.join(allowed)}", found=value
                )

    def _require_one_class(self) -> None:
        """Refuse classes that are drawn or read from a column, unless a galaxy has one class."""
        for field, given in (("draw", self.draw), ("column", self.column is not None)):
            if given and self.target != "classes":
                raise InputError(
                    field,
                    where=self._where,
                    rule="be left out of a scheme without one class per galaxy",
                    found=f"target {self.target}",
                )
        # a scheme that draws classes reads no rules, so their author would wait for them in vain
        if self.draw and any(self.classes.values()):
            raise InputError(
                "conditions of drawn classes",
                where=self._where,
                rule="be empty, because a draw follows the vote fractions of soft alone",
                found=dict(self.classes),
                remedy="leave galaxies out by [leave_out], or leave out draw",
            )

    def _require_others_possible(self) -> None:
        """Refuse `others="class"` unless rules give one class a galaxy, none `none-of-these`."""
        if self.others != "class":
            return
        # a scheme that draws classes at random gives every galaxy a class; in a multi-label scheme
        # a galaxy of no class has false for each class; a scheme of vote fractions has no classes
        if self.target != "classes" or self.draw:
            raise InputError(
                "others",
                where=self._where,
                rule="be left out of a scheme without one ruled class per galaxy",
            )
        if NONE_OF_THESE in self.classes:
            raise InputError(
                "others",
                where=self._where,
                rule=f"be left out where {NONE_OF_THESE} has rules of its own",
            )

    def _require_conditions(self) -> None:
        """Refuse unreadable conditions, incomplete soft labels, and classes without conditions."""
        for conditions in (*self.classes.values(), *self.leave_out.values()):
            for text in conditions if self.target != "fractions" else ():
                parse(text, where=self._where)
        if (self.soft or self.draw) and set(self.soft) != set(self.classes):
            raise InputError(
                "soft labels",
                where=self._where,
                rule="name an answer for each class",
                found=dict(self.soft),
            )
        # look up the answers now, so that a wrong answer name is an error when the scheme is read,
        # not when galaxies are labelled
        self.answer_of_class()
        # a class or reason without any condition would contain every galaxy
        ruled = self.target != "fractions" and not self.draw and self.column is None
        rules = {"class": self.classes if ruled else {}, "reason to leave out": self.leave_out}
        for noun, named in rules.items():
            if not all(named.values()):
                raise InputError(
                    f"{noun} without conditions",
                    where=self._where,
                    rule="have at least one",
                    found=dict(named),
                )

    def answer_of_class(self) -> dict[str, str]:
        """Return for each class the answer whose vote fraction is the class's soft label."""
        texts = self.soft
        if self.target == "fractions":
            texts = {name: "".join(answers) for name, answers in self.classes.items()}
        return {name: answer_name(text) for name, text in texts.items()}

    def with_others(self, others: str | None) -> LabelScheme:
        """Return a class scheme that omits galaxies without class, or labels them `none-of-these`.

        Parameters
        ----------
        others : str, optional
            `class`, or `left out` (on a command line `left-out`); None changes nothing.

        Raises
        ------
        InputError
            `others` is none of these words, or the scheme cannot have such a class.
        """
        if others is None:
            return self
        return dataclasses.replace(self, others=cast("Others", others.replace("-", " ")))

    def label(self, catalog: Catalog, seed: int = 0, choice: Choice = ANY) -> Labels:
        """Label the galaxies of a catalog by the conditions of the class scheme.

        Parameters
        ----------
        catalog : Catalog
            Has the votes, class strings or columns that the scheme reads.
        seed : int
            For drawn classes; a galaxy's draw depends on its id and the seed alone.
        choice : Choice
            Which campaign's votes are read, which kind of votes, and how many volunteers must have
            answered the questions of a class.

        Returns
        -------
        Labels
            With vote fractions as soft labels if the scheme defines them (0 for an answer that
            nobody was asked about, NaN for a missing vote), the galaxies left out by reason, the
            conflicts, and where the votes come from.

        Raises
        ------
        InputError
            The catalog lacks something the scheme needs.
        """
        return Labelling(self, catalog, seed, choice).labels()

    def conditions(self, name: str) -> tuple[Condition, ...]:
        """Return the conditions on votes or columns that a galaxy must fulfil to get a class.

        Empty if the class is drawn at random, or only read from a column, or if the scheme asks for
        vote fractions instead of classes.

        Parameters
        ----------
        name : str
            Class.
        """
        return () if self.target == "fractions" else parsed(self.classes[name])

    @property
    def every_condition(self) -> list[Condition]:
        """Return the conditions of all classes, and of all reasons to leave a galaxy unlabelled."""
        if self.target == "fractions":
            return []
        lists = (*self.classes.values(), *self.leave_out.values())
        return [condition for texts in lists for condition in parsed(texts)]

    @property
    def answers(self) -> tuple[str, ...]:
        """Return the Galaxy Zoo answers whose vote fractions the class scheme needs."""
        needed = [answer for condition in self.every_condition for answer in answers_of(condition)]
        return tuple(dict.fromkeys([*needed, *self.answer_of_class().values()]))

    @property
    def needs_string(self) -> bool:
        """Return whether any condition of the class scheme reads GZ2 class strings such as Sb2m."""
        return any(isinstance(condition, Letter) for condition in self.every_condition)


@cache
def parsed(texts: tuple[str, ...]) -> tuple[Condition, ...]:
    """Convert texts to conditions of a class scheme, and remember the result for the same texts."""
    return tuple(parse(text) for text in texts)
