"""Which epoch is kept: one that is clearly better than the output layer, never one that is gone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gzfeatures.networks.setup.best_epoch import best_row, gain_of


def history(gains: list[np.ndarray]) -> list[dict[str, Any]]:
    """A solved output layer, and later epochs better than it by so much, galaxy by galaxy."""
    solved = np.linspace(0, 1, 100)
    first = {"epoch": 0, "log_loss": 0.0, "calibrated_log_loss": solved.mean()}
    rows = [{**first, "gain": 0.0, "gain_error": 0.0}]
    for epoch, gain in enumerate(gains, 1):
        losses = solved - gain
        # the log loss as it is rises all the time, and must not count
        row = {"epoch": epoch, "log_loss": 1.0 * epoch, "calibrated_log_loss": losses.mean()}
        rows.append({**row, **gain_of(losses, solved, "log_loss")})
    return rows


def test_tuned_weights_are_kept_if_better_by_more_than_two_standard_errors() -> None:
    noise = np.random.default_rng(0).normal(size=100)
    noise = (noise - noise.mean()) / noise.std(ddof=1)  # a standard error of the mean of .1
    assert best_row(history([noise + 0.19]), "log_loss") == 0
    assert best_row(history([noise + 0.21]), "log_loss") == 1
    assert best_row(history([0 * noise + 0.001]), "log_loss") == 1  # a little, but of every galaxy
    assert best_row(history([noise - 0.5]), "log_loss") == 0
    gains = history([noise + 0.21])[1]
    assert gains["gain"] == pytest.approx(0.21) and gains["gain_error"] == pytest.approx(0.1)


def test_an_epoch_that_was_kept_is_replaced_by_later_ones_only() -> None:
    # the weights of an epoch are on disk only while it is the best: one that was passed over, or
    # replaced, cannot be kept at the end
    rng = np.random.default_rng(0)
    for _ in range(50):
        gains = [rng.normal(rng.normal(0, 0.1), 1, 100) for _ in range(8)]
        kept = [best_row(history(gains[:epochs]), "log_loss") for epochs in range(len(gains) + 1)]
        assert all(now in (before, epoch) for epoch, (before, now) in enumerate(pairwise(kept), 1))
    # the mean of three epochs is the best at the last, which is itself no better than epoch 0
    noise = rng.normal(size=100)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    assert best_row(history([noise + 0.3, noise + 0.5, noise + 0.19]), "log_loss") == 2
    # one lucky epoch after bad ones is no better in the mean
    assert best_row(history([noise - 0.5, noise - 0.5, noise + 0.21]), "log_loss") == 0


def test_a_metric_that_rises_is_better_where_it_is_higher() -> None:
    right = np.repeat([0.0, 1.0], 50)
    better, worse = np.repeat([0.0, 1.0], [20, 80]), np.repeat([0.0, 1.0], [80, 20])
    assert gain_of(better, right, "accuracy")["gain"] == pytest.approx(0.3)
    assert gain_of(worse, right, "accuracy")["gain"] == pytest.approx(-0.3)
    rows = [{"accuracy": value} for value in (0.5, 0.9, 0.6)]
    assert best_row(rows, "accuracy") == 1
