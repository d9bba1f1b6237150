"""Fitting heads: train only, chosen inside train, the same whatever the order, and honest about
whom it has seen."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, LeakError, UnknownNameError
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.reliability import measured
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.figures.tuning import draw_trials
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.fit import fit
from gzfeatures.heads.inputs import Inputs
from gzfeatures.heads.learning_curve import curve, learning_curve
from gzfeatures.heads.tune import search
from gzfeatures.images.view import View

CLASSES = ("round", "spiral", "merger")
QUICK = {"xgboost": {"rounds": 30}, "ensemble": {"members": ("logistic", "lda")}}


def table_of(
    ids: np.ndarray, matrix: np.ndarray, backbone: str = "resnet50", **fields: object
) -> EmbeddingTable:
    extractor = Extractor(backbone, backbone, "random:0", "pool", matrix.shape[1], View(), **fields)  # type: ignore[arg-type]
    return EmbeddingTable(
        ids, np.array(["0" * 64] * len(ids), dtype=object), matrix.astype(np.float32), extractor
    )


def survey(
    n: int = 400, d: int = 16, signal: float = 2.0, seed: int = 0, groups: int = 0
) -> tuple[EmbeddingTable, Labels, Split]:
    rng = np.random.default_rng(seed)
    ids = np.array([f"J{i:06d}+é=1" for i in range(n)], dtype=object)
    codes = rng.integers(0, 3, n)
    table = table_of(ids, rng.normal(size=(n, d)) + signal * np.eye(3, d)[codes])
    labels = Labels(ids, CLASSES, codes, scheme="three")
    return (
        table,
        labels,
        Split.draw(
            labels, groups={i: f"g{k // groups}" for k, i in enumerate(ids)} if groups else None
        ),
    )


@pytest.mark.parametrize("head", [name for name, entry in HEADS.items() if entry.task == "classes"])
def test_every_head_learns_and_names_classes(head: str) -> None:
    table, labels, split = survey()
    fitted = fit(table, labels, head, split=split, **QUICK.get(head, {}))
    predictions = fitted.predict(table.select(split.test))
    assert predictions.classes == CLASSES and set(predictions.names) <= set(CLASSES)
    assert evaluate(predictions, labels, intervals=0).accuracy > 0.7
    assert fitted.seconds["fit"] > 0 and fitted.numbers > 3
    assert (fitted.split, fitted.labels, fitted.scheme) == (
        split.fingerprint,
        labels.fingerprint,
        "three",
    )


@pytest.mark.parametrize("head", [name for name, entry in HEADS.items() if entry.task == "classes"])
def test_noise_labels_stay_at_chance(head: str) -> None:
    """Every galaxy present twice with a random label: by group nothing can be learned, whatever the
    head."""
    rng = np.random.default_rng(1)
    ids = np.array([f"g{i}" for i in range(1200)], dtype=object)
    half = rng.normal(size=(600, 12))
    table = table_of(ids, np.vstack([half, half + 0.01 * rng.normal(size=half.shape)]))
    codes = np.tile(rng.integers(0, 2, 600), 2)
    labels = Labels(ids, ("a", "b"), codes)
    split = Split.draw(
        labels, (0.6, 0.0, 0.4), groups={f"g{i}": f"galaxy {i % 600}" for i in range(1200)}
    )
    fitted = fit(table, labels, head, split=split, **QUICK.get(head, {}))
    scores = evaluate(fitted.predict(table.select(split.test)), labels, level=0.99)
    # twins err together: the interval over single galaxies is widened by √2 about its middle
    low, high = scores.intervals["balanced_accuracy"]
    middle, reach = (low + high) / 2, (high - low) / 2 * np.sqrt(2)
    assert middle - reach <= 0.5 <= middle + reach, (head, scores.balanced_accuracy)


@pytest.mark.parametrize("head", ["svm", "xgboost", "mlp", "lda"])
def test_order_of_rows_changes_nothing(head: str) -> None:
    table, labels, split = survey(groups=2)
    rng = np.random.default_rng(3)
    mixed = table.select(rng.permutation(table.ids))
    other = Split(
        rng.permutation(split.train), split.validation, rng.permutation(split.test), split.groups
    )
    here = fit(table, labels, head, split=split, seed=5, **QUICK.get(head, {}))
    there = fit(
        mixed,
        labels.select(rng.permutation(labels.ids)),
        head,
        split=other,
        seed=5,
        **QUICK.get(head, {}),
    )
    tests = table.select(split.test)
    np.testing.assert_array_equal(
        here.predict(tests).probabilities, there.predict(tests).probabilities
    )


def test_what_stands_outside_train_changes_nothing() -> None:
    table, labels, split = survey()
    changed = table.matrix.copy()
    outside = ~np.isin(table.ids, split.train)
    changed[outside] = 1e6
    lied = labels.values.copy()
    lied[outside] = 0
    tests = table.select(split.test)
    here = fit(table, labels, "svm", split=split, tune=True)
    there = fit(
        dataclasses.replace(table, matrix=changed),
        dataclasses.replace(labels, values=lied),
        "svm",
        split=split,
        tune=True,
    )
    np.testing.assert_array_equal(
        here.predict(tests).probabilities, there.predict(tests).probabilities
    )
    assert here.parameters == there.parameters


def test_no_argument_of_fit_names_test_galaxies() -> None:
    assert not {
        name for name in inspect.signature(fit).parameters if "test" in name or "valid" in name
    }


def test_scoring_a_galaxy_that_was_trained_on_is_refused() -> None:
    table, labels, split = survey()
    fitted = fit(table, labels, "lda", split=split)
    everything = fitted.predict(table)
    np.testing.assert_array_equal(everything.seen, np.isin(table.ids, split.train))
    with pytest.raises(LeakError, match="280 of 400 galaxies were trained on"):
        evaluate(everything, labels)
    evaluate(everything.select(split.test), labels, intervals=0)


def test_scoring_one_of_a_trained_group_is_refused() -> None:
    table, labels, _ = survey()
    rest = table.ids[50:]
    split = Split(
        table.ids[:40], table.ids[:0], rest, {table.ids[3]: "pair", table.ids[45]: "pair"}
    )
    seen = fit(table, labels, "lda", split=split).predict(table).seen
    assert seen[45] and not seen[46] and seen[:40].all()


def test_galaxies_the_backbone_was_trained_on_are_marked() -> None:
    table, labels, split = survey()
    met = split.test[:3]
    trained = dataclasses.replace(table.extractor, trained_on=TrainedOn.of(met).encode())
    table = dataclasses.replace(table, extractor=trained)
    fitted = fit(table, labels, "lda", split=split)
    with pytest.raises(LeakError, match=f"3 of {len(split.test)} galaxies were trained on"):
        evaluate(fitted.predict(table.select(split.test)), labels)
    evaluate(fitted.predict(table.select(split.test[3:])), labels, intervals=0)


def test_the_group_of_a_galaxy_the_backbone_was_trained_on_is_marked() -> None:
    table, labels, split = survey(groups=2)
    twins = [i for i in split.test if split.groups[i] == split.groups[split.test[0]]]
    trained = dataclasses.replace(table.extractor, trained_on=TrainedOn.of(twins[:1]).encode())
    table = dataclasses.replace(table, extractor=trained)
    seen = fit(table, labels, "lda", split=split).predict(table.select(split.test)).seen
    np.testing.assert_array_equal(seen, np.isin(split.test, twins))


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("known_by", ["file", "picture", "kind"])
def test_a_table_beside_another_is_enough_to_know_a_galaxy_that_was_trained_on(
    known_by: str, swapped: bool
) -> None:
    table, labels, split = survey()
    hashes = np.random.default_rng(0).integers(1, 256, (len(table), 64), dtype=np.uint8)
    files = np.array([fingerprint.of(name) for name in table.ids], dtype=object)
    row = int(np.flatnonzero(table.ids == split.test[0])[0])
    record = {
        "file": TrainedOn.of(["x"], files=files[row : row + 1]),
        "picture": TrainedOn.of(["x"], pictures=hashes[row : row + 1]),
        "kind": TrainedOn.of([split.test[0]], kind="kaggle"),
    }[known_by]
    extractor = dataclasses.replace(table.extractor, trained_on=record.encode())
    knows = dataclasses.replace(
        table, extractor=extractor, digests=files, pictures=hashes, kind="kaggle"
    )
    # vectors of another program, without images
    none = np.array(["0" * 64] * len(table), dtype=object)
    imported = dataclasses.replace(table, digests=none, pictures=None, kind="")
    tables = [knows, imported] if swapped else [imported, knows]
    seen = fit(tables, labels, "lda", split=split).predict(tables).seen
    assert seen is not None
    assert set(table.ids[seen]) == {*split.train, split.test[0]}


# other tables


def test_another_extractors_table_is_refused() -> None:
    table, labels, split = survey()
    fitted = fit(table, labels, "lda", split=split)
    other = dataclasses.replace(
        table, extractor=dataclasses.replace(table.extractor, weights="random:1")
    )
    with pytest.raises(
        InputError,
        match=r"head lda: table comes from another extractor; must be of resnet50 \(pool, 16-d",
    ):
        fitted.predict(other)
    renamed = dataclasses.replace(
        table, extractor=dataclasses.replace(table.extractor, backbone="my-name")
    )
    assert len(fitted.predict(renamed)) == 400  # the name is for people
    narrow = dataclasses.replace(table, matrix=table.matrix[:, :4])
    with pytest.raises(InputError, match="head lda: vector length; must be 16, found 4"):
        fitted.predict(narrow)
    with pytest.raises(InputError, match="head lda: tables; must be 1, found 2"):
        fitted.predict([table, table])


def test_two_backbones_are_joined_by_id() -> None:
    table, labels, split = survey(signal=0.0)
    rng = np.random.default_rng(9)
    informed = table_of(
        labels.ids, rng.normal(size=(400, 5)) + 3 * np.eye(3, 5)[labels.codes], "mobilenet-v2"
    )
    both = [table, informed.select(rng.permutation(informed.ids))]
    fitted = fit(both, labels, "logistic", split=split)
    tests = [table.select(split.test), informed]
    assert fitted.dim == 21 and evaluate(fitted.predict(tests), labels, intervals=0).accuracy > 0.8
    with pytest.raises(InputError, match="table comes from another extractor"):
        fitted.predict([informed, table])
    with pytest.raises(InputError, match=r"mobilenet-v2: 100 of 400 ids are not there"):
        Inputs.of([table, informed.select(informed.ids[:300])])
    with pytest.raises(InputError, match="no embedding table; must be at least one"):
        Inputs.of([])


def test_catalog_columns_join_the_vectors() -> None:
    table, labels, split = survey(signal=0.0)
    redshift = 0.05 + 0.04 * labels.codes + 0.005 * np.random.default_rng(0).normal(size=400)
    redshift[::20] = -9999
    redshift[1::20] = np.nan
    catalog = Catalog.of(pd.DataFrame({"galaxy_id": labels.ids[::-1], "redshift": redshift[::-1]}))
    fitted = fit(table, labels, "svm", split=split, catalog=catalog, columns=["redshift"])
    assert fitted.dim == 17 and fitted.columns == ("redshift",)
    scores = evaluate(fitted.predict(table.select(split.test), catalog), labels, intervals=0)
    assert scores.accuracy > 0.75
    with pytest.raises(
        InputError, match="catalog columns without a catalog, found redshift; give the catalog too"
    ):
        fitted.predict(table)
    with pytest.raises(InputError, match="400 of 400 ids are not there"):
        elsewhere = Catalog.of(pd.DataFrame({"galaxy_id": ["x"], "redshift": [0.1]}))
        fit(table, labels, "svm", split=split, catalog=elsewhere, columns=["redshift"])


# targets


def test_several_labels_at_once() -> None:
    table, labels, split = survey()
    flags = np.stack(
        [labels.codes == 0, labels.codes < 2, np.zeros(400, dtype=bool), np.ones(400, dtype=bool)],
        1,
    )
    several = Labels(labels.ids, ("round", "not-merger", "never", "always"), flags, "multi-label")
    predictions = fit(table, several, "logistic", split=split).predict(table.select(split.test))
    assert predictions.kind == "multi-label"
    assert (predictions.probabilities[:, 2] == 0).all() and (
        predictions.probabilities[:, 3] == 1
    ).all()
    assert evaluate(predictions, several, intervals=0).macro_f1 > 0.6


@pytest.mark.parametrize("head", ["ridge", "svr", "xgboost-regression"])
def test_vote_fractions(head: str) -> None:
    table, labels, split = survey()
    fractions = 1 / (1 + np.exp(-table.matrix[:, :4].astype(float)))
    fractions[::7, 1] = np.nan
    votes = Labels(labels.ids, ("a1", "a2", "a3", "a4"), fractions, "fractions")
    scores = evaluate(
        fit(table, votes, head, split=split).predict(table.select(split.test)), votes, intervals=0
    )
    assert scores.rmse < 0.8 * np.nanstd(fractions)


def test_a_head_of_the_other_kind_is_refused() -> None:
    table, labels, split = survey(60)
    votes = Labels(labels.ids, ("x",), np.random.default_rng(0).random((60, 1)), "fractions")
    with pytest.raises(
        InputError,
        match=r"head does not predict fractions; must be one of ridge, svr, xgboost-regression.*"
        "call the column of classes label",
    ):
        fit(table, votes, "svm", split=split)
    with pytest.raises(
        InputError,
        match=r"head does not predict classes; must be one of logistic, svm.*found ridge",
    ):
        fit(table, labels, "ridge", split=split)


def test_a_class_absent_from_train_gets_no_probability() -> None:
    table, labels, split = survey()
    split = Split(split.train[labels.select(split.train).codes != 2], split.validation, split.test)
    for head in ("svm", "xgboost"):
        p = (
            fit(table, labels, head, split=split, **QUICK.get(head, {}))
            .predict(table.select(split.test))
            .probabilities
        )
        assert p.shape[1] == 3 and (p[:, 2] == 0).all()


def test_classes_are_weighted_by_name() -> None:
    table, labels, split = survey(signal=0.7)
    tests = table.select(split.test)

    def found(weights: object) -> int:
        fitted = fit(table, labels, "logistic", split=split, class_weight=weights)
        assert fitted.parameters["class_weight"] == weights
        return int((fitted.predict(tests).names == "merger").sum())

    assert found({"merger": 5.0}) > found(None) > found({"merger": 0.2})
    with pytest.raises(
        UnknownNameError, match=r"unknown class; must be one of round, spiral, merger, found merge;"
    ):
        fit(table, labels, "logistic", split=split, class_weight={"merge": 2.0})
    flags = Labels(labels.ids, CLASSES, labels.codes[:, None] == np.arange(3), "multi-label")
    with pytest.raises(
        InputError,
        match='weights of classes; must be "balanced" or "macro-f1" where several can hold',
    ):
        fit(table, flags, "logistic", split=split, class_weight={"merger": 2.0})


def test_what_the_classifier_says_before_calibration() -> None:
    table, labels, split = survey(n=900, d=200, signal=1.0)
    tests = table.select(split.test)
    fitted = fit(table, labels, "logistic", split=split, C=100.0, class_weight="balanced")
    before, after = (fitted.predict(tests, calibrated=calibrated) for calibrated in (False, True))
    assert measured(before, labels)["ece"] > measured(after, labels)["ece"] + 0.05
    np.testing.assert_allclose(before.probabilities.sum(1), 1)


def test_what_cannot_be_fitted_is_refused() -> None:
    table, labels, split = survey(60)
    with pytest.raises(
        UnknownNameError, match=r"unknown head; must be one of logistic.*found swm; did you mean"
    ):
        fit(table, labels, "swm", split=split)
    with pytest.raises(
        InputError, match=r"head svm: unknown parameter; must be one of C, gamma.*found epochs"
    ):
        fit(table, labels, "svm", split=split, epochs=3)
    with pytest.raises(
        InputError, match="training labels have one class; must have at least two, found round"
    ):
        fit(
            table,
            dataclasses.replace(labels, values=np.zeros(60, dtype=np.int64)),
            "svm",
            split=split,
        )
    lone = np.where(np.isin(labels.ids, split.train), 0, labels.values)
    lone[np.isin(labels.ids, split.train[:20])] = 1
    lone[labels.ids == split.train[0]] = 2
    with pytest.raises(
        InputError,
        match=r"class has one training galaxy; must have at least two.*found merger; leave",
    ):
        fit(table, dataclasses.replace(labels, values=lone), "svm", split=split)
    with pytest.raises(
        InputError, match=rf"embedding table: \d+ of {len(split.train)} ids are not there"
    ):
        fit(table.select(split.test), labels, "svm", split=split)
    with pytest.raises(InputError, match=rf"labels: \d+ of {len(split.train)} ids are not there"):
        fit(table, labels.select(split.test), "svm", split=split)
    with pytest.raises(InputError, match="embedding is not finite; must hold no NaN"):
        table_of(labels.ids, np.full((60, 2), np.nan))


def test_fewer_galaxies_than_neighbours_are_one_line() -> None:
    table, labels, split = survey(60)
    with pytest.raises(
        InputError, match=r"knn needs 50 neighbours, but has fewer galaxies.*found \d+"
    ):
        fit(table, labels, "knn", split=split, neighbours=50)


def test_galaxies_the_table_says_it_skipped_are_counted_not_fatal() -> None:
    table, labels, split = survey()
    gone = split.train[:5]
    rest = table.ids[~np.isin(table.ids, gone)]
    table = dataclasses.replace(
        table.select(rest), skipped=tuple((name, "broken image") for name in gone)
    )
    assert fit(table, labels, "lda", split=split).left_out == 5


# tuning


def test_tuning_finds_the_better_parameter_and_keeps_every_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, labels, split = survey(groups=2, signal=1.2)
    fitted = fit(table, labels, "svm", split=split, tune=True, progress=True, gamma=1.0)
    assert len(fitted.trials) == 3 and {t["parameters"]["C"] for t in fitted.trials} == set(
        HEADS["svm"].search_space["C"]
    )
    assert fitted.parameters["gamma"] == 1.0  # what is given is not tuned
    best = max(fitted.trials, key=lambda trial: trial["score"])
    assert fitted.parameters["C"] == best["parameters"]["C"] and best["kept"]
    assert fitted.seconds["tune"] > 0
    words = capsys.readouterr()
    assert words.err.count("tune svm") == 3 and not words.out
    picture = draw_trials(fitted.trials, tmp_path / "trials.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="no trials to draw; fit the head with tune=True"):
        draw_trials((), tmp_path / "none.png")


def test_tuning_in_several_processes_is_the_same_tuning() -> None:
    table, labels, split = survey(groups=2)
    here, there = (
        fit(table, labels, "linear-svm", split=split, tune=True, jobs=jobs) for jobs in (1, 2)
    )
    strip = [{k: v for k, v in t.items() if k != "seconds"} for t in here.trials]
    assert strip == [{k: v for k, v in t.items() if k != "seconds"} for t in there.trials]


def test_large_tables_are_tuned_by_halving() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 7000)
    X = (rng.normal(size=(7000, 6)) + 1.5 * np.eye(3, 6)[codes]).astype(np.float32)
    best, trials = search(
        HEADS["linear-svm"], X, codes, None, np.arange(7000), "classes", {"tolerance": 1e-3}
    )
    sizes = [trial["rows"] for trial in trials]
    assert sizes[:3] == sizes[:1] * 3 and 2900 < sizes[0] < 3600 and sizes[3:] == [7000]
    assert best["C"] == next(t for t in trials if t["rung"] == 1 and t["kept"])["parameters"]["C"]


@pytest.mark.parametrize("head", ["ridge", "logistic"])
def test_other_targets_are_tuned_by_their_own_measure(head: str) -> None:
    table, labels, split = survey(120)
    if head == "ridge":
        other = Labels(
            labels.ids, ("x",), np.clip(table.matrix[:, :1] / 4, 0, 1).astype(float), "fractions"
        )
    else:
        other = Labels(labels.ids, CLASSES, np.eye(3, dtype=bool)[labels.codes], "multi-label")
    fitted = fit(table, other, head, split=split, tune=True)
    assert {t["metric"] for t in fitted.trials} == {"rmse" if head == "ridge" else "log loss"}
    lowest = min(fitted.trials, key=lambda trial: trial["score"])
    assert all(fitted.parameters[name] == value for name, value in lowest["parameters"].items())


# learning curves


def test_more_labels_help_and_the_parts_are_nested() -> None:
    table, labels, split = survey(600, signal=1.3)
    rows = learning_curve(
        table, labels, split, ["lda", "knn"], sizes=(20, 100, 10**6), seeds=(0, 1)
    )
    assert len(rows) == 2 * 3 * 2 and {row["galaxies"] for row in rows} == {
        20,
        100,
        len(split.train),
    }
    points = curve(rows, "lda")
    assert [size for size, *_ in points] == [20, 100, len(split.train)]
    assert points[-1][1] > points[0][1]
    assert all(low <= mean <= high for _, mean, low, high in points)
    again = learning_curve(table, labels, split, ["lda"], sizes=(20,), seeds=(0,))
    assert again[0]["accuracy"] == next(
        r["accuracy"] for r in rows if r["head"] == "lda" and r["galaxies"] == 20
    )


def test_head_is_frozen() -> None:
    table, labels, split = survey(60)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit(table, labels, "prototype", split=split).name = "svm"  # type: ignore[misc]
