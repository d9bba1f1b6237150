"""Pairings compared on one split."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from gzfeatures.errors import InputError, LeakError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.paired_tests import mcnemar
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels

CLASSES = ("a", "b", "c")
N = 500


def ids_of(n: int = N) -> np.ndarray:
    return np.array([f"galaxy {i}" for i in range(n)], dtype=object)


TRUTH = Labels(ids_of(), CLASSES, np.random.default_rng(0).integers(0, 3, N))


def guesses(signal: float, seed: int) -> Predictions:
    scores = np.random.default_rng(seed).normal(size=(N, 3)) + signal * np.eye(3)[TRUTH.codes]
    p = np.exp(scores)
    return Predictions(ids_of(), p / p.sum(1, keepdims=True), CLASSES)


def pairing(head: str | None, signal: float = 1.0, seed: int = 0, **changes: object) -> Candidate:
    predictions = guesses(signal, seed)
    fields = {
        "approach": "frozen" if head else "end-to-end",
        "backbone": "resnet50",
        "head": head,
        "scheme": "three",
        "split": "f" * 64,
        "predictions": predictions,
        "scores": evaluate(predictions, TRUTH, intervals=50),
        "seconds": {"extract": 10.0, "fit": 2.0} if head else {"train": 600.0},
        "seed": seed,
        "cost": {"bytes": 1000.0},
    }
    return Candidate(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_best_comes_first_with_its_costs() -> None:
    weak, strong, network = (
        pairing("knn", 0.5, 1),
        pairing("svm", 3.0, 2),
        pairing(None, 1.5, 3, contaminated=True),
    )
    comparison = compare([weak, strong, network], TRUTH)
    assert [row["rank"] for row in comparison.ranking] == [1, 2, 3]
    assert [row["head"] for row in comparison.ranking] == ["svm", None, "knn"]
    first, second, _ = comparison.ranking
    assert first["accuracy"] == strong.scores.accuracy and first["accuracy_interval"]
    assert (first["behind"], first["behind_interval"], first["tied"]) == (0.0, [0.0, 0.0], True)
    assert second["behind"] == pytest.approx(network.scores.accuracy - strong.scores.accuracy)
    assert second["behind_interval"][0] < second["behind"] < second["behind_interval"][1] < 0
    assert not second["tied"] and second["dagger"] and not first["dagger"]
    assert (first["extract_seconds"], first["fit_seconds"], first["end_to_end_seconds"]) == (
        10.0,
        2.0,
        12.0,
    )
    assert first["train_seconds"] is None and first["bytes"] == 1000 and first["parameters"] is None
    assert len(comparison.tests) == 3
    json.dumps(comparison.asdict(), allow_nan=False)


def test_order_of_pairings_and_galaxies_does_not_matter() -> None:
    several = [pairing("svm", 1.2, 1), pairing("knn", 1.0, 2), pairing("lda", 0.8, 3)]
    shuffled = [
        dataclasses.replace(
            p, predictions=p.predictions.select(np.random.default_rng(5).permutation(ids_of()))
        )
        for p in reversed(several)
    ]
    assert compare(several, TRUTH).asdict() == compare(shuffled, TRUTH).asdict()


def test_rank_by_another_metric() -> None:
    several = [pairing("svm", 1.2, 1), pairing("knn", 0.4, 2)]
    comparison = compare(several, TRUTH, metric="log_loss")
    values = [row["log_loss"] for row in comparison.ranking]
    assert values == sorted(values)
    with pytest.raises(
        InputError, match=r"metric; must be one of accuracy, balanced_accuracy.*found beauty"
    ):
        compare(several, TRUTH, metric="beauty")


def test_vote_fractions_are_ranked_by_rmse() -> None:
    rng = np.random.default_rng(0)
    truth = Labels(ids_of(), CLASSES, rng.random((N, 3)), "fractions")
    several = []
    for seed, error in ((1, 0.05), (2, 0.2)):
        said = np.clip(truth.values + error * rng.normal(size=(N, 3)), 0, 1)
        predictions = Predictions(ids_of(), said, CLASSES, "fractions")
        scores = evaluate(predictions, truth, intervals=0)
        several.append(
            pairing(("ridge", "svr")[seed - 1], seed=seed, predictions=predictions, scores=scores)
        )
    comparison = compare(several, truth)
    assert comparison.metric == "rmse" and comparison.ranking[0]["seed"] == 1
    assert comparison.tests[0]["p"] < 0.01 and not comparison.ranking[1]["tied"]


def test_several_labels_are_tested_by_galaxies_all_right() -> None:
    rng = np.random.default_rng(0)
    truth = Labels(ids_of(), CLASSES, rng.random((N, 3)) < 0.3, "multi-label")
    several = []
    for seed, right in ((1, 0.95), (2, 0.7)):
        said = np.where(rng.random((N, 3)) < right, truth.values, ~truth.values) * 0.8 + 0.1
        predictions = Predictions(ids_of(), said, CLASSES, "multi-label")
        scores = evaluate(predictions, truth, intervals=0)
        several.append(
            pairing(("svm", "knn")[seed - 1], seed=seed, predictions=predictions, scores=scores)
        )
    test = compare(several, truth).tests[0]
    a, b = (((p.predictions.probabilities >= 0.5) == truth.values).all(1) for p in several)
    assert (test["only_first"], test["only_second"]) == (int((a & ~b).sum()), int((b & ~a).sum()))


def test_seeds_of_one_pairing_show_their_spread() -> None:
    several = [pairing("svm", 1.0, seed) for seed in range(4)] + [pairing("knn", 1.0, 9)]
    (row,) = compare(several, TRUTH).seeds
    values = [p.scores.accuracy for p in several[:4]]
    assert (row["head"], row["seeds"], row["low"], row["high"]) == (
        "svm",
        4,
        min(values),
        max(values),
    )
    assert row["deviation"] == pytest.approx(np.std(values, ddof=1))


def test_the_mean_over_seeds_counts_not_the_luckiest() -> None:
    lucky = [pairing("svm", signal, seed) for seed, signal in enumerate((3.0, 0.2, 0.2))]
    steady = [pairing("knn", 2.0, seed) for seed in (2, 1, 0)]
    assert max(lucky, key=lambda p: p.scores.accuracy).scores.accuracy > steady[0].scores.accuracy
    ranking = compare([*lucky, *steady], TRUTH).ranking
    assert [(row["head"], row["seed"]) for row in ranking] == [
        (h, s) for h in ("knn", "svm") for s in range(3)
    ]


def test_twins_are_called_different_as_rarely_as_promised() -> None:
    """Methods of equal skill: a false alarm among all pairs in at most a tenth of the
    comparisons."""
    alarms = 0
    for trial in range(60):
        several = [
            pairing(head, 1.0, 100 * trial + s) for s, head in enumerate(("svm", "knn", "lda"))
        ]
        alarms += any(t["p_family"] < 0.1 for t in compare(several, TRUTH, resamples=60).tests)
    assert alarms <= 12  # binomial(60, 0.1) exceeds this in 1 % of trials


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)
    assert mcnemar(5, 5) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"split": "e" * 64},
            "differ in their split; must agree in it: a difference in score would be one "
            "of galaxies",
        ),
        ({"scheme": "other"}, "differ in their scheme"),
    ],
)
def test_unlike_pairings_are_refused_with_the_reason(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(
        InputError, match=rf"resnet50 \+ svm and resnet50 \+ knn: candidates {message}"
    ):
        compare([pairing("svm"), pairing("knn", **changes)], TRUTH)


def test_other_galaxies_or_classes_are_refused() -> None:
    fewer = guesses(1, 1).select(ids_of()[:400])
    other = pairing("knn", predictions=fewer, scores=evaluate(fewer, TRUTH, intervals=0))
    with pytest.raises(InputError, match=r"differ in their test galaxies.*run both on one split"):
        compare([pairing("svm"), other], TRUTH)
    renamed = Predictions(ids_of(), guesses(1, 1).probabilities, ("x", "y", "z"))
    scores = evaluate(renamed, Labels(ids_of(), ("x", "y", "z"), TRUTH.codes), intervals=0)
    with pytest.raises(InputError, match="differ in their classes"):
        compare([pairing("svm"), pairing("knn", predictions=renamed, scores=scores)], TRUTH)


def test_seen_galaxies_are_refused() -> None:
    one = pairing("svm")
    seen = dataclasses.replace(
        one, predictions=dataclasses.replace(one.predictions, seen=np.ones(N, dtype=bool))
    )
    with pytest.raises(LeakError, match="500 of 500 galaxies were trained on"):
        compare([seen], TRUTH)


def test_nothing_twice_and_not_nothing() -> None:
    with pytest.raises(InputError, match="nothing to compare; must have at least one candidate"):
        compare([], TRUTH)
    with pytest.raises(
        InputError, match=r"resnet50 \+ svm, frozen, seed 0: candidate is listed twice"
    ):
        compare([pairing("svm"), pairing("svm")], TRUTH)


def test_pairing_proves_itself() -> None:
    with pytest.raises(InputError, match="candidate; must name a head unless it is end-to-end"):
        pairing("svm", approach="end-to-end")
    with pytest.raises(InputError, match="candidate; must name a head unless it is end-to-end"):
        pairing(None, approach="frozen")
    few = guesses(1, 1).select(ids_of()[:10])
    with pytest.raises(InputError, match="scores are of other predictions"):
        pairing("svm", scores=evaluate(few, TRUTH, intervals=0))


def test_the_metric_of_the_ranking_is_the_one_that_is_tested() -> None:
    """Two methods right on the same galaxies, one far too sure: equal in accuracy, apart in log
    loss."""
    calm = guesses(1.5, 3)
    sharp = calm.probabilities**6
    sure = dataclasses.replace(calm, probabilities=sharp / sharp.sum(1, keepdims=True))
    several = [
        pairing(head, predictions=said, scores=evaluate(said, TRUTH))
        for head, said in (("svm", calm), ("knn", sure))
    ]
    by_accuracy, by_loss = (
        compare(several, TRUTH, metric=name, resamples=500) for name in ("accuracy", "log_loss")
    )
    assert (
        by_accuracy.tests[0]["p_family"] == by_accuracy.tests[0]["p"] == 1
        and by_accuracy.ranking[1]["tied"]
    )
    assert by_loss.tests[0]["p_family"] < 0.01 and not by_loss.ranking[1]["tied"]
    low, high = by_loss.tests[0]["interval"]
    assert low < by_loss.tests[0]["difference"] < high < 0


def test_seeds_of_a_method_are_one_method_in_the_tests() -> None:
    several = [pairing("svm", 1.0, seed) for seed in range(3)] + [
        pairing("knn", 2.0, seed) for seed in range(3)
    ]
    comparison = compare(several, TRUTH, resamples=500)
    (test,) = comparison.tests
    assert test["first"] == "resnet50 + knn, frozen, mean of 3 seeds" and test["p_family"] < 0.01
    assert [row["tied"] for row in comparison.ranking] == [True] * 3 + [False] * 3
    assert comparison.winner["among"] == 2 and comparison.winner["value"] == pytest.approx(
        np.mean([p.scores.accuracy for p in several[3:]])
    )


def test_the_winner_knows_that_it_was_chosen() -> None:
    twins = [
        pairing(head, 1.0, seed)
        for seed, head in enumerate(("svm", "knn", "lda", "mlp", "logistic"))
    ]
    winner = compare(twins, TRUTH, resamples=300).winner
    assert winner["among"] == 5 and 0 < winner["luck"] < 0.04
    assert winner["interval"][0] < winner["corrected"] < winner["interval"][1]
    alone = compare(twins[:1], TRUTH).winner
    assert alone["luck"] == 0 and tuple(alone["interval"]) == twins[0].scores.intervals["accuracy"]


def of_numbers(unit: float, kind: str = "value") -> tuple[list[Candidate], Labels]:
    """Three methods of one skill, and the true numbers, in any unit."""
    rng = np.random.default_rng(0)
    ids, true = ids_of(100), rng.normal(10, 1, 100)
    truth = Labels(ids, ("mass",), (true * unit)[:, None], kind)
    several = []
    for head, scatter in (("svr", 0.3), ("ridge", 0.32), ("knn", 0.5)):
        said = (true + rng.normal(0, scatter, 100)) * unit
        predictions = Predictions(ids, said[:, None], ("mass",), kind)
        scores = evaluate(predictions, truth)
        several.append(pairing(head, predictions=predictions, scores=scores))
    return several, truth


@pytest.mark.parametrize("unit", [1e-24, 1e-6, 1e-3, 1e3, 1e6, 1e10, 1e20, 1e43])
def test_a_comparison_of_numbers_does_not_depend_on_their_unit(unit: float) -> None:
    expected, found = (compare(*of_numbers(scale), resamples=500) for scale in (1.0, unit))
    for before, after in zip(expected.tests, found.tests, strict=True):
        assert (after.first, after.p, after.p_family) == (before.first, before.p, before.p_family)
        np.testing.assert_allclose(np.array(after.interval) / unit, before.interval)
        assert after.interval[0] < after.interval[1]
    assert [row.tied for row in found.ranking] == [row.tied for row in expected.ranking]
    assert expected.winner is not None and found.winner is not None
    assert expected.winner.interval is not None and found.winner.interval is not None
    np.testing.assert_allclose(
        [found.winner.luck / unit, *(end / unit for end in found.winner.interval)],
        [expected.winner.luck, *expected.winner.interval],
    )
    for old, new in zip(expected.ranking, found.ranking, strict=True):
        assert set(new.intervals) == set(old.intervals) == set(old.metrics)
        for name, limits in old.intervals.items():
            scale = 1.0 if name == "outlier_share" else unit
            np.testing.assert_allclose(np.array(new.intervals[name]) / scale, limits)
            assert new.metrics[name] / scale == pytest.approx(old.metrics[name])


def test_equally_good_redshifts_are_rarely_told_apart() -> None:
    """Scatter .003, 60 galaxies: at most one comparison in ten, and here none of forty was a tie
    while the step of a derivative was larger than the sum of squares."""
    rng = np.random.default_rng(1)
    ids, z = ids_of(60), rng.uniform(0.02, 0.1, 60)
    truth = Labels(ids, ("redshift",), z[:, None], "redshift")
    apart = 0
    for _ in range(40):
        several = []
        for head in ("svr", "ridge"):
            said = (z + rng.normal(0, 0.003, 60))[:, None]
            predictions = Predictions(ids, said, ("redshift",), "redshift")
            scores = evaluate(predictions, truth, intervals=0)
            several.append(pairing(head, predictions=predictions, scores=scores))
        apart += not compare(several, truth, resamples=200).ranking[1].tied
    assert apart <= 9  # binomial(40, 0.1) exceeds this in 1 % of trials


@pytest.mark.parametrize(("only_first", "only_second"), [(7, 0), (6, 1), (8, 2), (9, 1), (0, 0)])
def test_the_p_value_of_a_family_is_never_below_that_of_its_pair(
    only_first: int, only_second: int
) -> None:
    ids = ids_of(100)
    truth = Labels(ids, ("disk", "smooth"), np.arange(100) % 2)

    def wrong_at(rows: slice) -> Predictions:
        codes = truth.codes.copy()
        codes[rows] = 1 - codes[rows]
        return Predictions(ids, np.where(np.eye(2)[codes] == 1, 0.9, 0.1), truth.classes)

    several = []
    for head, rows in (("svm", slice(50, 50 + only_second)), ("knn", slice(0, only_first))):
        predictions = wrong_at(rows)
        scores = evaluate(predictions, truth, intervals=0)
        several.append(pairing(head, predictions=predictions, scores=scores))
    (test,) = compare(several, truth, resamples=5000).tests
    assert test.p == mcnemar(only_first, only_second)
    assert test.p <= test.p_family <= test.p + 4 * np.sqrt(test.p / 5000)


@pytest.mark.parametrize("level", [0.5, 0.99])
def test_all_intervals_of_a_comparison_have_its_level(level: float) -> None:
    several = [pairing("svm", 1.2, 1), pairing("knn", 1.0, 2)]
    asked = [
        dataclasses.replace(each, scores=evaluate(each.predictions, TRUTH, level=level))
        for each in several
    ]
    found, expected = (compare(each, TRUTH, level=level) for each in (several, asked))
    assert found.asdict() == expected.asdict() and found.level == level
    widths = [
        np.diff(compare(several, TRUTH, level=each).ranking[0].interval("accuracy") or [])
        for each in (0.5, 0.9, 0.99)
    ]
    assert widths[0] < widths[1] < widths[2]


def test_intervals_of_numbers_of_another_level_are_refused() -> None:
    several, truth = of_numbers(1.0)
    with pytest.raises(InputError, match=r"must have level 0\.99, found 0\.9; evaluate .*=0\.99"):
        compare(several, truth, level=0.99)
    without = [
        dataclasses.replace(each, scores=evaluate(each.predictions, truth, intervals=0))
        for each in several
    ]
    assert compare(without, truth, level=0.99).winner is not None


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_whether_a_network_of_numbers_was_trained_enough_depends_on_no_unit(unit: float) -> None:
    """Without intervals too: the error falls by a tenth in the last epochs, or by a thousandth."""
    several, truth = of_numbers(unit)
    states = []
    for fall in (0.1, 0.001):
        curve = tuple(-unit * (1 - fall * epoch / 5) for epoch in range(6))
        scores = evaluate(several[0].predictions, truth, intervals=0)
        network = dataclasses.replace(
            several[0], approach="end-to-end", head=None, scores=scores, curve=curve
        )
        row = next(row for row in compare([network, several[1]], truth).ranking if not row.head)
        states.append(row.untrained)
    assert states == ["still rising", None]


def test_a_metric_without_value_ranks_nothing() -> None:
    """Test galaxies of one class have no AUC: nothing is tied by it, and nothing is best."""
    one = Labels(ids_of(), CLASSES, np.zeros(N, dtype=int))
    several = []
    for seed, head in enumerate(("svm", "knn")):
        predictions = guesses(1.0, seed)
        scores = evaluate(predictions, one)
        several.append(pairing(head, predictions=predictions, scores=scores))
    with pytest.raises(
        InputError, match=r"auc has no value for these test galaxies.*another metric"
    ):
        compare(several, one, metric="auc")
    assert compare(several, one, metric="accuracy").winner is not None
