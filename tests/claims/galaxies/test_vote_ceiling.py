"""Claim: the volunteers' ceiling for an accuracy is the majority's own repeatability, not flattered by its votes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.repeatability import dirichlet_prior, of_majorities
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels

COUNTS = tuple(
    f"t01_smooth_or_features_a0{number}_{answer}_count"
    for number, answer in ((1, "smooth"), (2, "features_or_disk"), (3, "star_or_artifact"))
)


@pytest.mark.parametrize("concentration", [[0.4, 0.3, 0.2], [3.0, 2.0, 2.0]])
@pytest.mark.parametrize("panel", [8, 40])
def test_repeatability_is_what_a_second_panel_finds(concentration: list[float], panel: int) -> None:
    """Galaxies of known fractions, one panel seen: the estimate is how often panels of other people do agree."""
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(concentration, 6000)
    seen, first, second = (rng.multinomial(panel, truth) for _ in range(3))
    agreed = (
        (first + rng.random(first.shape)).argmax(1) == (second + rng.random(second.shape)).argmax(1)
    ).mean()
    shares = seen / panel
    found = of_majorities(shares, np.full(6000, panel), draws=30).mean()
    assert found == pytest.approx(agreed, abs=0.025)
    np.testing.assert_allclose(
        dirichlet_prior(shares, np.full(6000, panel)), concentration, rtol=0.15
    )


def test_a_unanimous_small_panel_is_not_certain_to_be_repeated() -> None:
    rng = np.random.default_rng(1)
    shares = rng.multinomial(5, rng.dirichlet([2, 2], 3000)) / 5
    clean = shares.max(1) == 1
    assert of_majorities(shares, np.full(3000, 5), draws=50)[clean].mean() < 0.9


def test_the_counts_of_a_catalog_are_the_size_of_its_panels() -> None:
    """Without counts a panel of 40 is assumed, and for a galaxy whose counts are missing too."""
    ids = np.array([f"g{row}" for row in range(60)], dtype=object)
    smooth = np.random.default_rng(0).integers(1, 8, 60)
    soft = np.column_stack([smooth / 8, 1 - smooth / 8])
    labels = Labels(ids, ("smooth", "disk"), soft.argmax(1), soft=soft)
    predictions = Predictions(ids, soft, ("smooth", "disk"))
    frame = pd.DataFrame({"galaxy_id": ids, COUNTS[0]: smooth, COUNTS[1]: 8 - smooth, COUNTS[2]: 0})
    gap = frame.astype(dict.fromkeys(COUNTS, float))
    gap.loc[59, list(COUNTS)] = np.nan
    ceilings = [
        evaluate(predictions, labels, intervals=False, catalog=catalog).ceiling
        for catalog in (Catalog(frame), Catalog(frame[["galaxy_id"]]), Catalog(gap))
    ]
    assert [(each["panel"], each["assumed"]) for each in ceilings] == [
        (8.0, False),
        (40.0, True),
        (pytest.approx((59 * 8 + 40) / 60), True),
    ]
    assert ceilings[0]["repeatability"] < ceilings[1]["repeatability"] - 0.05
