"""Heads on one number: they learn it in any unit, tune for its RMSE, and name columns that give it
away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.experiment.candidates import fit_heads
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels, Target
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.estimators.machines import RidgeRegression
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head
from gzfeatures.heads.label_leaks import telling_columns

REGRESSORS = [name for name, entry in HEADS.items() if entry.task == "fractions"]


def survey(
    n: int = 600, target: Target = "redshift", unit: float = 1.0, zero: float = 0.0
) -> tuple[EmbeddingTable, Labels, Split]:
    rng = np.random.default_rng(0)
    ids = np.array([f"g{row}" for row in range(n)], dtype=object)
    matrix = rng.normal(size=(n, 8))
    numbers = 0.1 + 0.02 * (matrix[:, 0] + np.tanh(2 * matrix[:, 1])) + 0.004 * rng.normal(size=n)
    labels = Labels(ids, ("z",), zero + unit * numbers[:, None], target, "z")
    groups = {f"g{row}": f"pair {row // 2}" for row in range(100)}
    return table_of(matrix, ids=list(ids)), labels, Split.draw(labels, groups=groups)


@pytest.mark.parametrize("head", REGRESSORS)
@pytest.mark.parametrize("target", ["value", "redshift"])
def test_every_regressor_learns_a_number(head: str, target: Target) -> None:
    table, labels, split = survey(target=target)
    fitted = fit(table, labels, head, split=split)
    predictions = fitted.predict(table.select(split.test))
    assert predictions.kind == target and predictions.classes == ("z",)
    scores = evaluate(predictions, labels, train=split.train)
    assert scores.rmse is not None and scores.rmse < 0.6 * scores.baselines["median"]["rmse"]


@pytest.mark.parametrize("head", REGRESSORS)
def test_the_unit_of_a_number_does_not_matter(head: str) -> None:
    table, labels, split = survey(300, "value")
    here = fit(table, labels, head, split=split).predict(table).values
    for unit, zero in ((1e-6, 0.0), (1e4, 1e9)):
        _, others, _ = survey(300, "value", unit, zero)
        there = fit(table, others, head, split=split).predict(table).values
        np.testing.assert_allclose((there - zero) / unit, here, atol=1e-3 * here.std())


def test_tuning_minimises_the_rmse_of_the_residual_that_is_scored() -> None:
    table, labels, split = survey(300)
    fitted = fit(table, labels, "svr", split=split, tune=True)
    assert {trial["metric"] for trial in fitted.trials} == {"rmse"}
    best = min(fitted.trials, key=lambda trial: trial["score"])
    assert {name: fitted.parameters[name] for name in best["parameters"]} == best["parameters"]
    assert best["score"] < 0.02  # of Δz / (1 + z): the numbers themselves scatter by .03


def test_a_head_for_classes_lists_those_for_numbers() -> None:
    table, labels, split = survey(60)
    with pytest.raises(
        InputError,
        match=r"does not predict numbers; must be one of ridge, svr, xgboost-regression, found svm",
    ):
        fit(table, labels, "svm", split=split)


def test_training_galaxies_of_one_number_are_refused() -> None:
    table, labels, split = survey(60)
    values = labels.values.copy()
    values[np.isin(labels.ids, split.train)] = 0.1
    same = Labels(labels.ids, ("z",), values, "redshift")
    with pytest.raises(InputError, match=r"training galaxies have one number.*found 0\.1"):
        fit(table, same, "ridge", split=split)


def test_fitted_heads_have_scores_intervals_and_familiarity(tmp_path: Path) -> None:
    table, labels, split = survey()
    [(candidate, path)] = fit_heads(
        [table], labels, split, [HeadChoice(name="ridge")], folder=tmp_path, coverage=0.8
    )
    assert candidate.scores.baselines["median"]["rmse"] > candidate.scores.metrics["rmse"]
    report = candidate.calibration["intervals"]
    assert report["promised"] == 0.8 and report["n"] == len(split.test)
    assert abs(report["reached"] - 0.8) < 0.15
    head = Head.read(path)
    predictions = head.predict(table)
    assert predictions.bounds is not None and predictions.familiarity is not None
    wider = head.promising(0.95).predict(table).bounds
    assert wider is not None
    assert (np.diff(wider) > np.diff(predictions.bounds)).all()
    # the validation galaxies are those that calibrated, one of each pair
    assert report["calibrated_on"] < len(split.validation) + 1


def test_few_validation_galaxies_promise_no_interval_and_say_so(tmp_path: Path) -> None:
    table, labels, split = survey(150)
    assert len(split.validation) < 20
    [(candidate, path)] = fit_heads(
        [table], labels, split, [HeadChoice(name="ridge")], folder=tmp_path
    )
    assert any("no interval is promised" in note for note in candidate.calibration["notes"])
    assert Head.read(path).predict(table).bounds is None
    with pytest.raises(InputError, match=r"head gives no intervals.*20 validation galaxies"):
        Head.read(path).promising(0.9)


def test_columns_that_give_the_number_away_are_named() -> None:
    _, labels, split = survey()
    z = labels.values[:, 0]
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "galaxy_id": labels.ids,
            "z": z,
            "copy": z,
            "distance": np.log(1 + 3e5 * z),
            "noisy": z + 0.002 * rng.normal(size=len(z)),
            "magnitude": 17 + 5 * z + rng.normal(size=len(z)),
        }
    )
    columns = ["z", "copy", "distance", "noisy", "magnitude"]
    lines = telling_columns(Catalog(frame), columns, labels, split.train)
    assert lines[:3] == [
        "column z is the number to be predicted",
        "column copy is the number to be predicted",
        "column distance orders the galaxies as z does",
    ]
    assert len(lines) == 4 and lines[3].startswith("column noisy tells 9")


def test_a_number_does_not_depend_on_the_place_of_the_galaxy_in_the_table() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(501, 300)).astype(np.float32)
    head = RidgeRegression().fit(X.copy(), (X[:, :3] - X[:, 5:6]).astype(np.float32))
    whole = head.predict(X)
    order = rng.permutation(len(X))
    np.testing.assert_allclose(head.predict(X[order]), whole[order], rtol=2e-7, atol=1e-8)
    alone = np.concatenate([head.predict(X[row : row + 1]) for row in range(50)])
    np.testing.assert_allclose(alone, whole[:50], rtol=2e-7, atol=1e-8)
