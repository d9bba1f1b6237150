from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.votes import votes
from gzfeatures.galaxies.votes.column_names import GZ2, KAGGLE
from gzfeatures.galaxies.votes.votes import (
    ANSWERS,
    COLUMNS,
    PARENTS,
    QUESTIONS,
    Conditional,
    Counts,
    Cumulative,
)

steady = settings(derandomize=True, deadline=None, max_examples=60)


def ids(n: int) -> np.ndarray:
    return np.array([f"g{row}" for row in range(n)], dtype=object)


def counts_of(walks: list[list[str]]) -> Counts:
    values = np.zeros((1, len(ANSWERS)))
    for walk in walks:
        for answer in walk:
            values[0, ANSWERS.index(answer)] += 1
    return Counts(ids(1), values, "count")


@st.composite
def walks(draw: st.DrawFn) -> list[str]:
    """Answers of one volunteer, from the first question to the end."""
    walk: list[str] = []
    question: str | None = "smooth-or-features"
    while question is not None:
        walk.append(draw(st.sampled_from(QUESTIONS[question])))
        question = votes.NEXT[walk[-1]]
    return walk


def test_tree_has_eleven_questions_and_37_answers_in_the_order_of_the_catalogs() -> None:
    assert [len(answers) for answers in QUESTIONS.values()] == [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6]
    assert len(set(ANSWERS)) == 37
    assert KAGGLE["dust-lane"] == "Class8.7" and GZ2["dust-lane"].endswith("_a38_dust_lane")
    assert KAGGLE["spiral-no"] == "Class4.2" and GZ2["spiral-no"] == "t04_spiral_a09_no_spiral"
    assert {part.stop - part.start for part in COLUMNS.values()} == {2, 3, 4, 6, 7}


@steady
@given(walks())
def test_every_walk_ends_and_passes_the_parent_of_each_question(walk: list[str]) -> None:
    for answer in walk:
        question = next(name for name, answers in QUESTIONS.items() if answer in answers)
        parent = PARENTS[question]
        assert parent is None or parent in walk[: walk.index(answer)]


@steady
@given(st.lists(walks(), min_size=1, max_size=40))
def test_cumulative_fractions_of_walks_are_shares_of_all_volunteers(
    all_walks: list[list[str]],
) -> None:
    counts = counts_of(all_walks)
    cumulative = counts.conditional().cumulative()
    for question, part in COLUMNS.items():
        if PARENTS[question] is not None and question != "odd-feature":
            np.testing.assert_allclose(
                cumulative.values[0, part], counts.values[0, part] / len(all_walks), atol=1e-12
            )
    asked_odd = counts.question("odd").sum() > 0
    assert np.isnan(cumulative.question("odd")).all() == (not asked_odd)
    assert votes.inconsistencies(cumulative, 1e-9) == {}


@steady
@given(arrays.arrays(np.float64, (5, 37), elements=st.floats(0, 1).map(lambda x: round(x, 4))))
def test_conversion_there_and_back_keeps_every_defined_fraction(drawn: np.ndarray) -> None:
    values = drawn.copy()
    for part in COLUMNS.values():
        total = values[:, part].sum(axis=1, keepdims=True)
        values[:, part] = np.divide(
            values[:, part], total, out=np.full_like(values[:, part], np.nan), where=total > 0
        )
    conditional = Conditional(ids(5), values, "fraction")
    cumulative = conditional.cumulative()
    again = cumulative.conditional()
    for question, part in COLUMNS.items():
        parent = PARENTS[question]
        walked = np.ones(5, dtype=bool) if parent is None else cumulative.answer(parent) > 0
        np.testing.assert_allclose(again.values[walked, part], values[walked, part], rtol=1e-9)
        assert np.isnan(again.values[~walked, part]).all()


def test_a_question_nobody_reached_is_undefined_and_says_so() -> None:
    conditional = counts_of([["smooth", "in-between", "odd-no"]]).conditional()
    missing = {
        name: np.isnan(conditional.question(name)).any(1).sum() for name in ("edge-on", "rounded")
    }
    assert missing == {"edge-on": 1, "rounded": 0}
    cumulative = conditional.cumulative()
    assert (cumulative.question("edge-on") == 0).all()
    assert np.isnan(cumulative.conditional().question("edge-on")).all()


def test_rounding_of_published_tables_is_forgiven_in_the_quotient_but_not_more() -> None:
    values = np.zeros((1, 37))
    values[0, [0, 1]] = 0.4, 0.6
    values[0, ANSWERS.index("odd-no")] = 1
    values[0, ANSWERS.index("completely-round")] = 0.400001
    assert Cumulative(ids(1), values, "weighted").conditional().answer("completely-round")[0] == 1
    values[0, ANSWERS.index("completely-round")] = 0.5
    with pytest.raises(
        InputError,
        match=r"galaxy g0: weighted of 'completely-round' out of range; must lie in \[0, 1\], "
        r"found 1.25",
    ):
        Cumulative(ids(1), values, "weighted").conditional()


def test_inconsistencies_name_the_question_and_the_row() -> None:
    table = counts_of([["smooth", "in-between", "odd-no"]]).conditional().cumulative()
    broken = np.concatenate([table.values, table.values])
    broken[1, ANSWERS.index("in-between")] = 0.7
    found = votes.inconsistencies(Cumulative(ids(2), broken, "weighted"))
    assert {question: rows.tolist() for question, rows in found.items()} == {"rounded": [1]}


def test_votes_out_of_range_and_of_wrong_shape_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"count of 'smooth' out of range; must lie in \[0, inf\], found -1"
    ):
        Counts(ids(1), np.full((1, 37), -1.0), "count")
    with pytest.raises(InputError, match=r"votes do not fit their ids; must have shape \(2, 37\)"):
        Conditional(ids(2), np.zeros((2, 36)), "fraction")
    table = Conditional(ids(1), np.zeros((1, 37)), "fraction")
    with pytest.raises(
        UnknownNameError, match="unknown question; must be one of smooth-or-features"
    ):
        table.question("colour")
    with pytest.raises(UnknownNameError, match=r"unknown answer.*did you mean 'spiral-yes'"):
        table.answer("spiral-yess")


@pytest.mark.data
def test_real_kaggle_rows_keep_the_sums_of_the_tree(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "catalogs" / "kaggle_training_solutions_part.csv")
    table = catalog.votes("cumulative")
    assert isinstance(table, Cumulative) and len(table) == 12_038
    assert votes.inconsistencies(table, 2e-6 + 1e-12) == {}
    conditional = table.conditional()
    missing = {
        name: np.isnan(conditional.question(name)).any(1).sum() for name in ("odd", "bulge-shape")
    }
    assert missing["odd"] == 0 and missing["bulge-shape"] > 6000
    again = conditional.cumulative()
    np.testing.assert_allclose(again.values, table.values, atol=2e-6)


@pytest.mark.data
def test_real_fractions_of_stripe82_follow_the_counts_and_are_blank_where_hardly_anyone_was_asked(
    shared_data: Path,
) -> None:
    catalog = Catalog.read(shared_data / "catalogs" / "gz2_table5_stripe82_coadd.fits.gz")
    counts, fractions = (
        catalog.votes("count", ("count",)),
        catalog.votes("conditional", ("fraction",)),
    )
    assert isinstance(counts, Counts) and isinstance(fractions, Conditional)
    made = counts.conditional()
    both = ~np.isnan(made.values) & ~np.isnan(fractions.values)
    assert (np.abs(made.values - fractions.values)[both] < 2e-3).mean() > 0.9
    for question in QUESTIONS:
        blank = np.isnan(fractions.question(question)).all(axis=1)
        assert counts.question(question)[blank].sum(axis=1).max(initial=0) <= 3
