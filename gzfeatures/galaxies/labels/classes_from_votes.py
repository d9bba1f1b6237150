"""Label a catalog's galaxies by rules on their votes, and count why galaxies stay unlabelled."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.kinds import CLASS_STRINGS
from gzfeatures.galaxies.catalogs.quantities import QUANTITIES, SENTINELS
from gzfeatures.galaxies.labels.conditions import (
    Cut,
    Facts,
    Mask,
    all_hold,
    answers_of,
    flags_of,
    parse,
    undecided,
    unknowable,
)
from gzfeatures.galaxies.labels.labels import FEW, Labels, Origin
from gzfeatures.galaxies.votes import gz2_class_strings
from gzfeatures.galaxies.votes.column_names import GZ2
from gzfeatures.galaxies.votes.vote_columns import ANY, SEVERAL, Ballots, Choice
from gzfeatures.galaxies.votes.votes import QUESTIONS
from gzfeatures.ids import uniform

if TYPE_CHECKING:
    from gzfeatures.galaxies.labels.label_scheme import LabelScheme

Numbers = npt.NDArray[np.float64]

NONE_OF_THESE = "none-of-these"
"""Name of the class of galaxies that no rule of the scheme claims."""
NO_RULE = "no rule claims it"
TWO_RULES = "two rules claim it"
NO_VOTES = "votes are missing"
NO_FRACTION = "none of its vote fractions is known"
NO_CLASS_VOTED = "no volunteer voted for any of the classes"
TWO_CAMPAIGNS = "two campaigns asked it (--campaign names one)"
TWO_FLAGS = "two answers of one question are flagged"
NO_STRING = "gz2_class is missing or cannot be read"
NO_CLASS = "class column is empty"
OWN_REASONS = (
    *(NO_RULE, TWO_RULES, NO_VOTES, NO_FRACTION, NO_CLASS_VOTED, TWO_CAMPAIGNS, TWO_FLAGS),
    *(NO_STRING, NO_CLASS),
)
"""Reasons to leave galaxies out that no scheme may give to galaxies of its own."""
UNKNOWABLE = ": not known in this catalog"
UNSURE = ": not known of this galaxy"
_UNREAD = "?"
_BINS = frozenset((*QUANTITIES["redshift_bin"].names, *QUANTITIES["magnitude_bin"].names))
"""Columns of bin numbers, where −999 means "below all bins" and only −9999 means "unknown"."""
_UNKNOWN_BIN = (-9999.0,)


@dataclasses.dataclass(frozen=True, eq=False)
class Labelling:
    """Label one catalog's galaxies by one class scheme (rules that turn votes into classes).

    Parameters
    ----------
    scheme : LabelScheme
        Rules that turn votes into classes.
    catalog : Catalog
        n galaxies.
    seed : int
        Seed of schemes that draw classes at random.
    choice : Choice
        Which votes are read: campaign, kind of votes, and least number of volunteers.
    """

    scheme: LabelScheme
    catalog: Catalog
    seed: int
    choice: Choice

    def labels(self) -> Labels:
        """Return the labels that the class scheme gives to the catalog's galaxies."""
        ready = self._ready()
        if ready is not None or not self.scheme.answers:
            self._require_no_choice()
        if ready is not None:
            return ready
        if self.scheme.target == "fractions":
            return self._fractions()
        if self.scheme.draw:
            return self._drawn_class()
        conditions = [self.scheme.conditions(name) for name in self.scheme.classes]
        claims = np.stack([all_hold(texts, self.facts) for texts in conditions], axis=1)
        unsure = np.stack([undecided(texts, self.facts) for texts in conditions], axis=1)
        if self.scheme.target == "multi-label":
            reasons = self._exclusions()
            # leave a galaxy unlabelled if missing votes leave one class undecided, because a label
            # file stores only true and false for each class
            reasons[NO_VOTES] = reasons.get(NO_VOTES, self._nobody) | unsure.any(axis=1)
            return self._supported(claims, reasons, claims)
        return self._one_class(claims, unsure)

    def _fractions(self) -> Labels:
        """Return the vote fractions of each class as labels, NaN where few volunteers answered."""
        fractions, fewest = self.soft, self.choice.min_votes
        reasons = self._exclusions()
        reasons[NO_FRACTION] = np.asarray(np.isnan(fractions).all(axis=1))
        # a fraction of few volunteers' votes is mostly chance, so replace it by NaN; the galaxy's
        # other questions may have more voters, so keep their fractions
        if fewest:
            fractions = np.where(self.voters >= fewest, fractions, np.nan)
            reasons[_too_few(fewest)] = np.asarray(np.isnan(fractions).all(axis=1))
        return self._supported(fractions, reasons, with_soft=False)

    def _require_no_choice(self) -> None:
        """Refuse a choice among the votes if the labels come from no votes."""
        if self.choice == ANY:
            return
        wanted = {
            "--campaign": self.choice.campaign,
            "--measure": self.choice.measure,
            "--min-votes": self.choice.min_votes,
        }
        given = " ".join(f"{option} {value}" for option, value in wanted.items() if value)
        raise InputError(
            "labels come from no votes",
            where=f"scheme {self.scheme.name}, {self.catalog.kind} catalog {self.catalog.source}",
            rule="come from votes to be chosen by --campaign, --measure or --min-votes",
            found=given,
            remedy="leave these options out, or use a scheme of vote fractions on a catalog of "
            "votes",
        )

    def _drawn_class(self) -> Labels:
        """Return labels with one class per galaxy, drawn with vote fractions as probabilities."""
        reasons = self._exclusions()
        total = self.soft.sum(axis=1)
        # the classes may be answers to a question that nobody was asked about this galaxy: then no
        # class has a probability
        reasons[NO_VOTES] = reasons.get(NO_VOTES, self._nobody) | np.isnan(total)
        reasons[NO_CLASS_VOTED] = np.asarray(total == 0)
        values = self._drawn()
        return self._supported(values, reasons, np.eye(len(self.classes), dtype=bool)[values])

    def _one_class(self, claims: Mask, unsure: Mask) -> Labels:
        """Return labels with one class per galaxy, chosen among the classes whose conditions hold.

        Parameters
        ----------
        claims : ndarray of bool
            Whether the conditions of each class hold, shape (n, k).
        unsure : ndarray of bool
            Whether missing votes leave it unknown if the conditions hold, shape (n, k).
        """
        reasons = self._exclusions()
        claimants = np.asarray(claims.sum(axis=1))
        # with the rule `first`, the first class whose conditions hold is the label, so missing
        # votes for the classes after it do not matter
        if self.scheme.on_conflict == "first":
            first = np.where(claimants > 0, claims.argmax(axis=1), claims.shape[1])
            unsure = unsure & (np.arange(claims.shape[1]) < first[:, None])
        conflict = claimants > 1
        missing = unsure.any(axis=1)
        # with the rule `leave-out`, a galaxy of two classes has no label, even if votes for a third
        # class are missing: so give the conflict as the reason
        if self.scheme.on_conflict == "leave-out":
            missing = missing & ~conflict
        reasons[NO_VOTES] = reasons.get(NO_VOTES, self._nobody) | missing
        if self.has_none_class:
            claims = np.column_stack([claims, claimants == 0])
        else:
            reasons[NO_RULE] = claimants == 0
        if self.scheme.on_conflict == "leave-out":
            reasons[TWO_RULES] = conflict
        values = claims.argmax(axis=1)
        chosen = np.eye(claims.shape[1], dtype=bool)[values]
        # with a class none-of-these give no vote fractions as soft labels, because no fraction
        # measures this class
        return self._supported(values, reasons, chosen, conflict, with_soft=not self.has_none_class)

    @property
    def has_none_class(self) -> bool:
        """Return whether galaxies that fit no class get the class `none-of-these`."""
        return self.scheme.others == "class"

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that the labels can have, including `none-of-these`."""
        return (*self.scheme.classes, *((NONE_OF_THESE,) if self.has_none_class else ()))

    @cached_property
    def ballots(self) -> Ballots | None:
        """Return the votes that the class scheme reads; None if it reads no votes."""
        if not self.scheme.answers:
            return None
        return self.catalog.ballots(
            self.scheme.form, self.scheme.measures, self.scheme.answers, self.choice
        )

    @cached_property
    def facts(self) -> Facts:
        """Return functions by which conditions look up vote fractions, columns and GZ2 letters."""
        # read the votes only if a condition asks for them: a catalog of ready classes has none
        none = np.zeros(len(self.catalog))
        return Facts(
            fraction=lambda answer: (
                none if self.ballots is None else self.ballots.votes.answer(answer)
            ),
            column=self._measured,
            letter=lambda part: self._letters[part],
            has_column=self._has,
            unasked=lambda answer: (
                self._nobody if self.ballots is None else self.ballots.unasked(answer)
            ),
            most=lambda answer: none if self.ballots is None else self.ballots.most(answer),
        )

    def _has(self, name: str) -> bool:
        """Return whether the catalog has a numeric column or, for an answer's name, its votes."""
        if name in GZ2:
            return self.catalog.has_votes(self.scheme.measures, (name,))
        return self.catalog.has_column(name)

    def _measured(self, name: str) -> Numbers:
        """Return a numeric column of the catalog, shape (n,); NaN where it holds a sentinel."""
        numbers = self.catalog.column(name)
        sentinels = _UNKNOWN_BIN if name in _BINS else SENTINELS
        return np.where(np.isin(numbers, sentinels), np.nan, numbers)

    @cached_property
    def soft(self) -> Numbers:
        """Return the vote fraction of each class, shape (n, k); (n, 0) if classes have none."""
        answers = self.scheme.answer_of_class()
        if not answers:
            return np.empty((len(self.catalog), 0))
        columns = [answers[name] for name in self.scheme.classes]
        soft = np.stack([self.facts.fraction(answer) for answer in columns], axis=1)
        # nobody answers a question that was not asked: as fractions of all voters its answers are 0
        if self.scheme.target != "fractions":
            unasked = np.stack([self.facts.unasked(answer) for answer in columns], axis=1)
            soft[unasked & np.isnan(soft)] = 0.0
        return soft

    @cached_property
    def voters(self) -> Numbers:
        """Return how many volunteers answered each class's question, (n, k); NaN if unknown."""
        voters = np.full((len(self.catalog), len(self.scheme.classes)), np.nan)
        answer_of = self.scheme.answer_of_class()
        for place, name in enumerate(self.scheme.classes):
            answers = {
                answer
                for condition in self.scheme.conditions(name)
                for answer in answers_of(condition)
            }
            # a class has no conditions on votes if the scheme draws each galaxy's class at random
            # (vote fractions are the probabilities) or asks for the vote fractions themselves. Such
            # a class stands for one answer: count all voters of the question it belongs to
            answers = answers or ({answer_of[name]} if name in answer_of else set())
            questions = [
                row for row, group in enumerate(QUESTIONS.values()) if not answers.isdisjoint(group)
            ]
            if questions and self.ballots is not None:
                # if a class depends on several questions, use the question with the fewest
                # volunteers
                voters[:, place] = self.ballots.asked[:, questions].min(axis=1)
        # no question decides about none-of-these, so use the largest number of volunteers of any
        # class
        if self.has_none_class:
            most = np.where(np.isnan(voters), -np.inf, voters).max(axis=1)
            voters = np.column_stack([voters, np.where(np.isinf(most), np.nan, most)])
        if self.choice.min_votes and np.isnan(voters).all():
            raise InputError(
                "how many volunteers were asked is not known",
                where=f"{self.catalog.kind} catalog {self.catalog.source}",
                rule="have columns of vote counts for --min-votes",
            )
        return voters

    @cached_property
    def _nobody(self) -> Mask:
        """Return a mask that selects no galaxy of the catalog, shape (n,)."""
        return np.zeros(len(self.catalog), dtype=bool)

    @cached_property
    def _letters(self) -> dict[str, npt.NDArray[np.str_]]:
        """Return each galaxy's letters in the GZ2 class string, shape (n,); `?` if unreadable."""
        name = next((column for column in CLASS_STRINGS if column in self.catalog.frame), None)
        if name is None:
            raise InputError(
                "no class strings",
                where=f"{self.catalog.kind} catalog {self.catalog.source}",
                rule=f"have a column {' or '.join(CLASS_STRINGS)}",
                remedy=f"scheme {self.scheme.name} works on Hart+2016 and Willett+2013 tables",
            )
        distinct, codes = gz2_class_strings.parse_column(
            self.catalog.frame[name], self.scheme.reading
        )
        return {
            part: np.append(distinct[part].to_numpy(dtype="U1"), _UNREAD)[codes]
            for part in distinct.columns
        }

    def _unknown(self, answers: Collection[str]) -> Mask:
        """Return True for galaxies with NaN as vote fraction of at least one answer, shape (n,)."""
        return np.asarray(
            np.isnan([np.zeros(len(self.catalog)), *map(self.facts.fraction, answers)]).any(axis=0)
        )

    def _drawn(self) -> npt.NDArray[np.int64]:
        """Draw a class for each galaxy, with its vote fractions as probabilities, shape (n,).

        If the fractions are unknown or sum to zero, the class has no meaning.
        """
        # inverse transform sampling: draw the first class whose cumulative vote fraction exceeds a
        # random number
        cumulated = np.cumsum(self.soft, axis=1)
        # scale the random number to the sum of the galaxy's vote fractions, because this sum need
        # not be 1
        drawn = uniform(self.catalog.ids, self.seed)[:, None] * cumulated[:, -1:]
        return np.asarray(
            np.minimum((cumulated <= drawn).sum(axis=1), len(self.scheme.classes) - 1)
        )

    def _exclusions(self) -> dict[str, Mask]:
        """Return masks of galaxies to leave unlabelled, by reason, before classes are decided."""
        reasons: dict[str, Mask] = {}
        if self.scheme.needs_string:
            reasons[NO_STRING] = np.asarray(self.facts.letter("form") == _UNREAD)
        if self.ballots is not None:
            reasons |= self._without_votes(self.ballots)
        reasons |= self._ruled_out()
        for flags in dict.fromkeys(
            flags_of(condition) for condition in self.scheme.every_condition
        ):
            values = [self.facts.column(name) for name in flags if self.facts.has_column(name)]
            # a GZ2 flag marks an answer as sure; two flagged answers to one question contradict
            # each other, so exclude these galaxies
            if values:
                twice = np.asarray(np.sum(np.stack(values) > 0, axis=0) > 1)
                reasons[TWO_FLAGS] = reasons.get(TWO_FLAGS, self._nobody) | twice
        return reasons

    def _ruled_out(self) -> dict[str, Mask]:
        """Return masks of the galaxies that the scheme's rules leave out, one mask per reason."""
        reasons: dict[str, Mask] = {}
        for reason, texts in self.scheme.leave_out.items():
            conditions = tuple(map(parse, texts))
            # if the catalog lacks a column that this reason for exclusion tests, exclude no galaxy,
            # but report that the reason was not checked
            if any(unknowable(condition, self.facts) for condition in conditions):
                reasons[reason + UNKNOWABLE] = self._nobody
                continue
            reasons[reason] = all_hold(conditions, self.facts)
            if not any(
                isinstance(condition, Cut) and condition.optional for condition in conditions
            ):
                reasons[reason + UNSURE] = undecided(conditions, self.facts)
        return reasons

    def _without_votes(self, ballots: Ballots) -> dict[str, Mask]:
        """Return masks of the galaxies without usable votes, one mask for each reason."""
        reasons = {TWO_CAMPAIGNS: np.asarray(ballots.campaign == SEVERAL)}
        usable = {source.campaign for source in ballots.sources}
        for name in sorted({*ballots.campaign} - usable - {"", SEVERAL}):
            reasons[f"campaign {name} did not ask what the scheme needs"] = np.asarray(
                ballots.campaign == name
            )
        # check only the first question, which every volunteer answers; at later questions, missing
        # votes can mean that nobody was asked
        asked_of_all = [
            answer for answer in self.scheme.answers if answer in QUESTIONS["smooth-or-features"]
        ]
        reasons[NO_VOTES] = self._unknown(asked_of_all) | np.asarray(ballots.campaign == "")
        return reasons

    def _ready(self) -> Labels | None:
        """Return labels from a column of ready-made classes, if the catalog has no votes."""
        column, catalog, classes = self.scheme.column, self.catalog, self.classes
        ruled = self.scheme.draw or all(self.scheme.classes.values())
        if column is not None and column not in catalog.frame and not ruled:
            raise InputError(
                "no ready classes",
                where=f"{catalog.kind} catalog {catalog.source}",
                rule=f"have the column {column} of scheme {self.scheme.name}, whose classes have "
                "no conditions on votes",
            )
        if column is None or column not in catalog.frame:
            return None
        # prefer votes to ready-made classes, because the scheme's conditions can be checked on
        # votes only
        if ruled and catalog.has_votes(self.scheme.measures, self.scheme.answers):
            return None
        names = catalog.frame[column]
        codes = names.map({name: code for code, name in enumerate(classes)}).to_numpy(
            dtype=float, na_value=np.nan
        )
        strange = np.isnan(codes) & names.notna().to_numpy() & (names != "").to_numpy()
        if strange.any():
            raise InputError(
                "unknown class name",
                where=f"catalog {catalog.source}, galaxy {catalog.ids[np.argmax(strange)]}",
                rule=f"be one of {', '.join(classes)} or empty",
                found=str(names.iloc[int(np.argmax(strange))]),
            )
        empty = np.isnan(codes)
        values = np.where(empty, 0, codes).astype(np.int64)
        reasons = {NO_CLASS: empty, **self._ruled_out()}
        return self._without_left_out(values, reasons, None, None, None)

    def _supported(
        self,
        values: npt.NDArray[Any],
        exclusions: dict[str, Mask],
        claims: Mask | None = None,
        conflict: Mask | None = None,
        *,
        with_soft: bool = True,
    ) -> Labels:
        """Return labels of galaxies with enough voters, and where their votes come from."""
        fewest, origin = self.choice.min_votes, None
        if fewest and claims is not None and self.ballots is not None:
            too_few = (claims & ~(self.voters >= fewest)).any(axis=1)
            # that a class is false is known from volunteers too: from those who saw the galaxy and
            # did not choose the answers on the way to the class
            if self.scheme.target == "multi-label":
                seen_by = np.fmax.reduce(self.ballots.asked, axis=1)
                too_few |= ~(seen_by >= fewest)
            exclusions[_too_few(fewest)] = np.asarray(too_few)
        kept = ~np.logical_or.reduce([self._nobody, *exclusions.values()])
        if self.ballots is not None:
            origin = self._origin(self.ballots, np.asarray(kept), claims)
        soft = self.soft if with_soft else None
        return self._without_left_out(values, exclusions, soft, conflict, origin)

    def _origin(self, ballots: Ballots, labelled: Mask, claims: Mask | None) -> Origin:
        """Return campaigns and columns of the votes, and how many labels rest on few volunteers."""
        few = None
        if claims is not None and not np.isnan(self.voters).all():
            small = claims & labelled[:, None] & (self.voters < FEW)
            few = dict(zip(self.classes, small.sum(axis=0).tolist(), strict=True))
        names, numbers = np.unique(ballots.campaign[labelled].astype(str), return_counts=True)
        read = {source.campaign: str(source) for source in ballots.sources}
        return Origin(read, dict(zip(names.tolist(), numbers.tolist(), strict=True)), few)

    def _without_left_out(
        self,
        values: npt.NDArray[Any],
        exclusions: Mapping[str, Mask],
        soft: Numbers | None,
        conflict: Mask | None,
        origin: Origin | None,
    ) -> Labels:
        """Return labels without excluded galaxies; list these galaxies' ids under their reasons."""
        out = np.zeros(len(self.catalog), dtype=bool)
        left_out = {}
        for reason, rows in exclusions.items():
            # count a galaxy under its first reason only, so that all counts sum to the catalog's
            # size
            if (rows & ~out).any() or reason.endswith(UNKNOWABLE):
                left_out[reason] = self.catalog.ids[rows & ~out]
            out |= rows
        keep = ~out
        return Labels(
            ids=self.catalog.ids[keep],
            classes=self.classes,
            values=values[keep],
            target=self.scheme.target,
            scheme=self.scheme.name,
            left_out=left_out,
            conflicts=self.catalog.ids[:0] if conflict is None else self.catalog.ids[conflict],
            soft=soft[keep] if soft is not None and soft.size else None,
            origin=origin,
        )


def _too_few(fewest: int) -> str:
    """Return the reason why a galaxy with fewer volunteers than this number has no label."""
    return f"asked of fewer than {fewest} volunteers"


def without_class(labels: Labels) -> float | None:
    """Return the share of galaxies that fit no class, among those with enough votes to decide.

    Parameters
    ----------
    labels : Labels
        Labels that `LabelScheme.label` returned; galaxies left out for reasons such as missing
        votes are not counted.

    Returns
    -------
    float or None
        In [0, 1]; None if the scheme allows no class or several classes per galaxy, or if no galaxy
        could be decided.
    """
    if labels.target != "classes":
        return None
    none, two = (len(labels.left_out.get(reason, ())) for reason in (NO_RULE, TWO_RULES))
    judged = len(labels) + none + two
    return (none + labels.counts.get(NONE_OF_THESE, 0)) / judged if judged else None
