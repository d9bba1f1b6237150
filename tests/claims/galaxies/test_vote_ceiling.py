"""Claim: the volunteers' ceiling for an accuracy is the majority's own repeatability, not flattered by its votes."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.results.repeatability import dirichlet_prior, of_majorities


@pytest.mark.parametrize("concentration", [[0.4, 0.3, 0.2], [3.0, 2.0, 2.0]])
@pytest.mark.parametrize("panel", [8, 40])
def test_repeatability_is_what_a_second_panel_finds(concentration: list[float], panel: int) -> None:
    """Galaxies of known fractions, one panel seen: the estimate is how often panels of other people do agree."""
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(concentration, 6000)
    seen, first, second = (rng.multinomial(panel, truth) for _ in range(3))
    agreed = ((first + rng.random(first.shape)).argmax(1) == (second + rng.random(second.shape)).argmax(1)).mean()
    shares = seen / panel
    found = of_majorities(shares, np.full(6000, panel), draws=30).mean()
    assert found == pytest.approx(agreed, abs=0.025)
    np.testing.assert_allclose(dirichlet_prior(shares, np.full(6000, panel)), concentration, rtol=0.15)


def test_a_unanimous_small_panel_is_not_certain_to_be_repeated() -> None:
    rng = np.random.default_rng(1)
    shares = rng.multinomial(5, rng.dirichlet([2, 2], 3000)) / 5
    clean = shares.max(1) == 1
    assert of_majorities(shares, np.full(3000, 5), draws=50)[clean].mean() < 0.9
