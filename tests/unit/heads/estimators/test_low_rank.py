"""Kernel machines of survey-sized tables: as right as the exact ones, by the stated equation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gzfeatures.heads import persist
from gzfeatures.heads.estimators import low_rank, machines
from gzfeatures.heads.estimators.machines import RbfMachine


def curved(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rings around each other, which no plane parts, in three dimensions and with noise."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=(0.6, 0.3, 0.1))
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    return (way * (1 + codes[:, None]) + 0.25 * rng.normal(size=(n, 3))).astype(np.float32), codes


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table counts as one of survey size."""
    monkeypatch.setattr(machines, "EXACT_UP_TO", 0)


def test_a_machine_of_low_rank_is_as_right_as_the_exact_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = curved(1500)
    fresh, truth = curved(4000, seed=1)
    exact = (RbfMachine().fit(X, y).predict(fresh) == truth).mean()
    monkeypatch.setattr(machines, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(low_rank, "LANDMARKS", 200)
    machine = RbfMachine().fit(X, y)
    assert (machine.predict(fresh) == truth).mean() > exact - 0.01
    assert 0.75 < exact < 1


def test_a_table_up_to_the_limit_keeps_the_exact_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = curved(300)
    monkeypatch.setattr(machines, "EXACT_UP_TO", 300)
    monkeypatch.setattr(machines, "least_squares", None)  # would not be callable
    assert RbfMachine().fit(X, y).vectors_.shape[0] <= 300


def test_scores_minimise_the_stated_sum(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rank, "ROWS", 37)  # blocks that do not divide the rows
    X, y = curved(200)
    machine = RbfMachine(C=2.0).fit(X, y)
    # with every row as a landmark: the solution of the whole kernel, with an intercept
    squares = ((X[:, None] - X[None]).astype(float) ** 2).sum(2)
    whole = np.exp(-machine.gamma_ * squares) + low_rank.JITTER * np.eye(200)
    signs = np.where(y[:, None] == np.arange(3), 1.0, -1.0)
    # K w + b + w / (2 C) = y and Σ w = 0 (Suykens & Vandewalle 1999, eq. 10)
    system = np.block([[np.zeros((1, 1)), np.ones((1, 200))], [np.ones((200, 1)), whole]])
    system[1:, 1:] += np.eye(200) / (2 * 2.0)
    solution = np.linalg.solve(system, np.vstack([np.zeros((1, 3)), signs]))
    expected = solution[0] + whole @ solution[1:]
    np.testing.assert_allclose(machine.decision_function(X), expected, atol=2e-3)


def test_rows_that_are_all_copies_of_few_are_fitted(always: None) -> None:
    X, y = curved(20)
    many = np.tile(X, (30, 1))
    machine = RbfMachine().fit(many, np.tile(y, 30))
    assert np.isfinite(machine.weights_).all() and (machine.predict(X) == y).mean() > 0.9


def test_landmarks_are_of_all_classes_and_drawn_from_nothing() -> None:
    codes = np.repeat([0, 1, 2], [900, 90, 10])
    rows = low_rank.landmarks(codes, 100)
    assert np.bincount(codes[rows]).tolist() == [90, 9, 1] and len(np.unique(rows)) == 100
    np.testing.assert_array_equal(rows, low_rank.landmarks(codes, 100))


def test_memory_of_a_fit_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    whole = low_rank.kernel
    monkeypatch.setattr(
        low_rank, "kernel", lambda rows, *rest: (asked.append(len(rows)), whole(rows, *rest))[1]
    )
    X, y = curved(5000)
    low_rank.least_squares(X, y, 3, 3.0, 0.3)
    assert max(asked) == low_rank.ROWS and sum(asked) == 5000 + low_rank.LANDMARKS


def test_a_machine_of_low_rank_is_written_and_read(always: None, tmp_path: Path) -> None:
    X, y = curved(200)
    machine = RbfMachine().fit(X, y)
    path = persist.write(tmp_path / "head.skops", {}, machine)
    np.testing.assert_array_equal(
        persist.read(path)[1].decision_function(X), machine.decision_function(X)
    )
