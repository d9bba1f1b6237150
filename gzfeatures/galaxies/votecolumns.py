"""Which columns of a catalog hold votes, and the vote table they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from gzfeatures.galaxies.ids import as_ids
from gzfeatures.galaxies.kinds import DECALS, DECALS_SUFFIXES, survey_free
from gzfeatures.galaxies.votes import (
    ANSWERS,
    COLUMNS,
    GZ2,
    GZ2_SUFFIXES,
    KAGGLE,
    Conditional,
    Counts,
    Cumulative,
    Measure,
)

Form: TypeAlias = Literal["count", "conditional", "cumulative"]


@dataclasses.dataclass(frozen=True)
class Source:
    """Votes of one form and measure in a catalog: answer → the columns that add up to it."""

    form: Form
    measure: Measure
    columns: Mapping[str, tuple[str, ...]]


def sources(columns: Collection[str]) -> Iterator[Source]:
    """Votes a table holds, one Source per form and measure."""
    if KAGGLE["smooth"] in columns:
        yield Source("cumulative", "weighted", {a: (c,) for a, c in KAGGLE.items() if c in columns})
    for measure, suffix in GZ2_SUFFIXES.items():
        found: dict[str, tuple[str, ...]] = {
            answer: (stem + suffix,) for answer, stem in GZ2.items() if stem + suffix in columns
        }
        if found:
            yield Source("count" if measure in ("count", "weight") else "conditional", measure, found)
    plain = {survey_free(column): column for column in reversed(list(columns))}
    for measure, suffix in DECALS_SUFFIXES.items():
        summed = {
            answer: tuple(plain[part + suffix] for part in parts)
            for answer, parts in DECALS.items()
            if all(part + suffix in plain for part in parts)
        }
        if summed:
            yield Source("count" if measure == "count" else "conditional", measure, summed)


def table(frame: pd.DataFrame, source: Source) -> Counts | Conditional | Cumulative:
    """The vote table of one source; NaN for answers the catalog does not have.

    Published conditional fractions are all zero where nobody, or hardly anyone, was asked: those become NaN.
    """
    values = np.full((len(frame), len(ANSWERS)), np.nan)
    for column, answer in enumerate(ANSWERS):
        for part, name in enumerate(source.columns.get(answer, ())):
            votes = frame[name].to_numpy(dtype=np.float64)
            values[:, column] = votes if part == 0 else values[:, column] + votes
    ids = as_ids(frame["galaxy_id"])
    if source.form == "count":
        return Counts(ids, values, source.measure)
    if source.form == "cumulative":
        return Cumulative(ids, values, source.measure)
    for question in COLUMNS.values():
        values[(values[:, question] == 0).all(axis=1), question] = np.nan
    return Conditional(ids, values, source.measure)


def converted(votes: Counts | Conditional | Cumulative, form: Form) -> Counts | Conditional | Cumulative:
    """The same votes in another form (fractions cannot be made counts again)."""
    if isinstance(votes, Counts) and form != "count":
        votes = votes.conditional()
    if isinstance(votes, Conditional) and form == "cumulative":
        return votes.cumulative()
    if isinstance(votes, Cumulative) and form == "conditional":
        return votes.conditional()
    return votes
