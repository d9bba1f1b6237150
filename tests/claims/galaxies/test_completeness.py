"""Claim: a volume-limited sample says to which redshift it is complete, and is complete up to
there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.cosmology import FlatLambdaCDM

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.splits.completeness import completeness


def universe(limit: float, n: int = 60_000) -> tuple[Catalog, np.ndarray, np.ndarray, np.ndarray]:
    """Galaxies of all magnitudes in a volume; the catalog has those brighter than the limit."""
    rng = np.random.default_rng(0)
    redshift = 0.15 * rng.random(n) ** (1 / 3)
    magnitude = rng.uniform(-23.5, -19, n)
    apparent = magnitude + FlatLambdaCDM(70, 0.3).distmod(redshift).value
    seen = apparent < limit
    ids = np.array([f"g{i}" for i in range(seen.sum())], dtype=object)
    frame = pd.DataFrame(
        {"galaxy_id": ids, "REDSHIFT": redshift[seen], "PETROMAG_MR": magnitude[seen]}
    )
    frame.loc[:3, "REDSHIFT"] = -9999
    return Catalog(frame), redshift, seen & (magnitude < -20.95), magnitude < -20.95


@pytest.mark.parametrize("limit", [16.0, 17.0, 17.77])
def test_the_sample_is_complete_to_the_stated_redshift_and_not_beyond(limit: float) -> None:
    catalog, redshift, seen, there = universe(limit)
    found = completeness(catalog)
    assert found is not None and found.limit == pytest.approx(limit, abs=0.04)
    near, beyond = (
        redshift < found.redshift,
        (redshift > found.redshift * 1.15) & (redshift < found.redshift * 1.3),
    )
    assert seen[near & there].mean() > 0.995 > 0.9 > seen[beyond & there].mean()
    assert found.whole == (limit > 17.2)
    assert f"complete to z = {min(found.redshift, 0.09):.3f}" in str(found)


def test_galaxy_zoo_2_is_not_complete_to_the_end_of_its_volume() -> None:
    """m_r < 17 and M_r < −20.95 meet at z = .085: the volume of the samples goes to .09."""
    found = completeness(universe(17.0)[0])
    assert found is not None and found.redshift == pytest.approx(0.0853, abs=0.001)
    assert "beyond it, to z = 0.09, faint galaxies are missing" in str(found)


def test_without_redshifts_nothing_is_said() -> None:
    frame = pd.DataFrame(
        {"galaxy_id": ["a", "b"], "REDSHIFT_SIMPLE_BIN": [3, 4], "PETROMAG_MR_SIMPLE_BIN": [10, 20]}
    )
    assert completeness(Catalog(frame)) is None
