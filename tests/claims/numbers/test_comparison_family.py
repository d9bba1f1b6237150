"""Claim: methods of equal worth are told apart in one comparison of ten at most, and more seeds
show more."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
from places import EXPERIMENTS
from reports import labelled, pairings, report

from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.family import step_down
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.report.ranking_table import ranking_rows
from gzfeatures.report.report import Report
from gzfeatures.tracking.records import ComparisonRecord

# by its place: other files of that folder bear names of packages
_spec = spec_from_file_location("comparisons", EXPERIMENTS / "benchmarks" / "comparisons.py")
assert _spec is not None and _spec.loader is not None
comparisons = module_from_spec(_spec)
_spec.loader.exec_module(comparisons)


def alarms(methods: int, seeds: int, spread: float, trials: int, n: int = 300) -> float:
    """Share of comparisons of equal methods in which any pair is told apart."""
    rng = np.random.default_rng([methods, seeds])
    found = 0
    for trial in range(trials):
        p, _, _ = step_down(
            *comparisons.answers(rng, n, np.full(methods, 1.5), seeds, spread), 250, trial
        )
        found += bool((p < 0.1).any())
    return found / trials


@pytest.mark.parametrize("methods", [2, 5, 10, 20])
def test_equal_methods_are_told_apart_once_in_ten_comparisons(methods: int) -> None:
    """Of one fit each: all pairs as one family. Tested pair by pair, .6 of comparisons of ten would
    raise an alarm."""
    assert alarms(methods, 1, 0.0, 200) <= 0.10 + 0.05  # 2.3 standard errors of 200 trials


@pytest.mark.parametrize("methods", [2, 10])
def test_equal_methods_whose_seeds_vary_are_told_apart_once_in_ten_too(methods: int) -> None:
    """Seeds that scatter by a point of accuracy: three of them are averaged, and their own spread
    is counted in."""
    assert alarms(methods, 3, 0.06, 200) <= 0.10 + 0.05


@pytest.mark.parametrize("methods", [5, 20])
def test_two_seeds_of_equal_methods_are_no_more_often_told_apart(methods: int) -> None:
    """Two seeds leave their variance so open that without allowing for it .17 are told apart."""
    assert comparisons.alarms(methods, 2, 0.12, 200) <= 0.10 + 0.05


def test_power_does_not_fall_with_seeds() -> None:
    power = []
    for seeds in (1, 3, 5):
        rng = np.random.default_rng(seeds)
        told = 0.0
        for trial in range(80):
            abilities = np.array([1.83, 1.5, 1.5, 1.5, 1.5])
            p, _, _ = step_down(*comparisons.answers(rng, 600, abilities, seeds, 0.04), 250, trial)
            told += float((p[:4] < 0.1).mean())
        power.append(told / 80)
    assert power[0] > 0.3 and power[1] >= power[0] and power[2] >= power[1], power


@pytest.mark.parametrize("spread", [0.04, 0.08, 0.12])
def test_where_seeds_vary_power_does_not_fall_with_their_number(spread: float) -> None:
    """At the bound that equal methods pass once in ten, which single fits pass more often."""
    found = [comparisons.power(seeds, spread, 80) for seeds in (1, 3, 5)]
    power = [at_one_in_ten for _, _, at_one_in_ten in found]
    assert power[1] >= power[0] - 0.05 and power[2] >= power[1] - 0.05, power
    assert power[2] >= power[0] + 0.2, power
    # several seeds are no reason for more false alarms: 2.3 standard errors of 80 trials
    assert max(alarm for _, alarm, _ in found[1:]) <= 0.10 + 0.08, found
    if spread <= 0.08:  # the spread of seeds is no larger than that of galaxies
        assert found[2][0] >= found[1][0] - 0.05 >= found[0][0] - 0.15, found


def test_single_fits_that_are_told_apart_differ_that_way_round() -> None:
    """With one seed the fits are compared, not the methods: of the fits what is said is right."""
    told, wrong = comparisons.single_fits(0.12, 150)
    assert told > 0.3
    assert wrong <= 0.10


def test_a_report_says_where_single_trainings_are_compared() -> None:
    labels = labelled(150)
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    three = [each for seed in range(3) for each in pairings(labels, split, seed=seed)]
    several = Report(
        name="three",
        labels=labels,
        split=split,
        candidates=tuple(three),
        comparison=compare(three, labels, resamples=50),
    )
    said = "Trained with one seed: 2 methods; these trainings are compared"
    assert said in report(labels).summary
    assert "one seed" not in several.summary


def test_a_claim_about_methods_needs_several_trainings_of_each() -> None:
    """One training of a network is compared as one training, in each test and row, and said so.

    Of methods nothing is claimed then, so that the power of such claims cannot fall with seeds.
    """
    labels = labelled(150)
    split = Split.draw(labels, (0.5, 0.1, 0.4))
    one = compare(pairings(labels, split), labels, resamples=50)
    several = [each for seed in range(3) for each in pairings(labels, split, seed=seed)]
    three = compare(several, labels, resamples=50)
    trained = {row.method for row in one.ranking if row.approach != "frozen"}
    assert trained and one.single_trainings == trained and not three.single_trainings
    for test in one.tests:
        single = "frozen" not in test.first or "frozen" not in test.second
        assert test.compares == ("trainings" if single else "methods"), test
    assert {test.compares for test in one.tests} == {"trainings", "methods"}
    assert {test.compares for test in three.tests} == {"methods"}
    assert [row.compares for row in one.ranking[1:]] == [
        test.compares for test in one.tests[: len(one.ranking) - 1]
    ]
    assert "compares" not in one.ranking[0].asdict() and one.ranking[1]["compares"]
    # MLflow's column and the report's table say it in the row where a training is told apart
    made = report(labelled(150))
    apart = [row for row in made.comparison.ranking[1:] if not row.tied]
    tags = [each["tied"] for each in ComparisonRecord.of("one", made).compared]
    shown = [row["one_seed"] for row in ranking_rows(made)[1:]]
    assert apart and tags.count("no") == sum(row.compares == "methods" for row in apart)
    assert tags.count("no, one seed") == sum(row.compares == "trainings" for row in apart) > 0
    assert shown == [row.compares == "trainings" for row in made.comparison.ranking[1:]]


def test_a_pair_of_single_fits_is_mcnemars_test() -> None:
    right = [np.repeat([[1.0, 1.0, 0.0]], 1, 0).repeat(20, 1), np.ones((1, 60))]
    right[1][0, 40:47] = 0  # 13 galaxies that the second alone has right
    p, single, _ = step_down([each.mean(1) for each in right], right, 20_000, 0)
    assert p[0] == single[0] == pytest.approx(2 * 0.5**13, abs=3e-4)


def test_methods_that_never_differ_are_equal_for_certain() -> None:
    same = [np.ones((1, 50)), np.ones((1, 50)), np.zeros((1, 50))]
    p, _, _ = step_down([each.mean(1) for each in same], same, 500, 0)
    assert p[0] == 1 and p[1] < 0.01 and p[2] < 0.01
