"""Scores of predicted numbers, and the intervals around them: definitions, limits, and files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gzfeatures.errors import InputError, LeakError
from gzfeatures.evaluation.metrics import evaluate, headline
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.conformal_intervals import ValueIntervals
from gzfeatures.evaluation.statistics.residuals import (
    residuals,
    value_intervals_of_metrics,
    value_metrics,
)
from gzfeatures.galaxies.labels.labels import Labels, Target
from gzfeatures.ids import as_ids


def survey(
    n: int, seed: int = 0, target: Target = "redshift", scatter: float = 0.02
) -> tuple[Predictions, Labels]:
    rng = np.random.default_rng(seed)
    ids = as_ids([f"g{seed}-{row}" for row in range(n)])
    true = rng.gamma(3, 0.05, n)
    predicted = true + scatter * (1 + true) * rng.normal(size=n)
    return (
        Predictions(ids, predicted[:, None], ("z",), target),
        Labels(ids, ("z",), true[:, None], target, "z"),
    )


def test_scores_are_those_of_their_definitions() -> None:
    true = np.array([0.1, 0.2, 0.3, 0.4, 1.0])
    predicted = np.array([0.11, 0.18, 0.30, 0.40, 1.2])
    r = residuals(predicted, true, "redshift")
    np.testing.assert_allclose(r, [0.01 / 1.1, -0.02 / 1.2, 0, 0, 0.1])
    scores = value_metrics(r, "redshift")
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean(r**2)))
    assert scores["bias"] == pytest.approx(r.mean())
    assert scores["sigma_nmad"] == pytest.approx(1.4826 * np.median(np.abs(r - np.median(r))))
    assert scores["outlier_share"] == 0.2  # |Δz| / (1 + z) beyond .05: the last one only
    np.testing.assert_allclose(residuals(predicted, true, "value"), predicted - true)
    # of other numbers: beyond 3 σ_NMAD from the median residual
    plain = np.r_[np.linspace(-1, 1, 99) + 5, 60.0]
    assert value_metrics(plain, "value")["outlier_share"] == 0.01


def test_predictions_are_scored_beside_the_median_and_mean_of_the_training_galaxies() -> None:
    predictions, labels = survey(300)
    train, test = labels.ids[:200], labels.ids[200:]
    scores = evaluate(predictions.select(test), labels, train=train)
    assert list(scores.metrics) == ["rmse", "bias", "sigma_nmad", "outlier_share"]
    assert set(scores.intervals) == set(scores.metrics)
    assert all(low <= scores.metrics[m] <= high for m, (low, high) in scores.intervals.items())
    true, known = labels.select(test).values[:, 0], labels.select(train).values[:, 0]
    for name, constant in (("median", np.median(known)), ("mean", known.mean())):
        wanted = np.sqrt(np.mean(((constant - true) / (1 + true)) ** 2))
        assert scores.baselines[name]["rmse"] == pytest.approx(wanted)
    assert scores.rmse is not None and scores.rmse < scores.baselines["median"]["rmse"] / 2
    assert headline("redshift") == headline("value") == "rmse"
    assert scores.accuracy is None and scores.confusion is None
    assert scores.asdict()["baselines"]["median"]["rmse"] > 0


def test_galaxies_that_belong_together_widen_the_intervals() -> None:
    rng = np.random.default_rng(5)
    r = np.repeat(rng.normal(size=100), 3)
    alone = value_intervals_of_metrics(r, "value")
    together = value_intervals_of_metrics(r, "value", np.repeat(np.arange(100), 3))
    for metric in ("rmse", "bias", "sigma_nmad"):
        width, wide = (np.diff(limits[metric])[0] for limits in (alone, together))
        assert 1.4 < wide / width < 2.1, metric  # √3 were they all alike
    nobody = np.zeros(90)
    lone, grouped = (
        value_intervals_of_metrics(nobody, "redshift", groups)["outlier_share"][1]
        for groups in (None, np.repeat(np.arange(30), 3))
    )
    assert grouped > 2.5 * lone  # no outlier among 30 independent groups says less than among 90


def test_fewer_than_ten_groups_have_no_interval() -> None:
    assert value_intervals_of_metrics(np.arange(9.0), "value") == {}
    assert value_intervals_of_metrics(np.arange(90.0), "value", np.repeat(np.arange(9), 10)) == {}


@pytest.mark.parametrize(("coverage", "m"), [(0.9, 99), (0.8, 20), (0.5, 20)])
def test_the_reach_is_the_error_of_the_exact_rank(coverage: float, m: int) -> None:
    ids = as_ids([f"g{row}" for row in range(m)])
    errors = np.arange(1.0, m + 1)
    predictions = Predictions(ids, np.zeros((m, 1)), ("mass",), "value")
    labels = Labels(ids, ("mass",), errors[:, None], "value")
    intervals = ValueIntervals.of(predictions, labels, coverage)
    assert intervals is not None
    rank = np.ceil((m + 1) * coverage - 1e-9)
    np.testing.assert_array_equal(intervals.bounds(predictions)[0], [-rank, rank])


def test_one_galaxy_of_each_group_calibrates_and_too_few_promise_nothing() -> None:
    predictions, labels = survey(60)
    groups = {name: f"pair {row // 2}" for row, name in enumerate(labels.ids)}
    intervals = ValueIntervals.of(predictions, labels, 0.9, groups)
    assert intervals is not None and len(intervals.errors) == 30
    order = np.random.default_rng(0).permutation(60)
    again = ValueIntervals.of(predictions.select(predictions.ids[order]), labels, 0.9, groups)
    assert again is not None
    np.testing.assert_array_equal(again.errors, intervals.errors)
    triples = {name: f"three {row // 3}" for row, name in enumerate(labels.ids[:59])}
    few = predictions.select(predictions.ids[:57])
    assert ValueIntervals.of(few, labels, 0.9, triples) is None  # 19 groups
    seen = Predictions(
        predictions.ids, predictions.probabilities, ("z",), "redshift", np.arange(60) < 41
    )
    assert ValueIntervals.of(seen, labels) is None


def test_coverage_is_measured_on_galaxies_kept_out_and_on_the_same_number() -> None:
    predictions, labels = survey(60)
    intervals = ValueIntervals.of(predictions, labels)
    assert intervals is not None
    seen = dataclasses.replace(predictions, seen=np.arange(60) == 7)
    with pytest.raises(LeakError, match="1 of 60 galaxies were trained on"):
        intervals.coverage_report(seen, labels)
    assert intervals.coverage_report(seen.without_seen(), labels)["n"] == 60
    other = Labels(labels.ids, ("photo_z",), labels.values, "redshift")
    for wrong in (other, Labels(labels.ids, labels.classes, labels.values, "value")):
        with pytest.raises(InputError, match="predictions and labels are of different schemes"):
            intervals.coverage_report(predictions, wrong)
        with pytest.raises(InputError, match="predictions and labels are of different schemes"):
            ValueIntervals.of(predictions, wrong)
    with pytest.raises(InputError, match="no galaxy to score"):
        intervals.coverage_report(predictions.select(predictions.ids[:0]), labels)


def test_more_coverage_than_the_galaxies_can_promise_is_refused() -> None:
    intervals = ValueIntervals.of(*survey(40))
    assert intervals is not None
    with pytest.raises(InputError, match=r"coverage 0\.99.*have 99 calibration galaxies.*found 40"):
        intervals.at(0.99)
    with pytest.raises(InputError, match="coverage; must lie between 0 and 1"):
        intervals.at(1.0)
    wider, narrower = (np.diff(intervals.at(c).bounds(survey(5, 1)[0])).mean() for c in (0.95, 0.5))
    assert wider > narrower


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".fits"])
@pytest.mark.parametrize("column", ["redshift", "log_mass"])
def test_predicted_numbers_come_back_from_every_format(
    tmp_path: Path, ending: str, column: str
) -> None:
    n = 30
    kind = "redshift" if column == "redshift" else "value"
    rng = np.random.default_rng(0)
    numbers = rng.normal(10, 1, (n, 1))
    ids = as_ids([str(587739505552785605 + row) for row in range(n)])
    for bounds in (None, np.hstack([numbers - 1, numbers + 1])):
        predictions = Predictions(
            ids,
            numbers,
            (column,),
            kind,
            seen=np.arange(n) < 3,
            familiarity=rng.uniform(0.01, 1, n),
            bounds=bounds,
        )
        path = predictions.write(tmp_path / f"predictions{ending}")
        back = Predictions.read(path)
        assert back.kind == kind and back.classes == (column,)
        assert back.ids.tolist() == ids.tolist()
        np.testing.assert_array_equal(back.probabilities, numbers)
        np.testing.assert_array_equal(back.seen, predictions.seen)
        np.testing.assert_array_equal(back.familiarity, predictions.familiarity)
        if bounds is None:
            assert back.bounds is None
        else:
            np.testing.assert_array_equal(back.bounds, bounds)
    if ending == ".csv":
        header = path.read_text().splitlines()[0]
        assert header == f"galaxy_id,predicted_{column},lower,upper,familiarity_p,trained_on"


def test_a_class_of_a_strange_name_is_still_a_class(tmp_path: Path) -> None:
    predictions = Predictions(as_ids(["a"]), np.array([[0.4, 0.6]]), ("predicted_x", "lower"))
    back = Predictions.read(predictions.write(tmp_path / "p.csv"))
    assert back.kind == "classes" and set(back.classes) == {"predicted_x", "lower"}


def test_what_needs_classes_refuses_numbers() -> None:
    predictions, labels = survey(30)
    with pytest.raises(InputError, match=r"predictions have no classes.*found numbers"):
        _ = predictions.codes
    with pytest.raises(InputError, match=r"one class per galaxy is needed.*found redshift"):
        _ = labels.codes
    with pytest.raises(InputError, match="one finite number of each galaxy"):
        Predictions(labels.ids, np.full((30, 1), np.nan), ("z",), "redshift")
    classes = Labels(labels.ids, ("a", "b"), np.arange(30) % 2)
    with pytest.raises(InputError, match="different schemes"):
        evaluate(predictions, classes)
