"""Defaults of heads for few rows of long vectors, and for short ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from gzfeatures.heads.estimators.machines import WIDTH, RbfMachine, RidgeRegression
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.estimators.transforms import Compress, Standardise


def few(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four classes, unequal, that part in 60 of 1,024 columns, each by less than its spread."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(4, n, p=(0.4, 0.3, 0.2, 0.1))
    means = np.random.default_rng(0).normal(size=(4, 1024)) * (np.arange(1024) < 60)
    return (means[codes] + rng.normal(size=(n, 1024))).astype(np.float32), codes


def test_a_kernel_machine_learns_from_few_long_rows() -> None:
    X, y = few(80, 1)
    fresh, truth = few(2000, 2)
    wrong = [
        (HEADS["svm"](0, **numbers).fit(X, y).predict(fresh) != truth).mean()
        for numbers in ({}, {"C": 3.0, "gamma": 1.0})
    ]
    assert wrong[0] < 0.7 * wrong[1]


@pytest.mark.parametrize("width", [3, WIDTH, 1000])
def test_gamma_falls_with_the_length_of_a_vector(width: int) -> None:
    X = Standardise().fit_transform(np.random.default_rng(0).normal(size=(60, width)))
    y = np.arange(60) % 2
    by_default = RbfMachine(accelerated=False).fit(X, y)
    given = RbfMachine(gamma=min(1.0, WIDTH / width), accelerated=False).fit(X, y)
    assert by_default.gamma_ == pytest.approx(given.gamma_, rel=1e-4)
    # all principal components are the same galaxies turned round: distances and γ stay
    turned = RbfMachine(accelerated=False).fit(Compress(1000).fit(X).transform(X), y)
    assert turned.gamma_ == pytest.approx(given.gamma_, rel=1e-3)


@pytest.mark.parametrize("width", [5, 300])
def test_the_penalty_of_a_ridge_is_the_length_of_standardised_vectors(width: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1100, width))
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    y = (X[:, :2] + 0.1 * rng.normal(size=(1100, 2))).astype(np.float32)
    expected = Ridge(float(width)).fit(X, y).predict(X)
    np.testing.assert_allclose(RidgeRegression().fit(X.copy(), y).predict(X), expected, atol=1e-4)
    one = RidgeRegression(2.0).fit(X.copy(), y[:, :1]).predict(X)
    np.testing.assert_allclose(one[:, 0], Ridge(2.0).fit(X, y[:, 0]).predict(X), atol=1e-4)


@pytest.mark.parametrize(("rows", "kept"), [(6, 5), (40, 8), (160, 20), (2000, 100)])
def test_whitened_components_are_few_where_rows_are(rows: int, kept: int) -> None:
    X = np.random.default_rng(0).normal(size=(rows, 200)).astype(np.float32)
    assert Compress(100, whiten=True).fit(X).transform(X).shape[1] == kept
    assert Compress(100).fit(X).transform(X).shape[1] == min(100, rows - 1)


def test_a_default_that_is_none_can_be_named() -> None:
    assert HEADS["svm"].complete({"gamma": "none", "C": 1.0})["gamma"] is None
    assert HEADS["ridge"].complete({"alpha": "none"})["alpha"] is None
    assert HEADS["svm"].complete({"calibration": "none"})["calibration"] == "none"
