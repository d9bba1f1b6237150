"""Formulas of our own that work on whole arrays give the numbers of scipy's functions for one
case."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.stats import beta, binomtest

from gzfeatures.evaluation.statistics.proportions import clopper_pearson, score_interval
from gzfeatures.maps.quality import superposed

HITS, TRIALS = (np.array(numbers) for numbers in ([0, 1, 7, 20, 411], [3, 9, 8, 20, 5000]))


@pytest.mark.parametrize("method", ["exact", "wilson"])
def test_intervals_of_shares_are_those_of_binomtest(method: str) -> None:
    ours = (
        clopper_pearson(HITS, TRIALS, 0.9)
        if method == "exact"
        else score_interval(HITS / TRIALS, TRIALS, 0.9)
    )
    tests = [binomtest(int(k), int(n)) for k, n in zip(HITS, TRIALS, strict=True)]
    theirs = np.transpose([test.proportion_ci(0.9, method) for test in tests])
    np.testing.assert_allclose(np.array(ours), theirs, atol=1e-10)


@pytest.mark.parametrize(("hits", "n"), [(0.5, 20), (0.9, 40), (1e-3, 20), (19.5, 20), (2.5, 8.3)])
def test_fractional_numbers_of_hits_keep_the_formula(hits: float, n: float) -> None:
    """Related galaxies count as less than one each, also where less than one is a hit or a miss."""
    low, high = clopper_pearson(hits, n, 0.9)
    assert low == pytest.approx(beta.ppf(0.05, hits, n - hits + 1))
    assert high == pytest.approx(beta.ppf(0.95, hits + 1, n - hits))
    assert low < hits / n < high


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_disparity_of_two_maps_is_that_of_procrustes(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    here = rng.normal(size=(50, dimensions))
    turned = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0]
    there = 3 * here @ turned + 5 + rng.normal(scale=0.1, size=here.shape)
    turn, scale, centre, disparity, target = superposed(here, there)
    assert disparity == pytest.approx(procrustes(there, here)[2], abs=1e-12)
    np.testing.assert_allclose((here - centre) @ turn * scale + target, there, atol=0.6)
