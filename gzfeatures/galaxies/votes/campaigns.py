"""List the campaigns of Galaxy Zoo, their answers, and the names of their vote columns.

Each campaign asked its own questions. This module lists the questions that mean the same as a
question of Galaxy Zoo 2 on the same path of the decision tree. All other questions stay unknown: a
vote never counts for a different question.

Columns are named in three ways: `Class1.1` (Kaggle); `t01_smooth_or_features_a01_smooth_debiased`
(the published tables of Galaxy Zoo 2, Hubble and CANDELS); and
`smooth-or-featured-dr5_smooth_fraction` (DECaLS, DESI and whatever galaxy-datasets serves:
question, mark of the campaign, answer, measure; `_` and `-` are alike).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from gzfeatures.galaxies.votes.column_names import GZ2, GZ2_SUFFIXES, KAGGLE
from gzfeatures.galaxies.votes.votes import QUESTIONS, Measure

Columns: TypeAlias = Mapping[str, tuple[str, ...]]
"""Columns whose votes add up to each answer; an empty tuple if the campaign lacks the answer."""

UNMARKED = "unmarked"
"""Name of the campaign whose column names carry no campaign mark."""

_ASKED_ALIKE: dict[str, tuple[str, ...]] = {
    "smooth": ("smooth-or-featured", "smooth"),
    "features-or-disk": ("smooth-or-featured", "featured-or-disk"),
    "star-or-artifact": ("smooth-or-featured", "artifact"),
    "edge-on-yes": ("disk-edge-on", "yes"),
    "edge-on-no": ("disk-edge-on", "no"),
    "bar-yes": ("bar", "yes"),
    "bar-no": ("bar", "no"),
    "spiral-yes": ("has-spiral-arms", "yes"),
    "spiral-no": ("has-spiral-arms", "no"),
    "completely-round": ("how-rounded", "round"),
    "in-between": ("how-rounded", "in-between"),
    "cigar-shaped": ("how-rounded", "cigar-shaped"),
    "bulge-shape-rounded": ("edge-on-bulge", "rounded"),
    "bulge-shape-boxy": ("edge-on-bulge", "boxy"),
    "bulge-shape-none": ("edge-on-bulge", "none"),
    "winding-tight": ("spiral-winding", "tight"),
    "winding-medium": ("spiral-winding", "medium"),
    "winding-loose": ("spiral-winding", "loose"),
    "arms-1": ("spiral-arm-count", "1"),
    "arms-2": ("spiral-arm-count", "2"),
    "arms-3": ("spiral-arm-count", "3"),
    "arms-4": ("spiral-arm-count", "4"),
    "arms-more-than-4": ("spiral-arm-count", "more-than-4"),
    "arms-cant-tell": ("spiral-arm-count", "cant-tell"),
}
_DR5 = _ASKED_ALIKE | {"bar-yes": ("bar", "strong", "weak")}
_DR12 = _ASKED_ALIKE | {
    "completely-round": ("how-rounded", "completely"),
    "arms-cant-tell": ("spiral-arm-count",),
}
_GZ2_NAMES = _ASKED_ALIKE | {
    "cigar-shaped": ("how-rounded", "cigar"),
    "bulge-none": ("bulge-size", "no"),
    "bulge-just-noticeable": ("bulge-size", "just-noticeable"),
    "bulge-obvious": ("bulge-size", "obvious"),
    "bulge-dominant": ("bulge-size", "dominant"),
    "odd-yes": ("something-odd", "yes"),
    "odd-no": ("something-odd", "no"),
    "bulge-shape-rounded": ("bulge-shape", "round"),
    "bulge-shape-boxy": ("bulge-shape", "boxy"),
    "bulge-shape-none": ("bulge-shape", "no-bulge"),
}
_PROBLEM = _DR5 | {"star-or-artifact": ("smooth-or-featured", "problem")}
_CLUMPY = {
    "smooth": ("smooth-or-featured", "smooth"),
    "features-or-disk": ("smooth-or-featured", "features"),
    "star-or-artifact": ("smooth-or-featured", "artifact"),
    "completely-round": ("how-rounded", "completely"),
    "in-between": ("how-rounded", "in-between"),
    "cigar-shaped": ("how-rounded", "cigar-shaped"),
}
"""Answers of Hubble and CANDELS, which ask about clumps before edges, bars and arms."""

MARKED: dict[str, Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("dr1", "dr2", "dr12"), _DR12),
    **dict.fromkeys(("dr5", "dr8", "desi"), _DR5),
    **dict.fromkeys(("gz2", "ukidss"), _GZ2_NAMES),
    **dict.fromkeys(("cd", "euclid", "jwst"), _PROBLEM),
    **dict.fromkeys(("hubble", "candels"), _CLUMPY),
}
"""Answers of each campaign: the question, and the campaign's answers that add up to ours.
DECaLS and its followers ask of the bulge's size and of mergers on other scales, so those answers of
Galaxy Zoo 2 are unknown there."""

_TELLING: tuple[tuple[Mapping[str, tuple[str, ...]], tuple[str, ...]], ...] = (
    (_CLUMPY, ("smooth-or-featured-features", "clumpy-appearance-yes")),
    (_PROBLEM, ("smooth-or-featured-problem", "problem-star")),
    (_GZ2_NAMES, ("something-odd-yes", "bulge-shape-no-bulge", "how-rounded-cigar")),
    (_DR12, ("how-rounded-completely", "bar-yes", "merging-neither")),
)
"""Answers that identify the campaign of unmarked columns; without them it is DR5 or DESI."""

SUFFIXES: dict[Measure, str] = {"count": "", "fraction": "-fraction", "debiased": "-debiased"}
"""Suffix of the vote columns of GZ DECaLS and later campaigns, by kind of votes."""

_STEMS_BELOW_CLUMPS = {
    **{answer: GZ2[answer] for answer in QUESTIONS["smooth-or-features"]},
    **{
        answer: f"{question}_a{place:02d}_{text}"
        for question, group, texts in (
            ("t06_odd", "odd", ("yes", "no")),
            ("t07_rounded", "rounded", ("completely_round", "in_between", "cigar_shaped")),
            (
                "t08_odd_feature",
                "odd-feature",
                ("ring", "lens_or_arc", "disturbed", "irregular", "other", "merger", "dust_lane"),
            ),
        )
        for place, (answer, text) in enumerate(zip(QUESTIONS[group], texts, strict=True), start=1)
    },
}
"""Column stems by answer of Galaxy Zoo: Hubble (Willett+2017, doi:10.1093/mnras/stw2568)."""

_CANDELS_STEMS = {
    "smooth": "t00_smooth_or_featured_a0_smooth",
    "features-or-disk": "t00_smooth_or_featured_a1_features",
    "star-or-artifact": "t00_smooth_or_featured_a2_artifact",
    "completely-round": "t01_how_rounded_a0_completely",
    "in-between": "t01_how_rounded_a1_inbetween",
    "cigar-shaped": "t01_how_rounded_a2_cigarshaped",
}
"""Column stems by answer of Galaxy Zoo: CANDELS (Simmons+2017, doi:10.1093/mnras/stw2587)."""
_CANDELS_SUFFIXES: dict[Measure, str] = {"fraction": "_frac", "weighted": "_weighted_frac"}

_HUBBLE_MARK = re.compile(r"t1[2-8]_\w+|t02_edgeon_a0[12]_\w+")
_FOREIGN = re.compile(
    r"smooth-or-featured-(?P<mark>[a-z0-9]+(-[a-z0-9]+)*?)"
    r"-(smooth|features|featured-or-disk|artifact|problem)(-fraction|-debiased)?"
)
_MER = "smooth-or-featured-artifact-star-zoom"


def uniform(column: str) -> str:
    """Return a vote column's name in lower case with hyphens, to compare names.

    Examples
    --------
    >>> uniform("smooth-or-featured_Smooth")
    'smooth-or-featured-smooth'
    """
    return column.lower().replace("_", "-")


def without_mark(column: str) -> str:
    """Return a vote column's name without the mark of its Galaxy Zoo campaign (such as -dr5).

    Examples
    --------
    >>> without_mark("smooth-or-featured-dr5_smooth")
    'smooth-or-featured_smooth'
    """
    return re.sub(rf"-({'|'.join(MARKED)})(?=_)", "", column)


def campaigns(columns: Collection[str]) -> Iterator[tuple[str, Measure, Columns]]:
    """Yield the vote columns of a table, by Galaxy Zoo campaign and kind of votes.

    Each tuple has the campaign, the kind of votes (count, fraction, …), and the columns of each
    answer.

    Parameters
    ----------
    columns : collection of str
        Column names as in the table.

    Examples
    --------
    >>> [(name, measure) for name, measure, _ in campaigns(["smooth-or-featured-jwst_smooth"])]
    [('jwst', 'count')]
    """
    if KAGGLE["smooth"] in columns:
        yield "kaggle", "weighted", {a: (c,) for a, c in KAGGLE.items() if c in columns}
    # Galaxy Zoo: Hubble names its columns like Galaxy Zoo 2 but asked some different questions, so
    # recognise it by columns of these questions
    hubble = any(map(_HUBBLE_MARK.fullmatch, columns))
    yield from _stemmed(
        "hubble" if hubble else "gz2", columns, _STEMS_BELOW_CLUMPS if hubble else GZ2, GZ2_SUFFIXES
    )
    yield from _stemmed("candels", columns, _CANDELS_STEMS, _CANDELS_SUFFIXES)
    # if two names differ only in case, use the first column: a dict keeps the last value of a key,
    # so list the columns in reverse order
    columns_of = {uniform(column): column for column in reversed(list(columns))}
    plain = next(
        (names for names, marks in _TELLING if not columns_of.keys().isdisjoint(marks)), _DR5
    )
    if _MER not in columns_of:
        yield from _marked(UNMARKED, "", columns_of, plain)
    for mark, names in MARKED.items():
        yield from _marked(mark, f"-{mark}", columns_of, names)


def foreign(columns: Collection[str]) -> dict[str, str]:
    """Return Galaxy Zoo campaigns whose votes cannot be read, each with the reason."""
    names = [uniform(column) for column in columns]
    matches = [
        match for match in map(_FOREIGN.fullmatch, names) if match and match["mark"] not in MARKED
    ]
    reasons = {match["mark"]: "its questions are not known here" for match in matches}
    if any(name.endswith(_MER) for name in names):
        reasons["euclid-mer"] = (
            "the columns of Euclid's MER catalog are a network's predictions in per cent, not votes"
        )
    return reasons


def _stemmed(
    name: str, columns: Collection[str], stems: Mapping[str, str], suffixes: Mapping[Measure, str]
) -> Iterator[tuple[str, Measure, Columns]]:
    """Yield a campaign's vote columns whose names are an answer and a suffix such as _debiased."""
    for measure, suffix in suffixes.items():
        parts_of = {
            answer: (stem + suffix,) for answer, stem in stems.items() if stem + suffix in columns
        }
        if parts_of:
            yield name, measure, parts_of


def _marked(
    name: str, mark: str, columns: Mapping[str, str], names: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, Measure, Columns]]:
    """Yield a campaign's vote columns, named by question, campaign, answer and kind of votes."""
    for measure, suffix in SUFFIXES.items():
        asked = {
            answer: [f"{question}{mark}-{part}{suffix}" for part in parts]
            for answer, (question, *parts) in names.items()
        }
        parts_of = {
            answer: tuple(columns[column] for column in parts)
            for answer, parts in asked.items()
            if parts and columns.keys() >= set(parts)
        }
        if not parts_of:
            continue
        # if a campaign asked a question of Galaxy Zoo 2 without offering one of its answers, this
        # answer has zero votes
        for answer, parts in asked.items():
            answers = next(answers for answers in QUESTIONS.values() if answer in answers)
            if not parts and not parts_of.keys().isdisjoint(answers):
                parts_of[answer] = ()
        yield name, measure, parts_of
