"""Find a catalog's columns of votes or vote fractions by Galaxy Zoo campaign, and read them.

One table can contain several kinds of votes (counts, fractions, debiased fractions) of several
campaigns. The votes of a galaxy come from the campaign that asked about it; if two campaigns asked
about a galaxy, its votes are unknown until the user chooses one campaign.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError, unknown
from gzfeatures.galaxies.votes.campaigns import Columns, campaigns, foreign
from gzfeatures.galaxies.votes.column_names import GZ2_SUFFIXES
from gzfeatures.galaxies.votes.votes import (
    ANSWERS,
    COLUMNS,
    PARENTS,
    QUESTIONS,
    Conditional,
    Counts,
    Cumulative,
    Measure,
)
from gzfeatures.ids import as_ids
from gzfeatures.tablefiles.arrow_output import without_attributes

Form: TypeAlias = Literal["count", "conditional", "cumulative"]
Numbers: TypeAlias = npt.NDArray[np.float64]

RAW: tuple[Measure, ...] = ("weighted", "fraction", "count", "debiased")
"""Kinds of votes in order of preference; most published cuts use weighted vote fractions."""

SEVERAL = "several"
"""Replaces a campaign's name if several campaigns asked about a galaxy."""


@dataclasses.dataclass(frozen=True)
class VoteColumns:
    """List the vote columns of each answer, for one Galaxy Zoo campaign and one kind of votes."""

    form: Form
    measure: Measure
    columns: Columns
    campaign: str

    def __str__(self) -> str:
        kind = {"count": "counts", "weight": "weighted counts"}.get(
            self.measure, f"{self.measure} fractions"
        )
        return kind.replace("fraction fractions", "fractions")


@dataclasses.dataclass(frozen=True)
class Choice:
    """Choose a Galaxy Zoo campaign and a kind of votes, for catalogs that contain several.

    Parameters
    ----------
    campaign : str, optional
        Name of the campaign; by default the campaign that asked about each galaxy.
    measure : str, optional
        Kind of votes, a key of `GZ2_SUFFIXES`; by default the first kind in the scheme's order that
        the catalog has.
    min_votes : int
        Least number of volunteers who must have answered the question that decides about a class.
    """

    campaign: str | None = None
    measure: Measure | None = None
    min_votes: int = 0

    def __post_init__(self) -> None:
        if str(self.measure) == "flag":
            raise InputError(
                "a flag is no measure of votes",
                rule=f"be one of {', '.join(GZ2_SUFFIXES)}",
                found="flag",
                remedy="flags say 1 or 0 beyond a threshold; cut on their columns in a scheme of "
                "your own",
            )
        if self.measure is not None and self.measure not in GZ2_SUFFIXES:
            raise unknown("measure", self.measure, GZ2_SUFFIXES)


ANY = Choice()
"""Read each galaxy's own campaign, and the scheme's kind of votes; any number of volunteers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ballots:
    """Store the votes of galaxies, with the Galaxy Zoo campaigns and columns that they come from.

    Parameters
    ----------
    votes : Conditional, Cumulative or Counts
        Votes of the galaxies; NaN if a vote is missing, if nobody was asked, and for galaxies that
        several campaigns asked about.
    sources : tuple of VoteColumns
        Vote columns that were read, one object per campaign.
    campaign : ndarray of str
        Campaign that asked about each galaxy, shape (n,); "" if none did, `SEVERAL` if more than
        one did.
    asked : ndarray
        Volunteers who answered each question, shape (n, 11), NaN = not known.
    """

    votes: Counts | Conditional | Cumulative
    sources: tuple[VoteColumns, ...]
    campaign: npt.NDArray[np.object_]
    asked: Numbers

    def unasked(self, answer: str) -> npt.NDArray[np.bool_]:
        """Return True where no volunteer was asked the question of an answer; shape (n,).

        For these galaxies NaN means "not asked", not a missing vote.
        """
        if not isinstance(self.votes, Conditional):
            return np.zeros(len(self.votes), dtype=bool)
        question = next(
            place for place, answers in enumerate(QUESTIONS.values()) if answer in answers
        )
        nobody = (self.asked[:, question] == 0) & (self.asked[:, 0] > 0)
        path = self.votes.path(answer)
        return np.asarray(nobody | (path == 0))

    def most(self, answer: str) -> Numbers:
        """Return the largest possible vote fraction of an answer, for each galaxy, shape (n,).

        The limit of a known fraction is the fraction itself. The limit of an unknown fraction is
        the fraction of volunteers who reached the question (1 for fractions of those asked). Counts
        have no limit.
        """
        fraction = self.votes.answer(answer)
        if isinstance(self.votes, Counts):
            return np.where(np.isnan(fraction), np.inf, fraction)
        question = next(name for name, answers in QUESTIONS.items() if answer in answers)
        parent = PARENTS[question] if isinstance(self.votes, Cumulative) else None
        return np.where(np.isnan(fraction), 1.0 if parent is None else self.most(parent), fraction)


def sources(columns: Collection[str]) -> Iterator[VoteColumns]:
    """Yield a table's vote columns by Galaxy Zoo campaign and kind (count, fraction, …)."""
    for campaign, measure, parts in campaigns(columns):
        form: Form = "conditional"
        if measure in ("count", "weight"):
            form = "count"
        elif campaign == "kaggle":
            form = "cumulative"
        yield VoteColumns(form, measure, parts, campaign)


def table(frame: pd.DataFrame, source: VoteColumns) -> Counts | Conditional | Cumulative:
    """Return a campaign's counts or fractions of votes; NaN for answers that the catalog lacks.

    Published tables have zero fractions for all answers of a question if nobody was asked, or if
    every voter has weight zero; these zeros become NaN.
    """
    values = np.full((len(frame), len(ANSWERS)), np.nan)
    frame = without_attributes(frame)
    for column, answer in enumerate(ANSWERS):
        if answer in source.columns:
            parts = [
                frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
                for name in source.columns[answer]
            ]
            values[:, column] = np.sum(parts, axis=0) if parts else 0.0
    values[_without_question(values, source.columns)] = np.nan
    ids = as_ids(frame["galaxy_id"])
    if source.form == "count":
        return Counts(ids, values, source.measure)
    if source.form == "cumulative":
        return Cumulative(ids, values, source.measure)
    for question in COLUMNS.values():
        values[(values[:, question] == 0).all(axis=1), question] = np.nan
    # set fractions slightly above 1 to 1, because rounding explains them; larger fractions stay
    # and are refused later
    values = np.minimum(values, 1.0, where=values < 1 + _ROUNDING, out=values)
    return Conditional(ids, values, source.measure)


def _without_question(values: Numbers, columns: Columns) -> npt.NDArray[np.bool_]:
    """Return where an answer that a campaign lacks is unknown, because its question is unknown.

    Nobody can choose such an answer, so it has zero votes if the votes for another answer to the
    question are known. Shape (n, 37), bool.
    """
    unknown_votes = np.zeros_like(values, dtype=bool)
    for question, part in COLUMNS.items():
        offered = np.array([bool(columns.get(answer, ())) for answer in QUESTIONS[question]])
        missing = np.isnan(values[:, part]) | ~offered
        unknown_votes[:, part] = missing.all(axis=1, keepdims=True) & ~offered
    return unknown_votes


_ROUNDING = 1e-5
"""Allowed rounding error of several columns that are summed to one vote fraction."""


def converted(
    votes: Counts | Conditional | Cumulative, form: Form
) -> Counts | Conditional | Cumulative:
    """Convert votes to counts or fractions as `form` says; fractions cannot become counts again."""
    if isinstance(votes, Counts) and form != "count":
        votes = votes.conditional()
    if isinstance(votes, Conditional) and form == "cumulative":
        return votes.cumulative()
    if isinstance(votes, Cumulative) and form == "conditional":
        return votes.conditional()
    return votes


def chosen(
    columns: Collection[str],
    form: Form,
    measures: Sequence[Measure],
    answers: Collection[str],
    choice: Choice,
) -> tuple[VoteColumns, ...]:
    """Return the vote columns to read, one kind of votes for each Galaxy Zoo campaign.

    A campaign's kind of votes is usable if it has columns for all `answers`. Campaigns with usable
    kinds are read in the first kind of `measures` that is usable in all of them; without such a
    kind, each campaign is read in its own first usable kind.
    """
    usable = [
        source
        for source in sources(columns)
        if set(answers) <= source.columns.keys()
        and (form != "count" or source.form == "count")
        and source.measure in measures
        and choice.campaign in (None, source.campaign)
    ]
    # if a campaign has the same kind of votes in two sets of columns, use the first set
    by_campaign: dict[str, dict[Measure, VoteColumns]] = {}
    for source in usable:
        by_campaign.setdefault(source.campaign, {}).setdefault(source.measure, source)
    # prefer a kind of fraction that all campaigns have, because different kinds cannot be compared
    for measure in measures:
        if by_campaign and all(measure in of_measure for of_measure in by_campaign.values()):
            return tuple(of_measure[measure] for of_measure in by_campaign.values())
    return tuple(
        next(of_measure[measure] for measure in measures if measure in of_measure)
        for of_measure in by_campaign.values()
    )


def ballots(
    frame: pd.DataFrame,
    form: Form,
    measures: Sequence[Measure],
    answers: Collection[str] = (),
    choice: Choice = ANY,
    *,
    where: object = "catalog",
) -> Ballots:
    """Return each galaxy's votes, from the Galaxy Zoo campaign that asked about the galaxy.

    Parameters
    ----------
    frame : DataFrame
        Has `galaxy_id`.
    form : {"count", "conditional", "cumulative"}
        See `votes`.
    measures : sequence of str
        Kinds of votes in order of preference; a kind named by `choice` replaces them.
    answers : collection of str
        Answers that the table must have; other answers are NaN where the table lacks them.
    choice : Choice
        Campaign and kind of votes that the user wants.
    where : object
        Named in the error.

    Raises
    ------
    InputError
        The table has no such votes, or no campaign of this name.
    """
    measures = measures if choice.measure is None else (choice.measure,)
    every = tuple(sources(frame.columns))
    names = list(dict.fromkeys(source.campaign for source in every))
    if choice.campaign is not None and choice.campaign not in names:
        if names:
            raise unknown("campaign", choice.campaign, names)
        raise _absent(every, form, measures, answers, where)
    read = chosen(frame.columns, form, measures, answers, choice)
    if not read:
        others = foreign(frame.columns)
        if others and not every:
            name, why = next(iter(others.items()))
            raise InputError(f"votes of Galaxy Zoo '{name}' are not read: {why}", where=where)
        raise _absent(every, form, measures, answers, where)
    # if the user names no campaign, consider campaigns with other kinds of votes too, because a
    # galaxy about which two campaigns asked is ambiguous
    campaign = _campaigns(frame, every, read if choice.campaign else every)
    votes = {source.campaign: converted(table(frame, source), form) for source in read}
    first = votes[read[0].campaign]
    values = np.full_like(first.values, np.nan)
    for name, of_campaign in votes.items():
        rows = campaign == name
        values[rows] = of_campaign.values[rows]
    whole = dataclasses.replace(first, values=values)
    return Ballots(whole, read, campaign, _asked(frame, every, campaign))


def _absent(
    every: Sequence[VoteColumns],
    form: Form,
    measures: Sequence[Measure],
    answers: Collection[str],
    where: object,
) -> InputError:
    """Return an error that says which votes a catalog lacks, and which votes it has."""
    others = dict.fromkeys(f"{source} of {source.campaign}" for source in every)
    missing = [
        f"{source.campaign} has none on {', '.join(a for a in answers if a not in source.columns)}"
        for source in every
        if source.measure in measures and not set(answers) <= source.columns.keys()
    ]
    return InputError(
        f"no {form} votes",
        where=where,
        rule=f"have columns of {' or '.join(measures)} votes"
        + (f" on {', '.join(answers)}" if answers else ""),
        found=("; ".join(dict.fromkeys(missing)) or ", ".join(others)) or None,
        remedy="use a catalog with votes, or another scheme",
    )


def _campaigns(
    frame: pd.DataFrame, every: Sequence[VoteColumns], among: Sequence[VoteColumns]
) -> npt.NDArray[np.object_]:
    """Return which Galaxy Zoo campaign asked about each galaxy; "" for none."""
    names = list(dict.fromkeys(source.campaign for source in among))
    if len(names) == 1:
        return np.full(len(frame), names[0], dtype=object)
    campaign = np.full(len(frame), "", dtype=object)
    for name in names:
        asked = np.zeros(len(frame), dtype=bool)
        tables = [source.columns for source in every if source.campaign == name]
        columns = {column for table in tables for parts in table.values() for column in parts}
        # a campaign asked about a galaxy if any of its vote columns is above zero
        for column in columns:
            asked |= frame[column].to_numpy(dtype=np.float64, na_value=np.nan) > 0
        campaign[asked] = np.where(campaign[asked] == "", name, SEVERAL)
    return campaign


def _asked(
    frame: pd.DataFrame, every: Sequence[VoteColumns], campaign: npt.NDArray[np.object_]
) -> Numbers:
    """Return how many volunteers answered each question, shape (n, 11); NaN if unknown."""
    asked = np.full((len(frame), len(QUESTIONS)), np.nan)
    for source in every:
        rows = campaign == source.campaign
        # count volunteers by unweighted votes only, because sums of weighted votes and fractions
        # are no numbers of people
        if source.measure != "count" or not rows.any():
            continue
        counts = table(frame, source).values[rows]
        for place, part in enumerate(COLUMNS.values()):
            missing = np.isnan(counts[:, part])
            total = np.nansum(counts[:, part], axis=1)
            # if some counts are missing, a sum above zero is a lower bound of the number of
            # volunteers, but a sum of zero says nothing: the missing counts may be large
            counted = ~missing.all(axis=1) & ~(missing.any(axis=1) & (total == 0))
            asked[rows, place] = np.where(counted, total, asked[rows, place])
    return asked
