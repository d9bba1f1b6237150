"""Claim: a 90 % interval holds the truth in 90 % of surveys, for every metric.

A fixed part of the table that `experiments/benchmarks/coverage.py` prints.
"""

from __future__ import annotations

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
from places import EXPERIMENTS

from gzfeatures.evaluation.statistics import calibration_error

BENCHMARK = EXPERIMENTS / "benchmarks" / "coverage.py"
# under a name of its own: numba looks for the package "coverage" and would find the benchmark
_spec = spec_from_file_location("interval_coverage", BENCHMARK)
assert _spec is not None and _spec.loader is not None
coverage = module_from_spec(_spec)
_spec.loader.exec_module(coverage)

DRAWS = 300
CELLS = (
    (0, 400),
    (2, 400),
    (4, 400),
    (8, 120),
)  # poor, good, nearly perfect with a 2 % class; common classes


@cache
def simulated(index: int, n: int) -> dict[str, dict[str, float]]:
    exact = coverage.truth(*coverage.GRID[index], seed=index)
    return coverage.covered(coverage.GRID[index], exact, n, DRAWS, seed=index)


@pytest.mark.parametrize("metric", (*coverage.METRICS, *coverage.OF_RAREST))
def test_nine_of_ten_intervals_hold_the_truth(metric: str) -> None:
    found = [simulated(*cell)[metric] for cell in CELLS]
    held = [cell["held"] for cell in found if cell["draws"] >= 50]
    assert len(held) == len(CELLS) or metric in (
        "balanced_accuracy",
        "macro_f1",
        "auc",
        *coverage.OF_RAREST,
    )
    # 3 standard errors of one share: 5 points at 300 draws, 8 at the 80 that have ten galaxies of
    # the rare class
    least = 0.85 - 3 * np.sqrt(
        0.85 * 0.15 / min(cell["draws"] for cell in found if cell["draws"] >= 50)
    )
    assert min(held) >= least and np.mean(held) >= 0.87, (metric, held)


def test_intervals_are_given_from_ten_galaxies_of_the_class_on() -> None:
    assert simulated(2, 400)["accuracy"]["given"] == 1
    assert (
        0.15 < simulated(2, 400)["recall"]["given"] < 0.45
    )  # ten or more of an expected eight: .28
    assert simulated(8, 120)["macro_f1"]["given"] == 1


def test_right_probabilities_are_not_called_wrong() -> None:
    """The calibration error's interval reaches 0 for a calibrated classifier nine times in ten."""
    assert simulated(2, 400)["ece"]["held"] > 0.85 and simulated(0, 400)["ece"]["held"] > 0.85


@pytest.mark.parametrize(
    ("index", "n"), [(0, 400), (2, 400), (1, 400), (3, 400)]
)  # right, right, and wrong by .16, .10
def test_what_noise_adds_is_taken_off_the_calibration_error(index: int, n: int) -> None:
    """Of right probabilities more than half of what is measured; of wrong ones what is left is
    their error."""
    exact = coverage.truth(*coverage.GRID[index], seed=index)["ece"]
    rng = np.random.default_rng(0)
    bins = np.stack(
        [
            coverage.Statistics.of(*coverage.survey(*coverage.GRID[index], n, rng)).bins
            for _ in range(100)
        ]
    )
    left = calibration_error.debiased(bins, float(n)).mean()
    measured = np.abs(bins[:, 0]).sum(-1).mean() / n
    assert measured > exact + 0.004
    assert left == pytest.approx(exact, abs=0.005) if exact else left < measured / 2


def test_intervals_are_not_bought_by_width() -> None:
    """Mean widths of the table, with a tenth of tolerance."""
    widths = {
        name: simulated(2, 400)[name]["width"]
        for name in ("accuracy", "macro_f1", "brier", "auc", "ece")
    }
    for name, most in {
        "accuracy": 0.064,
        "macro_f1": 0.15,
        "brier": 0.09,
        "auc": 0.05,
        "ece": 0.06,
    }.items():
        assert widths[name] < most, (name, widths[name])
