from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.splits.related_galaxies import key_groups, merge, sky_groups
from gzfeatures.galaxies.splits.split import PARTS, Split
from gzfeatures.ids import as_ids

steady = settings(derandomize=True, deadline=None, max_examples=60)
ARCSEC = 1 / 3600


def sky(*positions: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ra, dec = np.array(positions, dtype=float).T
    return ra, dec, as_ids([f"g{row}" for row in range(len(ra))])


def test_neighbours_form_chains_and_the_radius_is_on_the_sphere() -> None:
    ra, dec, names = sky(
        (10, 60), (10 + 8 * ARCSEC, 60), (10 + 16 * ARCSEC, 60), (10, 60 + 8 * ARCSEC), (50, 0)
    )
    # 8 arcsec of right ascension at declination 60 are 4 arcsec on the sky
    assert sky_groups(ra, dec, names, 5.0) == {"g0": "g0", "g1": "g0", "g2": "g0"}
    assert set(sky_groups(ra, dec, names, 9.0)) == {"g0", "g1", "g2", "g3"}


def test_the_sky_closes_at_ra_360_and_at_the_poles() -> None:
    ra, dec, names = sky((0.0001, 0), (359.9999, 0), (0, 89.9999), (180, 89.9999))
    assert sky_groups(ra, dec, names, 1.0) == {"g0": "g0", "g1": "g0", "g2": "g2", "g3": "g2"}


def test_galaxies_without_position_are_alone() -> None:
    ra, dec, names = sky((np.nan, 1), (np.nan, 1), (3, np.nan))
    assert sky_groups(ra, dec, names, 10.0) == {}


@steady
@given(
    st.lists(st.tuples(st.floats(0, 359), st.floats(-80, 80)), min_size=2, max_size=25),
    st.floats(1, 300_000),
)
def test_groups_are_the_connected_parts_of_the_pairs_within_the_radius(
    positions: list[tuple[float, float]], radius: float
) -> None:
    ra, dec, names = sky(*positions)
    lon, lat = np.radians(ra), np.radians(dec)
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = np.linalg.norm(points[:, None] - points[None], axis=2)
    near = chord <= 2 * np.sin(np.radians(radius / 3600) / 2)
    for _ in range(5):  # transitive closure
        near = (near.astype(int) @ near.astype(int)) > 0
    groups = sky_groups(ra, dec, names, radius)
    for left, name in enumerate(names):
        for right, other in enumerate(names[:left]):
            assert near[left, right] == (groups.get(name, name) == groups.get(other, other))


def test_the_same_key_is_the_same_galaxy() -> None:
    names = as_ids(["b", "a", "c", "d", "e"])
    assert key_groups(names, ["x", "x", "y", None, ""]) == {"b": "a", "a": "a"}


@steady
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("xyz"), max_size=8), max_size=4
    )
)
def test_merged_groups_hold_together_whatever_any_of_them_held(
    mappings: list[dict[str, str]],
) -> None:
    merged = merge(*mappings)
    for mapping in mappings:
        for name in mapping:
            for other in mapping:
                if name != other and mapping[name] == mapping[other]:
                    assert merged[name] == merged[other]
    assert merge(merged) == merged
    assert all(list(merged.values()).count(group) > 1 for group in merged.values())


def test_merging_chains_groups_through_a_shared_id() -> None:
    assert merge({"a": "1", "b": "1"}, {"b": "2", "c": "2"}, {"d": "1", "e": "1"}) == {
        "a": "a",
        "b": "a",
        "c": "a",
        "d": "d",
        "e": "d",
    }
    assert merge() == {}


def test_senseless_radius_and_shapes_are_refused() -> None:
    ra, dec, names = sky((1, 2), (3, 4))
    with pytest.raises(
        InputError,
        match="radius of sky groups; must lie between 0 and 180 degrees in arcsec, found 0",
    ):
        sky_groups(ra, dec, names, 0)
    with pytest.raises(InputError, match=r"positions do not fit their ids; must have shape \(2,\)"):
        sky_groups(ra[:1], dec, names, 1)


@pytest.mark.data
def test_real_pictures_that_are_the_same_file_stay_on_one_side(shared_data: Path) -> None:
    """hart16 and gz2 share galaxies under different ids: only the bytes of the image tell."""
    folders = {"hart": shared_data / "hart16" / "images", "kaggle": shared_data / "gz2" / "images"}
    files = [
        (f"{survey}:{path.stem}", path)
        for survey, folder in folders.items()
        for path in sorted(folder.iterdir())
    ]
    names = as_ids([name for name, _ in files])
    groups = key_groups(names, [hashlib.sha256(path.read_bytes()).hexdigest() for _, path in files])
    catalog = Catalog.read(shared_data / "hart16" / "hart16_1000.csv")
    stated = catalog.frame[["galaxy_id", "kaggle_GalaxyID_same_file"]].dropna()
    pairs = [
        (f"hart:{row[0]}", f"kaggle:{int(float(row[1]))}") for row in stated.itertuples(index=False)
    ]
    here = [pair for pair in pairs if pair[1] in set(names)]
    assert here and all(groups[left] == groups[right] for left, right in here)
    labels = SCHEMES["gz2-2class"].label(catalog)
    prefixed = labels.__class__(
        as_ids([f"hart:{name}" for name in labels.ids]), labels.classes, labels.values
    )
    both = prefixed.joined(
        labels.__class__(
            as_ids([pair[1] for pair in here]), labels.classes, np.zeros(len(here), dtype=np.int64)
        )
    )
    split = Split.draw(both, groups=groups)
    side = {name: part for part in PARTS for name in getattr(split, part)}
    assert all(side[left] == side[right] for left, right in here if left in side)


@pytest.mark.data
def test_real_stripe82_has_neighbours_on_the_sky(shared_data: Path) -> None:
    catalog = Catalog.read(shared_data / "catalogs" / "gz2_table5_stripe82_coadd.fits.gz")
    few = sky_groups(catalog.column("ra"), catalog.column("dec"), catalog.ids, 5.0)
    many = sky_groups(catalog.column("ra"), catalog.column("dec"), catalog.ids, 30.0)
    assert 0 < len(few) < len(many) < len(catalog)
