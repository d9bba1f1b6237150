"""Which measure of the votes a scheme reads, and what a vote that is missing means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.label_scheme import LabelScheme
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.votes.column_names import GZ2, GZ2_SUFFIXES
from gzfeatures.galaxies.votes.vote_columns import RAW, Choice
from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS, PARENTS, QUESTIONS, Measure

EDGE_ON = {"features-or-disk": 1.0, "edge-on-yes": 1.0, "odd-no": 1.0, "bulge-shape-rounded": 1.0}


def hart(
    galaxies: list[dict[str, float]], measures: tuple[Measure, ...] = ("weighted", "debiased")
) -> pd.DataFrame:
    """Galaxies whose named answers have these fractions and the others 0."""
    columns = {
        GZ2[answer] + GZ2_SUFFIXES[measure]: [galaxy.get(answer, 0.0) for galaxy in galaxies]
        for measure in measures
        for answer in ANSWERS
    }
    return pd.DataFrame({"dr7objid": [f"{k}" for k in range(len(galaxies))]} | columns)


def column(answer: str, measure: Measure) -> str:
    return GZ2[answer] + GZ2_SUFFIXES[measure]


def test_all_schemes_read_one_measure_but_those_whose_source_names_another() -> None:
    first = {name: scheme.measures[0] for name, scheme in SCHEMES.items()}
    others = {name: measure for name, measure in first.items() if measure != RAW[0]}
    assert others == {"tuning-fork": "debiased", "votes-37-debiased": "debiased"}
    assert all("debiased" in SCHEMES[name].source for name in others)


@pytest.mark.parametrize("measure", ["count", "fraction", "weighted", "debiased"])
def test_the_measure_that_is_asked_for_is_read_and_said(measure: Measure) -> None:
    frame = hart(
        [{"smooth": 0.6, "features-or-disk": 0.4}], ("count", "fraction", "weighted", "debiased")
    )
    frame[[column("smooth", measure), column("features-or-disk", measure)]] = [[0.1, 0.9]]
    catalog = Catalog.of(frame)
    labels = SCHEMES["q1-3class"].label(catalog, choice=Choice(measure=measure))
    assert labels.names.tolist() == ["features-or-disk"] and labels.origin is not None
    assert measure.removesuffix("ed") in labels.origin.measures["gz2"]
    with pytest.raises(
        InputError, match=r"must have columns of weight votes on smooth.*found .*counts of gz2"
    ):
        SCHEMES["q1-3class"].label(catalog, choice=Choice(measure="weight"))


def test_a_flag_is_no_measure() -> None:
    with pytest.raises(InputError, match="a flag is no measure of votes"):
        Choice(measure="flag")  # type: ignore[arg-type]


def test_flags_alone_are_no_votes() -> None:
    frame = pd.DataFrame({"objid": ["1"]} | {f"{stem}_flag": [1] for stem in GZ2.values()})
    with pytest.raises(InputError, match="no cumulative votes"):
        SCHEMES["q1-3class"].label(Catalog.of(frame))


@pytest.mark.parametrize("target", ["classes", "multi-label"])
def test_a_galaxy_with_two_flags_of_one_question_is_left_out_and_counted(target: str) -> None:
    yes, no = (GZ2[answer] + "_flag" for answer in QUESTIONS["edge-on"])
    rules = {"edge-on": (f"{yes} > 0.5",), "face-on": (f"{no} > 0.5",)}
    scheme = LabelScheme("flags", rules, target=target, on_conflict="first")  # type: ignore[arg-type]
    labels = scheme.label(
        Catalog.of(pd.DataFrame({"objid": list("abc"), yes: [1, 0, 1], no: [0, 1, 1]}))
    )
    assert labels.ids.tolist() == ["a", "b"]
    assert labels.left_out["two answers of one question are flagged"].tolist() == ["c"]


def test_a_missing_vote_is_unknown_and_not_a_no() -> None:
    frame = hart([EDGE_ON, EDGE_ON])
    frame.loc[1, [column(answer, "debiased") for answer in QUESTIONS["edge-on"]]] = np.nan
    labels = SCHEMES["tuning-fork"].label(Catalog.of(frame))
    assert labels.ids.tolist() == ["0"] and labels.values[0].tolist() == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    assert labels.left_out["votes are missing"].tolist() == ["1"]


def test_a_question_nobody_was_asked_is_no_missing_vote() -> None:
    counts = {**EDGE_ON, "features-or-disk": 40.0, "edge-on-yes": 40.0, "odd-no": 40.0}
    frame = hart([counts], ("count",)).merge(hart([EDGE_ON | {"edge-on-no": 0.1}], ("debiased",)))
    labels = SCHEMES["tuning-fork"].label(
        Catalog.of(frame)
    )  # nobody reached bar and spiral, whatever debiasing says
    assert labels.values.tolist() == [[False, True, False, False, False, False]]


def test_fractions_of_zero_beside_counts_are_unknown() -> None:
    counts = {
        **EDGE_ON,
        "features-or-disk": 40.0,
        "edge-on-yes": 38.0,
        "edge-on-no": 2.0,
        "spiral-yes": 2.0,
    }
    fractions = EDGE_ON | {"edge-on-yes": 0.95, "edge-on-no": 0.05}
    frame = hart([counts, counts], ("count",)).merge(hart([fractions, fractions], ("debiased",)))
    frame.loc[1, column("bar-no", "debiased")] = frame.loc[1, column("spiral-yes", "debiased")] = (
        1.0
    )
    frame.loc[1, [column("bulge-obvious", "debiased"), column("bar-no", "debiased")]] = 1.0
    labels = SCHEMES["tuning-fork"].label(Catalog.of(frame))
    assert labels.left_out["votes are missing"].tolist() == [
        "0"
    ]  # two saw arms, and their weights are zero
    assert labels.ids.tolist() == ["1"] and labels.values[0].tolist()[1:4] == [True, False, True]


def test_no_class_is_given_where_a_missing_vote_could_give_another() -> None:
    rules = {"smooth": ("smooth >= 0.45",), "edge-on": ("edge-on-yes >= 0.4",)}
    frame = hart(
        [{"smooth": 0.5, "features-or-disk": 0.5}, {"smooth": 0.7, "features-or-disk": 0.3}]
    )
    for answer in QUESTIONS["edge-on"]:
        frame[column(answer, "weighted")] = np.nan
    labels = LabelScheme("two", rules).label(Catalog.of(frame))
    assert labels.left_out["votes are missing"].tolist() == ["0"]
    assert labels.ids.tolist() == ["1"]  # .3 of all cannot become .4 of all
    first = LabelScheme("first", rules, on_conflict="first").label(Catalog.of(frame))
    assert first.ids.tolist() == ["0", "1"]


def test_a_class_before_the_first_that_holds_leaves_out_if_its_votes_are_missing() -> None:
    frame = hart([{"smooth": 0.5, "features-or-disk": 0.5}])
    for answer in QUESTIONS["edge-on"]:
        frame[column(answer, "weighted")] = np.nan
    smooth, featured, edge_on = (
        ("smooth >= 0.45",),
        ("features-or-disk >= 0.45",),
        ("edge-on-yes >= 0.4",),
    )
    # the galaxy is smooth and featured for certain, and possibly edge-on: which of the three is
    # the first is unknown exactly where edge-on stands before both others
    for rules, left_out in (
        ({"edge-on": edge_on, "smooth": smooth, "featured": featured}, True),
        ({"smooth": smooth, "edge-on": edge_on, "featured": featured}, False),
        ({"smooth": smooth, "featured": featured, "edge-on": edge_on}, False),
    ):
        labels = LabelScheme("three", rules, on_conflict="first").label(Catalog.of(frame))
        assert ("votes are missing" in labels.left_out) is left_out
        assert (labels.ids.tolist() == []) is left_out
        strict = LabelScheme("three", rules).label(Catalog.of(frame))
        assert strict.ids.tolist() == []  # two classes hold: the missing votes change nothing


def test_a_missing_soft_vote_stays_unknown() -> None:
    frame = hart([{"smooth": 0.7, "features-or-disk": 0.3, "completely-round": 1.0}])
    frame[[column(answer, "weighted") for answer in QUESTIONS["edge-on"]]] = np.nan
    soft = SCHEMES["zhu-5class"].label(Catalog.of(frame)).soft
    assert soft is not None
    np.testing.assert_array_equal(soft, [[0.7, 0.0, 0.0, np.nan, np.nan]])


def test_labels_of_few_volunteers_are_counted_and_can_be_left_out() -> None:
    counts = {
        "smooth": 36.0,
        "odd-yes": 3.0,
        "odd-no": 33.0,
        "merger": 3.0,
        "completely-round": 36.0,
    }
    many = counts | {"odd-yes": 30.0, "odd-no": 6.0, "merger": 30.0}
    fractions = {
        "smooth": 1.0,
        "odd-yes": 0.9,
        "odd-no": 0.1,
        "merger": 1.0,
        "completely-round": 1.0,
    }
    frame = hart([counts, many], ("count",)).merge(hart([fractions] * 2, ("debiased",)))
    labels = SCHEMES["tuning-fork"].label(Catalog.of(frame))
    assert (
        labels.counts["merger"] == 2 and labels.origin is not None and labels.origin.few is not None
    )
    assert {name: few for name, few in labels.origin.few.items() if few} == {"merger": 1}
    enough = SCHEMES["tuning-fork"].label(Catalog.of(frame), choice=Choice(min_votes=5))
    assert enough.left_out["asked of fewer than 5 volunteers"].tolist() == [
        "0"
    ] and enough.ids.tolist() == ["1"]
    with pytest.raises(InputError, match="how many volunteers were asked is not known"):
        SCHEMES["tuning-fork"].label(Catalog.of(hart([fractions])), choice=Choice(min_votes=5))


def test_fractions_of_few_volunteers_become_unknown() -> None:
    counts = {"smooth": 36.0, "odd-yes": 3.0, "odd-no": 33.0, "merger": 3.0}
    labels = SCHEMES["votes-37"].label(
        Catalog.of(hart([counts], ("count",))), choice=Choice(min_votes=5)
    )
    known = dict(zip(labels.classes, labels.values[0], strict=True))
    assert (
        known["smooth"] == 1
        and np.isnan(known["merger"])
        and known["odd-yes"] == pytest.approx(3 / 36)
    )


@pytest.mark.data
def test_real_stripe_82_has_the_measures_that_are_known_of_it(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "catalogs" / "gz2_table5_stripe82_coadd.fits.gz")
    smooth = {
        measure: catalog.votes("conditional", (measure,)).answer("smooth") >= 0.469
        for measure in ("count", "fraction", "debiased")
    }
    assert (smooth["debiased"] != smooth["fraction"]).mean() == pytest.approx(0.185, abs=0.001)
    assert (smooth["count"] != smooth["fraction"]).mean() == pytest.approx(0.007, abs=0.001)
    ballots = catalog.ballots("conditional", ("fraction",))
    zeroed = {
        question: int((np.isnan(ballots.votes.values[:, part]).all(axis=1) & (asked > 0)).sum())
        for (question, part), asked in zip(COLUMNS.items(), ballots.asked.T, strict=True)
    }
    assert max(zeroed.values()) == 526
    unknown = np.isnan(ballots.votes.answer("bar-yes")) & ~ballots.unasked("bar-yes")
    assert int(unknown.sum()) <= zeroed["bar"] and PARENTS["bar"] == "edge-on-no"
    mergers = catalog.votes("conditional", ("debiased",)).answer("merger") > 0.5
    few = ballots.asked[:, list(QUESTIONS).index("odd-feature")] < 5
    assert (int(mergers.sum()), int((mergers & few).sum())) == (1232, 426)
    labels = SCHEMES["tuning-fork"].label(catalog)
    assert labels.origin is not None and labels.origin.few is not None
    assert len(labels) + len(labels.left_out["votes are missing"]) == 19761


@pytest.mark.data
def test_real_hart16_rows_with_a_missing_debiased_vote_are_left_out(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "hart16" / "hart16_1000.csv")
    labels = SCHEMES["tuning-fork"].label(catalog)
    votes = catalog.votes("conditional", ("debiased",))
    left_out = labels.left_out["votes are missing"]
    assert len(labels) + len(left_out) == 1000 and 0 < len(left_out) < 50
    rows = np.isin(catalog.ids.astype(str), left_out.astype(str))
    needed = [
        answer
        for texts in SCHEMES["tuning-fork"].classes.values()
        for answer in [texts[0].split()[0]]
    ]
    assert np.isnan([votes.answer(answer)[rows] for answer in needed]).any(axis=0).all()


def test_a_limit_of_many_digits_is_compared_like_the_fractions() -> None:
    frame = hart([{"smooth": 1 / 3, "features-or-disk": 2 / 3}])
    scheme = LabelScheme(
        "thirds", {"third": ("smooth >= 0.333333333333333",), "half": ("smooth > 0.5",)}
    )
    assert scheme.label(Catalog.of(frame)).ids.tolist() == ["0"]


def test_a_reason_that_needs_votes_is_told_where_ready_classes_have_none() -> None:
    ready = Catalog.of(pd.DataFrame({"galaxy_id": ["1", "2"], "morph": ["a", "b"]}))
    rules = {"a": ("smooth > 0.5",), "b": ("features-or-disk > 0.5",)}
    kept = {"mergers": ("merger > 0.5 if known",)}
    labels = LabelScheme("own", rules, column="morph", leave_out=kept).label(ready)
    assert labels.ids.tolist() == ["1", "2"]
    assert labels.left_out["mergers: not known in this catalog"].tolist() == []


def test_a_drawn_scheme_with_a_column_draws_from_votes_where_there_are_some() -> None:
    soft = {"smooth": "smooth", "featured": "features-or-disk"}
    rules: dict[str, tuple[str, ...]] = {"smooth": (), "featured": ()}
    scheme = LabelScheme("drawn", rules, draw=True, soft=soft, column="morph")
    frame = hart([{"smooth": 1.0}, {"features-or-disk": 1.0}])
    for catalog in (frame, frame.assign(morph="smooth")):
        assert scheme.label(Catalog.of(catalog)).names.tolist() == ["smooth", "featured"]
