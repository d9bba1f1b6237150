"""Claim: intervals of predicted numbers, and of their scores, hold the truth as often as
promised."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.conformal_intervals import ValueIntervals
from gzfeatures.evaluation.statistics.residuals import value_intervals_of_metrics, value_metrics
from gzfeatures.galaxies.labels.labels import Labels, Target
from gzfeatures.ids import as_ids


def photometric(n: int, rng: np.random.Generator) -> np.ndarray:
    """Residuals of photometric redshifts: a narrow core, and one in twenty that is far off."""
    far = rng.random(n) < 0.05
    return np.where(far, rng.normal(0.04, 0.15, n), rng.normal(0.002, 0.02, n))


def in_pairs(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Residuals and groups of n galaxies, a third of them in pairs that are wrong alike."""
    twins = n // 6
    r = photometric(n - twins, rng)
    return np.r_[r, r[:twins]], np.r_[np.arange(n - twins), np.arange(twins)]


@pytest.mark.parametrize("n", [120, 400])
def test_score_intervals_cover_at_the_sizes_of_real_test_sides(n: int) -> None:
    rng = np.random.default_rng(7)
    truth = value_metrics(photometric(2_000_000, rng), "redshift")
    trials, held = 200, dict.fromkeys(truth, 0)
    for _ in range(trials):
        r, groups = in_pairs(n, rng)
        for metric, (low, high) in value_intervals_of_metrics(r, "redshift", groups).items():
            held[metric] += low <= truth[metric] <= high
    shares = {metric: count / trials for metric, count in held.items()}
    # 200 trials scatter by .021: .84 is three of those below the promise
    assert all(0.84 <= share <= 0.98 for share in shares.values()), shares


def galaxies(
    n: int, rng: np.random.Generator, target: Target, prefix: str, pairs: bool = False
) -> tuple[Predictions, Labels, dict[str, str]]:
    """Galaxies whose errors are skewed, and grow with 1 + z; of pairs both have the same error."""
    true = rng.gamma(3, 0.05, n)
    error = 0.02 * (rng.gamma(2, 1, n) - 1)
    group = np.arange(n)
    if pairs:
        group = np.repeat(np.arange(n), rng.choice([1, 6], n, p=[0.8, 0.2]))[:n]
        error, true = error[group], true[group]
    ids = as_ids([f"{prefix}{row}" for row in range(n)])
    scale = 1 + true if target == "redshift" else 1.0
    predictions = Predictions(ids, (true + error * scale)[:, None], ("z",), target)
    groups = {name: f"{prefix}{number}" for name, number in zip(ids, group, strict=True)}
    return predictions, Labels(ids, ("z",), true[:, None], target), groups


@pytest.mark.parametrize("target", ["value", "redshift"])
@pytest.mark.parametrize("calibrated_on", [40, 150])
def test_intervals_hold_the_true_number_nine_times_in_ten(
    target: Target, calibrated_on: int
) -> None:
    rng = np.random.default_rng(calibrated_on)
    held = []
    for trial in range(200):
        predictions, labels, _ = galaxies(calibrated_on, rng, target, f"c{trial}-")
        intervals = ValueIntervals.of(predictions, labels, 0.9)
        assert intervals is not None
        new, true, _ = galaxies(500, rng, target, "n")
        held.append(intervals.coverage_report(new, true)["reached"])
    # a draw of 40 scatters by .047: the mean of 200 draws by .003
    assert 0.89 <= np.mean(held) <= 0.92, np.mean(held)


def test_galaxies_of_one_group_do_not_count_as_many() -> None:
    """Of galaxies in groups of six, the next group is held as often as promised, in every draw's
    mean."""
    rng = np.random.default_rng(3)
    held, naive = [], []
    for trial in range(400):
        predictions, labels, groups = galaxies(60, rng, "value", f"c{trial}-", pairs=True)
        new, true, _ = galaxies(300, rng, "value", "n")
        intervals = ValueIntervals.of(predictions, labels, 0.9, groups)
        if intervals is None:  # fewer than twenty groups, which promise nothing
            continue
        held.append(intervals.coverage_report(new, true)["reached"])
        alone = ValueIntervals.of(predictions, labels, 0.9)
        assert alone is not None
        naive.append(alone.coverage_report(new, true)["reached"])
    assert len(held) > 300
    assert 0.89 <= np.mean(held) <= 0.93, np.mean(held)
    assert np.mean(naive) < np.mean(held) - 0.01  # what the promise would be worth without groups
