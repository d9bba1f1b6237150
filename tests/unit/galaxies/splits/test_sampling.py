from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.sampling import STRATEGIES, magnitude_bin, redshift_bin, sample

steady = settings(derandomize=True, deadline=None, max_examples=40)


def survey(
    redshift: object, magnitude: object = -21.5, codes: object = 0, **more: object
) -> tuple[Catalog, Labels]:
    redshift = np.asarray(redshift, dtype=float)
    ids = np.array([f"g{row:03d}" for row in range(len(redshift))], dtype=object)
    frame = pd.DataFrame({"galaxy_id": ids, "REDSHIFT": redshift, "PETROMAG_MR": magnitude, **more})
    return Catalog.of(frame), Labels(
        ids, ("a", "b"), np.broadcast_to(np.asarray(codes), ids.shape).copy()
    )


def test_bins_follow_the_published_formula_with_its_sentinels() -> None:
    redshift = np.array([0.0099, 0.01, 0.0199, 0.02, 0.03, 0.09, 0.1499, 0.15, np.nan, -9999])
    assert redshift_bin(redshift).tolist() == [-999, 0, 0, 1, 2, 8, 13, 999, -9999, -9999]
    magnitude = np.array([-24.01, -24.0, -23.951, -20.951, -20.95, -15.01, -15.0, np.nan])
    assert magnitude_bin(magnitude).tolist() == [-999, 0, 0, 60, 61, 179, 999, -9999]


def test_volume_limit_is_closed_below_and_open_above_and_knows_no_sentinels() -> None:
    redshift = [0.0299, 0.03, 0.0899, 0.09, 0.05, 0.05, 0.05, 0.05, 0.05, np.nan, -9999]
    magnitude = [-21, -21, -21, -21, -20.95, -20.951, -24.0, -24.1, -9999, -21, -21]
    catalog, labels = survey(redshift, magnitude)
    drawn = sample(catalog, labels, "volume-limited")
    assert drawn.ids.tolist() == ["g001", "g002", "g005", "g006"]
    assert len(drawn.left_out["outside the volume, or redshift or magnitude unknown"]) == 7
    faithful = sample(catalog, labels, "volume-limited-faithful").ids.tolist()
    assert faithful == [
        "g001",
        "g002",
        "g005",
        "g006",
        "g007",
        "g008",
    ]  # its sentinels pass the cut


def test_published_bins_are_used_where_the_physical_columns_are_absent() -> None:
    ids = np.array(list("abcde"), dtype=object)
    bins = {
        "REDSHIFT_SIMPLE_BIN": [2, 7, 8, 4, 3],
        "PETROMAG_MR_SIMPLE_BIN": [0, 60, 10, -999, -9999],
    }
    catalog = Catalog.of(pd.DataFrame({"galaxy_id": ids, **bins}))
    labels = Labels(ids, ("a", "b"), np.zeros(5, dtype=np.int64))
    assert sample(catalog, labels, "volume-limited").ids.tolist() == ["a", "b"]
    assert sample(catalog, labels, "volume-limited-faithful").ids.tolist() == ["a", "b", "d", "e"]
    assert sample(catalog, labels, "low-redshift", per_class=None).ids.tolist() == list("abcde")


def test_low_redshift_takes_the_nearest_and_leaves_out_the_unknown() -> None:
    catalog, labels = survey([0.3, 0.1, np.nan, 0.2, -9999, 0.05])
    drawn = sample(catalog, Labels(labels.ids, ("a",), labels.values), "low-redshift", per_class=2)
    assert drawn.ids.tolist() == ["g001", "g005"]
    assert drawn.left_out["redshift is unknown"].tolist() == ["g002", "g004"]
    assert drawn.left_out["not drawn"].tolist() == ["g000", "g003"]
    faithful = sample(
        catalog, Labels(labels.ids, ("a",), labels.values), "low-redshift-faithful", per_class=2
    )
    assert faithful.ids.tolist() == ["g002", "g004"]  # sentinels sort first


def test_left_outs_of_the_scheme_are_kept() -> None:
    catalog, labels = survey([0.05, 0.05])
    labels = Labels(
        labels.ids[:1],
        ("a", "b"),
        np.zeros(1, dtype=np.int64),
        left_out={"no rule claims it": labels.ids[1:]},
    )
    assert sample(catalog, labels, "random").left_out["no rule claims it"].tolist() == ["g001"]


@steady
@given(st.integers(0, 1000), st.integers(1, 20), st.sampled_from(list(STRATEGIES)))
def test_quotas_are_met_exactly_and_the_draw_does_not_depend_on_row_order(
    seed: int, quota: int, strategy: str
) -> None:
    random = np.random.default_rng(seed)
    catalog, labels = survey(
        random.uniform(0.03, 0.0899, 80), random.uniform(-24, -20.96, 80), np.arange(80) % 2
    )
    drawn = sample(catalog, labels, strategy, per_class=quota, seed=seed)
    assert drawn.counts == {"a": quota, "b": quota}
    shuffled = labels.select(random.permutation(labels.ids))
    assert set(sample(catalog, shuffled, strategy, per_class=quota, seed=seed).ids) == set(
        drawn.ids
    )
    larger = sample(catalog, labels, strategy, per_class=quota + 5, seed=seed)
    assert set(drawn.ids) <= set(larger.ids)  # a larger quota only adds


def test_every_galaxy_is_as_likely_to_be_drawn() -> None:
    catalog, labels = survey(np.full(40, 0.05), -21.5, np.arange(40) % 2)
    drawn = [
        name
        for seed in range(400)
        for name in sample(catalog, labels, "random", per_class=5, seed=seed).ids
    ]
    counts = np.array([drawn.count(name) for name in labels.ids])
    assert counts.sum() == 4000
    assert np.square(counts - 100).sum() / 100 < 39 + 5 * np.sqrt(
        2 * 39
    )  # chi-square of 39 degrees, five sigma


def test_a_short_class_is_named_with_what_it_has() -> None:
    catalog, labels = survey(np.full(10, 0.05), -21.5, [0] * 7 + [1] * 3)
    with pytest.raises(
        InputError,
        match=r"classes have too few galaxies; must have 5 each, found b has 3; ask for 3 per "
        r"class or fewer",
    ):
        sample(catalog, labels, "random", per_class=5)
    with pytest.raises(InputError, match="quota per class; must be 1 or more, found 0"):
        sample(catalog, labels, "random", per_class=0)


def test_what_cannot_be_drawn_says_why() -> None:
    catalog, labels = survey([0.5, 0.6])
    with pytest.raises(
        UnknownNameError, match="unknown sampling strategy; must be one of random, low-redshift"
    ):
        sample(catalog, labels, "nearest")
    with pytest.raises(InputError, match="no galaxy is left in the sample"):
        sample(catalog, labels, "volume-limited")
    bare = Catalog.of(pd.DataFrame({"galaxy_id": labels.ids}))
    with pytest.raises(
        InputError,
        match="no numeric column for redshift_bin; must have one of redshift_bin, "
        "REDSHIFT_SIMPLE_BIN",
    ):
        sample(bare, labels, "low-redshift")
    with pytest.raises(InputError, match="1 of 2 ids are not there"):
        sample(catalog.select(labels.ids[:1]), labels, "random")
