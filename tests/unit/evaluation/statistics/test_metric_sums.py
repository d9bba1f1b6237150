"""What each galaxy adds to a metric."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.metric_sums import (
    metrics_of,
    shares_of,
    sufficient_statistics,
)
from gzfeatures.galaxies.labels.labels import Labels


@pytest.mark.parametrize("codes", [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "brier"])
def test_shares_have_the_metric_as_their_mean(codes: list[int], metric: str) -> None:
    # the AUC of galaxies of one class is undefined, and must not spoil the other metrics
    ids = np.array(list("abcde"), dtype=object)
    p = np.random.default_rng(0).dirichlet((1, 1), 5)
    predictions = Predictions(ids, p, ("smooth", "disk"))
    truth = Labels(ids, ("smooth", "disk"), np.array(codes))
    shares = shares_of(sufficient_statistics(predictions, truth), metric, "classes", 2)
    scores = evaluate(predictions, truth, intervals=0)
    assert shares.mean() == pytest.approx(scores.metrics[metric])
    if metric == "accuracy":
        np.testing.assert_allclose(shares, p.argmax(1) == codes, atol=1e-9)


UNITS = (1e-24, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e10, 1e43)


def jackknife(columns: np.ndarray, metric: str, kind: str, k: int) -> np.ndarray:
    """Shares by leaving one galaxy out, with m of n the metric: n m − (n − 1) m without it."""
    n = len(columns)
    without = metrics_of(columns.sum(0) - columns, n - 1.0, kind, k)[metric]
    return n * metrics_of(columns.sum(0), float(n), kind, k)[metric] - (n - 1) * without


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["value", "redshift"])
@pytest.mark.parametrize("metric", ["rmse", "bias"])
def test_shares_of_numbers_scale_with_their_unit(unit: float, kind: str, metric: str) -> None:
    residual = np.random.default_rng(0).normal(0.1, 0.3, 400)

    def columns(scale: float) -> np.ndarray:
        return np.column_stack([(residual * scale) ** 2, residual * scale, np.ones(400)])

    shares = shares_of(columns(unit), metric, kind, 1)
    np.testing.assert_allclose(shares / unit, shares_of(columns(1), metric, kind, 1), rtol=1e-9)
    assert shares.mean() == pytest.approx(metrics_of(columns(unit).sum(0), 400, kind, 1)[metric])
    np.testing.assert_allclose(
        shares / unit, jackknife(columns(unit), metric, kind, 1) / unit, atol=0.02
    )


@pytest.mark.parametrize("error", [1e-9, 1e-5, 1e-3, 0.1])
def test_shares_of_vote_fractions_hold_for_small_errors(error: float) -> None:
    rng = np.random.default_rng(0)
    votes = rng.uniform(0.3, 0.7, (300, 2))
    votes[:40, 1] = np.nan
    said = np.nan_to_num(votes, nan=0.5) + error * rng.normal(size=(300, 2))
    ids = np.array([f"g{i}" for i in range(300)], dtype=object)
    columns = sufficient_statistics(
        Predictions(ids, said, ("a", "b"), "fractions"), Labels(ids, ("a", "b"), votes, "fractions")
    )
    shares = shares_of(columns, "rmse", "fractions", 2)
    assert shares.std() > 0.1 * error
    np.testing.assert_allclose(
        shares / error, jackknife(columns, "rmse", "fractions", 2) / error, atol=0.05
    )


def test_shares_of_perfect_numbers_are_zero() -> None:
    columns = np.column_stack([np.zeros(5), np.zeros(5), np.ones(5)])
    assert shares_of(columns, "rmse", "value", 1).tolist() == [0.0] * 5
