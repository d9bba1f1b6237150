"""Catalogs joined by position: the pairs of a brute-force match; pairs by chance are said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.catalog_join import Rows
from gzfeatures.galaxies.catalogs.sky_join import SEPARATION

ARCSEC = 1 / 3600


def scattered(count: int, seed: int, cap: float = 1.0) -> np.ndarray:
    """Positions, (n, 2) in degrees, on a share of the sphere around the north pole."""
    rng = np.random.default_rng(seed)
    height = 1 - 2 * cap * rng.random(count)
    return np.stack([360 * rng.random(count), np.degrees(np.arcsin(height))], 1)


def table(place: np.ndarray, name: str = "objid", **more: object) -> pd.DataFrame:
    ids = [f"{name}{row}" for row in range(len(place))]
    return pd.DataFrame({name: ids, "ra": place[:, 0], "dec": place[:, 1], **more})


def vectors(place: np.ndarray) -> np.ndarray:
    lon, lat = np.radians(place).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)


def brute_force(first: np.ndarray, second: np.ndarray, radius: float) -> set[tuple[int, int]]:
    """Mutual nearest pairs, from all distances (chords, which are exact for small angles)."""
    chord = np.linalg.norm(vectors(first)[:, None] - vectors(second)[None], axis=2)
    angle = np.degrees(2 * np.arcsin(chord / 2)) * 3600
    there, back = angle.argmin(1), angle.argmin(0)
    return {
        (row, int(partner))
        for row, partner in enumerate(there)
        if back[partner] == row and angle[row, partner] <= radius
    }


@pytest.mark.parametrize("cap", [1.0, 1e-7, 1e-5])
def test_pairs_are_those_of_a_brute_force_match(cap: float) -> None:
    first, second = scattered(1500, 0, cap), scattered(1200, 1, cap)
    # near partners for a third, moved by about the radius in both directions
    rng = np.random.default_rng(2)
    shift = rng.normal(scale=2 * ARCSEC, size=(400, 2))
    shift[:, 0] /= np.cos(np.radians(first[:400, 1]))
    second[:400] = first[:400] + shift
    second[:, 0] %= 360
    second[:, 1] = np.minimum(second[:, 1], 90)
    joined, report = Catalog.of(table(first)).join_sky(Rows(table(second, "other")), 3.0)
    frame = joined.frame
    found = {
        (int(here[5:]), int(there[5:]))
        for here, there in zip(frame["objid"], frame["other"], strict=True)
    }
    assert found == brute_force(first, second, 3.0)
    assert report.matched == len(found) > 100 and report.unused == 1200 - len(found)
    assert len(report.unmatched) == 1500 - len(found)
    assert (frame[SEPARATION] <= 3).all()


def test_right_ascension_0_is_360() -> None:
    first = np.array([[359.9999, 10.0], [0.0001, -20.0], [180.0, 90.0]])
    second = np.array([[0.0001, 10.0], [359.9999, -20.0], [20.0, 89.9999]])
    joined, report = Catalog.of(table(first)).join_sky(Rows(table(second, "other")), 1.0)
    assert report.matched == 3
    assert joined.frame["other"].tolist() == ["other0", "other1", "other2"]


def test_a_row_is_given_to_the_nearest_galaxy_alone() -> None:
    first = np.array([[10.0, 0.0], [10.0 + 2 * ARCSEC, 0.0], [50.0, 0.0]])
    second = np.array([[10.0 + 1.5 * ARCSEC, 0.0]])
    joined, report = Catalog.of(table(first)).join_sky(Rows(table(second, "other")), 5.0)
    assert joined.frame["objid"].tolist() == ["objid1"]
    assert report.unmatched == ("objid0", "objid2")
    assert report.median_arcsec == pytest.approx(0.5, abs=1e-6)


def test_missing_positions_and_sentinels_match_nothing() -> None:
    first = np.array([[10.0, 0.0], [np.nan, 0.0], [20.0, np.nan], [20.0, 0.0]])
    second = np.array([[10.0, 0.0], [-9999.0, -9999.0], [np.nan, 5.0]])
    joined, report = Catalog.of(table(first)).join_sky(Rows(table(second, "other")), 2.0)
    assert joined.frame["objid"].tolist() == ["objid0"]
    assert report.placeless == 2 and report.unused == 2


def test_the_share_by_chance_is_that_of_the_density() -> None:
    # 20,000 galaxies in a small cap, all with a true partner: chance is the density alone
    cap = 3e-5
    first = scattered(20_000, 3, cap)
    second = scattered(20_000, 4, cap)
    _, report = Catalog.of(table(first)).join_sky(Rows(table(second, "other")), 5.0)
    area = 4 * np.pi * cap * (180 / np.pi * 3600) ** 2
    expected = 1 - np.exp(-20_000 * np.pi * 25 / area)
    assert 0.02 < expected < 0.5
    assert report.by_chance == pytest.approx(expected, rel=0.06)
    # partners in the same place do not count as chance
    _, same = Catalog.of(table(first)).join_sky(Rows(table(first, "other")), 5.0)
    assert same.matched == 20_000 and same.by_chance == pytest.approx(expected, rel=0.06)


def test_columns_of_both_are_said_and_ids_stay_exact() -> None:
    first = table(np.array([[10.0, 0.0]]), mag=[np.nan], big=[587722981736120347])
    second = table(np.array([[10.0, 0.0]]), "other", mag=[17.2], z=[0.1])
    joined, report = Catalog.of(first).join_sky(Rows(second), 1.0)
    assert joined.frame["big"].tolist() == [587722981736120347]
    assert report.shadowed == ("ra", "dec", "mag") and report.forgone == {"mag": 1}
    assert joined.frame["z"].tolist() == [0.1]


def test_what_cannot_be_joined_is_refused() -> None:
    here = Catalog.of(table(scattered(5, 0)))
    there = Rows(table(scattered(5, 1), "other"))
    with pytest.raises(InputError, match=r"no galaxy has a partner.*J2000 degrees"):
        here.join_sky(there, 1e-3)
    for radius in (0.0, -1.0, 4000.0, float("nan")):
        with pytest.raises(InputError, match="radius of a join by position"):
            here.join_sky(there, radius)
    with pytest.raises(InputError, match="separation_arcsec stands in a table already"):
        here.join_sky(Rows(there.frame.assign(separation_arcsec=1.0)), 1.0)
    with pytest.raises(InputError, match="ra"):
        here.join_sky(Rows(pd.DataFrame({"x": [1]})), 1.0)
