"""The test of all pairs of methods together."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.evaluation.family import step_down
from gzfeatures.evaluation.paired_tests import mcnemar


@pytest.mark.parametrize("n", [16, 30, 50, 100, 300, 1000, 5000])
@pytest.mark.parametrize(("only_first", "only_second"), [(7, 0), (9, 1), (6, 1), (12, 3)])
def test_two_methods_are_tested_as_by_mcnemar(n: int, only_first: int, only_second: int) -> None:
    """Ties with the measured difference count: without them p would be half of McNemar's."""
    first, second = np.ones((1, n)), np.ones((1, n))
    # some galaxies that both have wrong, so that sums of shares are no round numbers
    both = only_first + only_second
    first[0, both : both + n // 20] = second[0, both : both + n // 20] = 0
    second[0, :only_first] = first[0, only_first:both] = 0
    exact = mcnemar(only_first, only_second)
    resamples = 10_000
    p, single, _ = step_down([first.mean(1), second.mean(1)], [first, second], resamples, 0)
    # three standard errors of the resampling
    assert p[0] == single[0] == pytest.approx(exact, abs=3 * np.sqrt(exact / resamples))


def test_ties_survive_the_rounding_of_shares() -> None:
    """Shares from numerical derivatives are wrong by 1e-9, and ties of them are still ties."""
    rng = np.random.default_rng(0)
    first, second = np.ones((1, 50)), np.ones((1, 50))
    second[0, :7] = 0
    rounded = [share + 1e-9 * rng.normal(size=(1, 50)) for share in (first, second)]
    p, _, _ = step_down([first.mean(1), second.mean(1)], rounded, 10_000, 0)
    assert p[0] == pytest.approx(mcnemar(7, 0), abs=0.004)


def test_p_values_do_not_depend_on_the_unit_of_the_shares() -> None:
    rng = np.random.default_rng(0)
    shares = [rng.normal(size=(1, 40)) for _ in range(4)]
    values = [share.mean(1) for share in shares]
    family, single, error = step_down(values, shares, 500, 0)
    for unit in (1e-30, 1e-6, 1e10, 1e43):
        scaled = step_down([v * unit for v in values], [s * unit for s in shares], 500, 0)
        np.testing.assert_array_equal(scaled[0], family)
        np.testing.assert_array_equal(scaled[1], single)
        np.testing.assert_allclose(scaled[2] / unit, error)
