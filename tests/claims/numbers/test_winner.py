"""Claim: the interval of the best method holds its true score although it was chosen for looking
best."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
from places import EXPERIMENTS

from gzfeatures.evaluation.statistics.proportions import clopper_pearson
from gzfeatures.evaluation.winner import luck_of_the_best

# by its place: other files of that folder bear names of packages
_spec = spec_from_file_location("comparisons", EXPERIMENTS / "benchmarks" / "comparisons.py")
assert _spec is not None and _spec.loader is not None
comparisons = module_from_spec(_spec)
_spec.loader.exec_module(comparisons)


def accuracy(sums: np.ndarray, n: np.ndarray) -> np.ndarray:
    return sums[..., 0] / n


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_best_of_twenty_equal_methods_is_held_as_often_as_promised(shared: float) -> None:
    """n = 400, independent errors and errors on the same hard galaxies: without the luck, .3 and .7
    are held."""
    rng = np.random.default_rng(0)
    plain = moved = 0
    trials = 150
    truth = float((rng.normal(size=10**6) * np.sqrt(1 + shared) > -1.2).mean())
    for trial in range(trials):
        hardness = np.sqrt(shared) * rng.normal(size=400)
        right = (hardness + rng.normal(size=(20, 400)) > -1.2).astype(float)
        best = right.mean(1).max()
        luck = luck_of_the_best([[each[:, None]] for each in right], accuracy, True, 200, trial)
        low, high = (float(end) for end in clopper_pearson(best * 400, 400))
        plain += low <= truth <= high
        moved += low - luck <= truth <= high - luck
    assert moved / trials >= 0.87 - 0.055, moved / trials  # two standard errors of 150 trials
    assert plain / trials < moved / trials


@pytest.mark.parametrize(("shared", "ability"), [(0.0, 0.5), (4.0, 1.2), (1.0, 2.5)])
def test_the_winner_is_held_at_any_accuracy(shared: float, ability: float) -> None:
    """Twenty equal methods, 400 galaxies, errors shared little or much."""
    _, held, plain = comparisons.winner(shared, ability, 100)
    assert held >= 0.87 - 0.067 and held > plain, (held, plain)  # two standard errors


def test_a_method_that_stands_out_owes_nothing_to_the_choice() -> None:
    rng = np.random.default_rng(1)
    right = [(rng.random((500, 1)) < p).astype(float) for p in (0.95, 0.6, 0.6)]
    assert 0 <= luck_of_the_best([[each] for each in right], accuracy, True, 300, 0) < 0.003


def test_luck_has_the_sign_of_the_metric() -> None:
    rng = np.random.default_rng(2)
    losses = [[rng.exponential(size=(200, 1))] for _ in range(10)]
    assert luck_of_the_best(losses, accuracy, False, 300, 0) < -0.02
