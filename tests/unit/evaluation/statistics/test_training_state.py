"""Which validation curves are called still rising."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.evaluation.statistics.training_state import (
    BASELINE,
    COMMONEST,
    RISING,
    WORDS,
    is_rising,
    why_untrained,
)


def share_called_rising(course: np.ndarray, galaxies: int, memory: float) -> float:
    """Share of 1,000 noisy curves of one course that are called rising."""
    rng = np.random.default_rng(len(course))
    noise = rng.normal(size=(1000, len(course)))
    for epoch in range(1, len(course)):
        noise[:, epoch] *= np.sqrt(1 - memory**2)
        noise[:, epoch] += memory * noise[:, epoch - 1]
    spread = 0.5 * np.sqrt(course * (1 - course) / galaxies)
    curves = np.round((course + noise * spread) * galaxies) / galaxies
    return float(np.mean([is_rising(tuple(curve)) for curve in curves]))


@pytest.mark.parametrize("epochs", [5, 12, 45])
@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_a_converged_curve_is_seldom_called_rising(epochs: int, memory: float) -> None:
    assert share_called_rising(np.full(epochs, 0.8), 100, memory) < 0.07


@pytest.mark.parametrize("epochs", [5, 12, 45])
def test_a_growing_curve_is_found(epochs: int) -> None:
    growing = np.linspace(0.8 - 0.03 * epochs, 0.8, epochs) if epochs < 20 else None
    curve = np.linspace(0.2, 0.8, epochs) if growing is None else growing
    assert share_called_rising(curve, 500, 0.5) > 0.9


def test_a_curve_that_rose_before_and_levelled_off_is_at_rest() -> None:
    assert is_rising((0.2, 0.4, 0.6, 0.7, 0.8, 0.80, 0.803, 0.803, 0.804)) is False


def test_a_rise_without_an_end_is_not_known_of_few_epochs_or_missing_scores() -> None:
    assert is_rising(()) is None
    assert is_rising((0.1, 0.3, 0.5, 0.7)) is None
    assert is_rising((0.1, 0.3, float("nan"), 0.5, 0.7)) is None


def test_an_error_rises_as_a_score_does_and_by_a_hundredth_of_itself() -> None:
    errors = (0.0050, 0.0045, 0.0040, 0.0036, 0.0033)
    score = tuple(-error for error in errors)
    assert is_rising(score, of_one=False) is True
    # a gain of .0007 in accuracy would be none
    assert is_rising(score) is False
    assert is_rising(tuple(reversed(score)), of_one=False) is False


def test_reasons_come_in_order_and_each_has_words() -> None:
    rising = (0.1, 0.2, 0.3, 0.4, 0.5)
    assert why_untrained(rising, accuracy=(0.3, 0.5), commonest=0.35) == COMMONEST
    assert why_untrained(rising, accuracy=(0.4, 0.6), commonest=0.35) == RISING
    assert why_untrained((), accuracy=(0.4, 0.6), commonest=0.35) is None
    assert why_untrained((), rmse=(0.2, 0.31), baseline=0.3) == BASELINE
    assert why_untrained((), rmse=(0.2, 0.29), baseline=0.3) is None
    assert set(WORDS) == {RISING, COMMONEST, BASELINE}
