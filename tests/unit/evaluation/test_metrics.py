"""Scores, their intervals, calibration, slices, and predictions on disk."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError, LeakError, MissingFileError
from gzfeatures.evaluation import accuracy_by
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.reliability import coverage_accuracy, reliability
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels


def ids_of(n: int) -> np.ndarray:
    return np.array([f"galaxy {i}" for i in range(n)], dtype=object)


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def drawn(
    n: int = 600, k: int = 4, seed: int = 0, signal: float = 1.5
) -> tuple[Predictions, Labels]:
    """Predictions that are right more often than not, and their labels."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(k, n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    p = softmax(rng.normal(size=(n, k)) + signal * np.eye(k)[codes])
    classes = tuple(f"class-{c}" for c in range(k))
    return Predictions(ids_of(n), p, classes), Labels(ids_of(n), classes, codes)


def test_predictions_of_parts_join_to_those_of_the_whole() -> None:
    plain, _ = drawn(9)
    whole = dataclasses.replace(plain, seen=np.arange(9) % 2 == 0)
    parts = [whole.select(whole.ids[start : start + 4]) for start in (0, 4, 8)]
    joined = Predictions.joined(parts)
    assert joined.ids.tolist() == whole.ids.tolist() and joined.sets is None
    np.testing.assert_array_equal(joined.probabilities, whole.probabilities)
    np.testing.assert_array_equal(joined.seen, whole.seen)


def calibrated(n: int, seed: int, k: int = 3) -> tuple[Predictions, Labels]:
    """Probabilities that are the truth: each label is drawn from them."""
    rng = np.random.default_rng(seed)
    p = softmax(1.5 * rng.normal(size=(n, k)))
    codes = (rng.random((n, 1)) > p.cumsum(1)).sum(1).clip(0, k - 1)
    classes = tuple("abcdefgh"[:k])
    return Predictions(ids_of(n), p, classes), Labels(ids_of(n), classes, codes)


def test_every_metric_is_that_of_scikit_learn() -> None:
    predictions, labels = drawn()
    scores = evaluate(predictions, labels, intervals=0)
    y, p, said = labels.codes, predictions.probabilities, predictions.codes
    assert scores.accuracy == reference.accuracy_score(y, said)
    assert scores.balanced_accuracy == pytest.approx(
        reference.balanced_accuracy_score(y, said), abs=1e-12
    )
    assert scores.macro_f1 == pytest.approx(reference.f1_score(y, said, average="macro"), abs=1e-12)
    assert scores.log_loss == pytest.approx(reference.log_loss(y, p), abs=1e-9)
    assert scores.auc == pytest.approx(reference.roc_auc_score(y, p, multi_class="ovr"), abs=1e-9)
    assert scores.mcc == pytest.approx(reference.matthews_corrcoef(y, said), abs=1e-12)
    assert scores.brier == pytest.approx(((p - np.eye(4)[y]) ** 2).sum(1).mean(), abs=1e-12)
    np.testing.assert_array_equal(scores.confusion, reference.confusion_matrix(y, said))
    precision, recall, f1, support = reference.precision_recall_fscore_support(y, said)
    for c, row in enumerate(scores.per_class):
        assert row["support"] == support[c]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(
            (precision[c], recall[c], f1[c])
        )


def test_calibration_error_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    labels = Labels(ids_of(4), ("a", "b"), np.array([0, 1, 0, 1]))
    # bins: {0.9, 0.9}: stated 0.9, reached 0.5; {0.6}: 0.6, 1; {0.7}: 0.7, 1
    scores = evaluate(Predictions(ids_of(4), p, ("a", "b")), labels, intervals=0)
    assert scores.ece == pytest.approx((2 * 0.4 + 0.4 + 0.3) / 4)
    bins = reliability(Predictions(ids_of(4), p, ("a", "b")), labels)
    assert sum(b["n"] * abs(b["stated"] - b["reached"]) for b in bins) / 4 == pytest.approx(
        scores.ece
    )


def test_an_absent_class_is_left_out_of_the_means_and_is_null_in_json() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    scores = evaluate(
        Predictions(ids_of(2), p, ("a", "b", "c")),
        Labels(ids_of(2), ("a", "b", "c"), np.array([0, 1])),
    )
    assert scores.balanced_accuracy == 1 and scores.macro_f1 == 1
    text = json.dumps(scores.asdict(), allow_nan=False)
    assert json.loads(text)["per_class"][2]["recall"] is None


def test_one_class_only_has_no_auc() -> None:
    p = np.array([[0.8, 0.2], [0.6, 0.4]])
    scores = evaluate(
        Predictions(ids_of(2), p, ("a", "b")), Labels(ids_of(2), ("a", "b"), np.array([0, 0]))
    )
    assert scores.auc is None and "auc" not in scores.metrics


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_order_of_galaxies_does_not_matter(seed: int, k: int) -> None:
    predictions, labels = drawn(60, k, seed)
    shuffled = np.random.default_rng(seed).permutation(ids_of(60))
    here, there = (
        evaluate(p, labels, intervals=0) for p in (predictions, predictions.select(shuffled))
    )
    assert here.metrics == pytest.approx(there.metrics, abs=1e-12)


def test_rmse_is_the_kaggle_measure_and_leaves_unknown_votes_out() -> None:
    rng = np.random.default_rng(1)
    truth, said = rng.random((50, 37)), rng.random((50, 37))
    names = tuple(f"answer-{i}" for i in range(37))
    labels = Labels(ids_of(50), names, truth, "fractions")
    scores = evaluate(Predictions(ids_of(50), said, names, "fractions"), labels, intervals=200)
    assert scores.rmse == pytest.approx(np.sqrt(((said - truth) ** 2).mean()))
    low, high = scores.intervals["rmse"]
    assert low < scores.rmse < high and scores.accuracy is None
    truth[:, 3] = np.nan
    truth[0, 5] = np.nan
    scores = evaluate(Predictions(ids_of(50), said, names, "fractions"), labels, intervals=10)
    assert scores.rmse == pytest.approx(np.sqrt(np.nanmean((said - truth) ** 2)))
    assert scores.asdict()["per_class"][3]["answer_rmse"] is None


def test_several_labels_at_once() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((300, 3)) < [0.5, 0.2, 0.1]
    p = np.clip(0.6 * truth + 0.4 * rng.random((300, 3)), 0, 1)
    names = ("ring", "bar", "merger")
    labels = Labels(ids_of(300), names, truth, "multi-label")
    scores = evaluate(Predictions(ids_of(300), p, names, "multi-label"), labels, intervals=100)
    said = p >= 0.5
    assert scores.accuracy == pytest.approx((said == truth).all(1).mean())
    assert scores.macro_f1 == pytest.approx(reference.f1_score(truth, said, average="macro"))
    assert scores.auc == pytest.approx(reference.roc_auc_score(truth, p))
    assert scores.log_loss == pytest.approx(
        np.mean([reference.log_loss(truth[:, c], p[:, c]) for c in range(3)])
    )
    balanced = np.mean(
        [reference.balanced_accuracy_score(truth[:, c], said[:, c]) for c in range(3)]
    )
    assert scores.balanced_accuracy == pytest.approx(balanced)
    assert scores.intervals["macro_f1"][0] <= scores.macro_f1 <= scores.intervals["macro_f1"][1]


def test_a_class_of_nine_galaxies_has_no_interval_and_one_of_ten_has() -> None:
    for rare, there in ((9, False), (10, True)):
        codes = np.repeat([0, 1], [90, rare])
        p = np.where(np.arange(90 + rare)[:, None] % 7 == 0, [0.4, 0.6], [0.6, 0.4])
        names = ("common", "rare")
        scores = evaluate(
            Predictions(ids_of(90 + rare), p, names), Labels(ids_of(90 + rare), names, codes)
        )
        assert scores.too_few == (() if there else ("rare",))
        assert {"accuracy", "log_loss", "brier", "mcc", "ece"} <= set(scores.intervals)
        for name in ("balanced_accuracy", "macro_f1", "auc"):
            assert (name in scores.intervals) == there, name
        assert ("recall" in scores.per_class[1]["intervals"]) == there
        assert set(scores.per_class[0]["intervals"]) == {"recall", "precision", "f1"}


def test_no_interval_leaves_its_range_and_a_perfect_score_is_not_certain() -> None:
    codes = np.repeat([0, 1, 2], [60, 30, 12])
    p = np.full((102, 3), 0.02) + 0.94 * np.eye(3)[codes]
    scores = evaluate(
        Predictions(ids_of(102), p, ("a", "b", "c")), Labels(ids_of(102), ("a", "b", "c"), codes)
    )
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc", "mcc"):
        low, high = scores.intervals[name]
        assert (
            scores.metrics[name] == pytest.approx(1)
            and high == pytest.approx(1)
            and 0.7 < low < 0.99
        ), (name, low)
    low, high = scores.per_class[2]["intervals"]["recall"]
    assert (low, high) == (pytest.approx(0.05 ** (1 / 12)), 1)  # Clopper & Pearson, 12 of 12
    assert scores.intervals["ece"][0] >= 0


def test_the_calibration_error_is_debiased_and_its_interval_is_that_of_the_true_one() -> None:
    predictions, labels = calibrated(300, 7)
    scores = evaluate(predictions, labels)
    assert scores.ece > 0.02 > scores.ece_debiased >= 0 == scores.intervals["ece"][0]
    sure = Predictions(
        predictions.ids, softmax(3 * np.log(predictions.probabilities)), predictions.classes
    )
    wrong = evaluate(sure, labels)
    low, high = wrong.intervals["ece_debiased"]
    assert 0.05 < low < wrong.ece_debiased < min(high, wrong.ece) and wrong.intervals["ece"] == (
        low,
        high,
    )


def test_intervals_of_a_large_catalog_take_seconds() -> None:
    import time

    predictions, labels = drawn(50_000, 5)
    start = time.process_time()
    scores = evaluate(predictions, labels)
    assert (
        time.process_time() - start < 10
    )  # about 1 s; processor time, since test machines are busy
    low, high = scores.intervals["accuracy"]
    assert high - low == pytest.approx(
        2 * 1.645 * np.sqrt(scores.accuracy * (1 - scores.accuracy) / 50_000), rel=0.1
    )


def test_what_cannot_be_scored_is_refused() -> None:
    predictions, labels = drawn(10)
    with pytest.raises(InputError, match="no galaxy to score"):
        evaluate(predictions.select(predictions.ids[:0]), labels)
    with pytest.raises(InputError, match="labels: 5 of 10 ids are not there"):
        evaluate(predictions, labels.select(labels.ids[:5]))
    other = Labels(labels.ids, ("w", "x", "y", "z"), labels.codes)
    with pytest.raises(InputError, match="different schemes; must predict classes w, x, y, z"):
        evaluate(predictions, other)
    seen = Predictions(
        predictions.ids,
        predictions.probabilities,
        predictions.classes,
        seen=predictions.ids == "galaxy 3",
    )
    with pytest.raises(
        LeakError, match=r"1 of 10 galaxies were trained on.*found galaxy 3; select the test ids"
    ):
        evaluate(seen, labels)
    assert evaluate(seen.select(labels.ids[:3]), labels).n == 3


def test_abstention_keeps_the_confident() -> None:
    curve = coverage_accuracy(*calibrated(4000, 5))
    assert curve["coverage"][-1] == 1 and np.all(np.diff(curve["coverage"]) > 0)
    half = int(np.searchsorted(curve["coverage"], 0.5))
    assert curve["accuracy"][half] > curve["accuracy"][-1] + 0.1


def test_abstention_keeps_equal_confidence_together() -> None:
    p = np.array([[0.8, 0.2]] * 3 + [[0.6, 0.4]] * 2)
    labels = Labels(ids_of(5), ("a", "b"), np.array([0, 0, 1, 0, 0]))
    curve = coverage_accuracy(Predictions(ids_of(5), p, ("a", "b")), labels)
    np.testing.assert_allclose(curve["coverage"], [0.6, 1])
    np.testing.assert_allclose(curve["accuracy"], [2 / 3, 0.8])


@pytest.mark.parametrize("method", ["threshold", "raps"])
@pytest.mark.parametrize("per_class", [False, True])
def test_conformal_sets_keep_their_promise(per_class: bool, method: Any) -> None:
    """Also for wrong probabilities: the promise rests on exchangeable galaxies alone."""
    shares = []
    for survey in range(60):
        predictions, labels = drawn(1400, 4, seed=survey, signal=1.0)
        known = Conformal.of(
            predictions.select(labels.ids[:700]), labels, 0.9, per_class=per_class, method=method
        )
        rest = predictions.select(labels.ids[700:])
        codes = labels.select(rest.ids).codes
        held = known.sets(rest)[np.arange(700), codes]
        shares.append([held[codes == c].mean() for c in range(4)] if per_class else held.mean())
    mean = np.mean(shares, axis=0)
    # the most probable class is in every set, which holds a little more than was promised
    assert np.all((mean >= 0.885) & (mean <= 0.945)), mean


def test_how_sets_kept_their_promise_by_hand() -> None:
    known = Conformal(("a", "b", "c"), np.array([0.3, 0.3, 0.6]), 0.8)
    p = np.array([[0.4, 0.4, 0.2], [0.2, 0.2, 0.6], [0.25, 0.25, 0.5], [0.9, 0.05, 0.05]])
    labels = Labels(ids_of(4), known.classes, np.array([0, 2, 2, 1]))
    kept = known.coverage_report(Predictions(ids_of(4), p, known.classes), labels)
    two = known.coverage_report(
        Predictions(ids_of(4), p, known.classes).select(ids_of(4)[:2]), labels
    )
    assert two["reached_per_class"] == {"a": 1.0, "b": None, "c": 1.0}
    assert (kept["promised"], kept["reached"], kept["n"]) == (0.8, 0.75, 4)
    assert kept["reached_per_class"] == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert (kept["size"], kept["single"], kept["empty"]) == (1.25, 0.75, 0.0)
    assert kept["interval"] == pytest.approx(
        [0.1941, 0.9937], abs=1e-4
    )  # Clopper & Pearson, 3 of 4, 95 %


def test_a_set_is_empty_for_an_unfamiliar_galaxy_alone_and_says_so(tmp_path: Path) -> None:
    predictions, labels = drawn(200)
    known = Conformal.of(predictions.select(labels.ids[:100]), labels)
    rest = dataclasses.replace(predictions.select(labels.ids[100:]), unfamiliar=np.arange(100) < 3)
    held = dataclasses.replace(rest, sets=known.sets(rest))
    assert held.sets[:3].sum() == 0 and held.sets[3:].any(1).all()
    assert list(held.empty_because[:4]) == ["unfamiliar"] * 3 + [""]
    assert known.coverage_report(rest, labels)["unfamiliar"] == 0.03
    for name in ("p.csv", "p.parquet", "p.fits"):
        back = Predictions.read(held.write(tmp_path / name))
        np.testing.assert_array_equal(back.sets, held.sets)
        np.testing.assert_array_equal(back.unfamiliar, held.unfamiliar)
        assert back.classes == held.classes
    fits_none = dataclasses.replace(predictions, sets=np.zeros((200, 4), dtype=bool))
    assert set(fits_none.empty_because) == {"no class fits"}


def test_small_classes_share_a_threshold_and_smaller_ones_are_in_every_set() -> None:
    rng = np.random.default_rng(0)
    sizes = {"a": 200, "b": 40, "c": 12, "d": 8}
    codes = np.repeat(np.arange(4), list(sizes.values()))
    p = softmax(rng.normal(size=(260, 4)) + 2 * np.eye(4)[codes])
    predictions, labels = (
        Predictions(ids_of(260), p, tuple(sizes)),
        Labels(ids_of(260), tuple(sizes), codes),
    )
    known = Conformal.of(predictions, labels)
    assert known.thresholds[3] == 0 and known.sets(predictions)[:, 3].all()
    assert known.thresholds[1] == known.thresholds[2] <= np.sort(p[codes == 1, 1])[3]
    assert known.thresholds[0] == np.sort(p[codes == 0, 0])[19]
    first, second = known.notes
    assert (
        "d is in every class set: 8 calibration galaxies are too few for 90% (at least 9)" in first
    )
    assert second.startswith("c (12), b (40) share a threshold")
    for coverage, said in ((0.975, "97.5%"), (0.995, "99.5%")):
        assert f"are too few for {said} (at least" in known.at(coverage).notes[0]


def test_another_coverage_comes_from_the_same_calibration_galaxies() -> None:
    predictions, labels = drawn(900)
    for method in ("threshold", "raps"):
        known = Conformal.of(predictions, labels, 0.9, method=method)
        there = Conformal.fromdict(json.loads(json.dumps(known.asdict()))).at(0.7)
        np.testing.assert_array_equal(
            there.thresholds, Conformal.of(predictions, labels, 0.7, method=method).thresholds
        )
        assert there.sets(predictions).sum() < known.sets(predictions).sum()
    with pytest.raises(InputError, match=r"one coverage only.*fit the head again"):
        Conformal(("a", "b"), np.array([0.1, 0.1]), 0.9).at(0.95)


def test_conformal_refuses() -> None:
    predictions, labels = drawn(20)
    with pytest.raises(InputError, match=r"coverage; must lie between 0 and 1, found 1.5"):
        Conformal.of(predictions, labels, 1.5)
    with pytest.raises(
        InputError, match=r"method of class sets; must be one of threshold, raps, found aps"
    ):
        Conformal.of(predictions, labels, method="aps")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="predictions are of other classes"):
        Conformal.of(predictions, labels).sets(drawn(20, 3)[0])


def test_a_class_too_small_for_the_promise_is_in_every_set() -> None:
    predictions, labels = drawn(8, 4, seed=1)
    known = Conformal.of(predictions, labels, 0.9, per_class=True)
    assert known.sets(predictions).all()
    assert json.loads(json.dumps(known.asdict()))["coverage"] == 0.9


def voted(n: int = 2000) -> tuple[Predictions, Labels]:
    rng = np.random.default_rng(4)
    soft = rng.dirichlet([0.5, 0.5, 0.5], n)
    codes = (rng.random((n, 1)) > soft.cumsum(1)).sum(1).clip(0, 2)
    labels = Labels(ids_of(n), ("a", "b", "c"), codes, soft=soft)
    return Predictions(ids_of(n), soft.copy(), ("a", "b", "c")), labels


def test_accuracy_rises_with_agreement_up_to_the_ceiling() -> None:
    predictions, labels = voted()
    scores = evaluate(predictions, labels, intervals=0)
    assert [row["n"] for row in scores.agreement] and sum(
        row["n"] for row in scores.agreement
    ) == 2000
    assert np.all(np.diff([row["accuracy"] for row in scores.agreement]) > 0)
    assert np.all(np.diff([row["ceiling"] for row in scores.agreement]) > 0)
    assert scores.ceiling is not None  # the oracle reaches the ceiling of one volunteer
    assert (
        scores.ceiling["reached"]
        == scores.ceiling["ceiling"]
        == pytest.approx(labels.soft.max(1).mean())
    )
    assert scores.ceiling["accuracy"] == scores.accuracy and scores.ceiling["assumed"]
    few = evaluate(predictions, labels, votes=np.full(2000, 5)).ceiling
    assert (
        few["panel"] == 5
        and not few["assumed"]
        and few["repeatability"] < scores.ceiling["repeatability"]
    )


def test_galaxies_without_votes_stand_in_no_bin_of_agreement() -> None:
    predictions, labels = voted(100)
    labels.soft[:40] = 0
    scores = evaluate(predictions, labels, intervals=0)
    assert sum(row["n"] for row in scores.agreement) == 60 == scores.ceiling["n"]
    labels.soft[:] = 0
    assert evaluate(predictions, labels, intervals=0).ceiling is None


def test_an_unknown_vote_fraction_is_not_zero() -> None:
    """Galaxies of .55 and .45, of which the .45 is unknown, are no galaxies of full agreement."""
    ids = ids_of(40)
    soft = np.tile([0.55, 0.45], (40, 1))
    soft[20:, 1] = np.nan
    labels = Labels(ids, ("smooth", "disk"), np.zeros(40, dtype=int), soft=soft)
    scores = evaluate(Predictions(ids, np.tile([0.9, 0.1], (40, 1)), labels.classes), labels)
    (row,) = scores.agreement
    assert (row.low, row.n) == (0.0, 20) and scores.ceiling is not None
    assert scores.ceiling.n == 20 and scores.ceiling.ceiling == pytest.approx(0.55)
    assert scores.ceiling.reached == pytest.approx(0.55)


def test_slices_along_the_catalog() -> None:
    predictions, labels = voted(1000)
    redshift = np.linspace(0.01, 0.25, 1000)
    redshift[:10], redshift[10:15] = -9999, np.nan
    frame = pd.DataFrame({"galaxy_id": labels.ids, "redshift": redshift, "petro_r90": 5.0})
    scores = evaluate(predictions, labels, intervals=0, catalog=Catalog.of(frame))
    rows = scores.slices["redshift"]
    assert len(rows) == 5 and sum(row["n"] for row in rows) == 985
    assert rows[0]["low"] > 0 and rows[0]["high"] == rows[1]["low"]
    assert [row["n"] for row in scores.slices["size"]] == [1000]
    assert "magnitude" not in scores.slices
    right = predictions.codes == labels.codes
    assert rows[0]["accuracy"] == pytest.approx(right[15 : 15 + rows[0]["n"]].mean())
    assert accuracy_by.accuracy_along(predictions, labels, np.full(1000, np.nan)) == []


# predictions on disk


NASTY = [
    "=cmd|'/c calc'!A1",
    "+1",
    "-2",
    "@sum",
    "'quoted",
    "\ttab",
    'a,"b"\nc',
    "587722981742084144",
    "NaN",
    "é ☄",
    "007",
]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".fits"])
@pytest.mark.parametrize("kind", ["classes", "multi-label", "fractions"])
def test_predictions_come_back_as_they_went(tmp_path: Path, ending: str, kind: str) -> None:
    names = NASTY if ending != ".fits" else [name for name in NASTY if name != "'quoted"]
    p = softmax(np.random.default_rng(0).normal(size=(len(names), 3)))
    seen = np.arange(len(names)) % 2 == 0
    sets = p > (0.2 if kind == "classes" else 0.9)
    predictions = Predictions(
        np.array(names, dtype=object), p, ("round", "in-between", "=1+1"), kind, seen, sets
    )
    back = Predictions.read(predictions.write(tmp_path / f"predictions{ending}"))
    np.testing.assert_array_equal(back.ids, predictions.ids)
    np.testing.assert_array_equal(back.probabilities, p)
    np.testing.assert_array_equal(back.seen, seen)
    np.testing.assert_array_equal(back.sets, sets)
    assert (back.classes, back.kind) == (predictions.classes, kind)


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path) -> None:
    ids = np.array([name for name in NASTY if "\n" not in name], dtype=object)
    predictions = Predictions(ids, np.full((len(ids), 2), 0.5), ("@evil", "b"))
    text = predictions.write(tmp_path / "p.csv").read_text(encoding="utf-8")
    for line in text.splitlines():
        # a signed number is an id or a declination of some catalogs, and no formula
        texts = [cell.strip('"') for cell in line.split(",") if not re.fullmatch(r"[-+]\d+", cell)]
        assert not any(text[:1] in tuple("=+-@\t") for text in texts), line


def test_predictions_file_holds_names_and_numbers(tmp_path: Path) -> None:
    predictions, _ = drawn(5, 2)
    frame = pd.read_csv(predictions.write(tmp_path / "p.csv"))
    assert list(frame) == ["galaxy_id", "predicted_class", "class-0", "class-1"]
    assert list(frame["predicted_class"]) == list(predictions.names)


def test_predictions_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    predictions, _ = drawn(3, 2)
    with pytest.raises(
        InputError,
        match=r"p.txt: unknown kind of file; must end in .csv, .csv.gz, .parquet or .fits",
    ):
        predictions.write(tmp_path / "p.txt")
    named = Predictions(predictions.ids, predictions.probabilities, ("galaxy_id", "b"))
    with pytest.raises(InputError, match=r"class has the name of a column.*found galaxy_id"):
        named.write(tmp_path / "p.csv")
    blank = Predictions(
        np.array(["a ", "b", "c"], dtype=object), predictions.probabilities, predictions.classes
    )
    with pytest.raises(
        InputError, match="FITS cannot hold this text, found galaxy_id; write Parquet"
    ):
        blank.write(tmp_path / "p.fits")
    with pytest.raises(MissingFileError, match="predictions not found"):
        Predictions.read(tmp_path / "none.csv")
    for name in ("p.parquet", "p.fits"):
        (tmp_path / name).write_bytes(b"not this")
        with pytest.raises(
            InputError, match=r"not readable as|cannot be read; must begin as FITS does"
        ):
            Predictions.read(tmp_path / name)
    (tmp_path / "p.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        InputError, match="not a file of predictions; must have a column galaxy_id, found a, b"
    ):
        Predictions.read(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("galaxy_id,a\nx,much\n")
    with pytest.raises(InputError, match="probability is not a number"):
        Predictions.read(tmp_path / "p.csv")


def test_a_fits_file_of_predictions_that_cannot_be_read_is_closed(tmp_path: Path) -> None:
    path = drawn(3, 2)[0].write(tmp_path / "p.fits")
    path.write_bytes(path.read_bytes().replace(b"NAXIS   =   ", b"NAXIS   = 1.", 1))
    with pytest.raises(InputError, match="FITS file is damaged in unit 0; must state NAXIS"):
        Predictions.read(path)
    assert str(path) not in [file.path for file in psutil.Process().open_files()]


def test_predictions_prove_themselves() -> None:
    with pytest.raises(InputError, match="do not fit their ids; must have shape"):
        Predictions(ids_of(2), np.ones((2, 3)) / 3, ("a", "b"))
    with pytest.raises(InputError, match=r"NaN or outside its range; must lie in \[0, 1\]"):
        Predictions(ids_of(1), np.array([[np.nan, 1.0]]), ("a", "b"))
    with pytest.raises(
        InputError, match=r"galaxy 0: probabilities of a galaxy; must sum to 1, found 0.5"
    ):
        Predictions(ids_of(1), np.array([[0.25, 0.25]]), ("a", "b"))
    with pytest.raises(InputError, match="mask of seen galaxies"):
        Predictions(ids_of(1), np.array([[0.5, 0.5]]), ("a", "b"), seen=np.zeros(3, dtype=bool))
    with pytest.raises(
        InputError, match=r"sets of classes; must have shape \(1, 2\), found \(2, 2\)"
    ):
        Predictions(
            ids_of(1), np.array([[0.5, 0.5]]), ("a", "b"), sets=np.zeros((2, 2), dtype=bool)
        )
    with pytest.raises(InputError, match="1 duplicate ids"):
        Predictions(np.array(["a", "a"], dtype=object), np.full((2, 2), 0.5), ("a", "b"))
