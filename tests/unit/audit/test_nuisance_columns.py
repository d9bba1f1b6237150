"""Which columns of a catalog are taken for nuisances, what becomes of them, and how folds keep
pieces of the sky together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of

from gzfeatures.audit.probes.morphology import morphology_of
from gzfeatures.audit.probes.nuisance_columns import nuisance_of, nuisances_of, sdss_parts
from gzfeatures.audit.probes.sky_folds import blocks_of, sky_groups_of
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.votes.votes import ANSWERS
from gzfeatures.ids import Ids, as_ids

N = 120
IDS = as_ids([f"g{row:04d}" for row in range(N)])


def catalog_with(**columns: object) -> Catalog:
    return Catalog.of(pd.DataFrame({"galaxy_id": IDS, **columns}))


def objid(run: int, camera: int, field: int, number: int) -> str:
    return str((2 << 59) | (301 << 48) | (run << 32) | (camera << 29) | (field << 16) | number)


def test_usual_names_are_recognised_and_a_z_that_is_a_magnitude_is_none() -> None:
    rng = np.random.default_rng(0)
    catalog = catalog_with(
        z=rng.normal(17, 1, N),
        g=rng.normal(18, 1, N),
        r=rng.normal(17, 1, N),
        PETROMAG_R=rng.normal(17, 1, N),
        psfWidth_r=rng.normal(1.3, 0.1, N),
        survey=np.where(np.arange(N) % 2, "SDSS", "DECaLS"),
        dr7objid=[objid(752, 1 + row % 6, 300, row) for row in range(N)],
        hobby=np.arange(N),
    )
    found = {nuisance.name: nuisance for nuisance in nuisances_of(catalog, IDS).nuisances}
    assert set(found) == {"apparent magnitude", "seeing", "survey", "camera column"}
    assert found["seeing"].origin == "psfWidth_r" and not found["seeing"].categories
    assert found["survey"].categories == ("DECaLS", "SDSS")
    assert found["camera column"].origin == "bits of dr7objid"
    assert found["camera column"].categories == tuple("123456")
    named = nuisances_of(catalog, IDS, ["hobby"]).nuisances
    assert [nuisance.name for nuisance in named] == ["hobby"]
    with pytest.raises(InputError, match="no column hobbies"):
        nuisances_of(catalog, IDS, ["hobbies"])


def test_missing_and_constant_values_are_no_nuisance_and_a_lone_giant_is_clipped() -> None:
    values = pd.Series(np.linspace(0, 1, N))
    values[0], values[1], values[2] = np.nan, -9999.0, 1e9
    made = nuisance_of("x", "x", IDS, values)
    assert not isinstance(made, str) and len(made.ids) == N - 2
    assert made.values.max() < 1.01
    assert "fewer than 40" in str(nuisance_of("x", "x", IDS, values.where(values > 0.9)))
    assert "same for almost all" in str(nuisance_of("x", "x", IDS, pd.Series(np.full(N, 3.0))))
    assert "different for each" in str(nuisance_of("x", "x", IDS, pd.Series(IDS)))
    two = nuisance_of("x", "x", IDS, pd.Series(np.arange(N) % 2))
    assert not isinstance(two, str) and two.measure == "AUROC"


def test_bits_of_an_sdss_id_are_run_camera_column_and_field_and_other_ids_have_none() -> None:
    parts = sdss_parts(pd.Series([objid(3836, 5, 250, 77)]))
    assert parts is not None
    assert {name: int(values[0]) for name, values in parts.items()} == {
        "run": 3836,
        "camcol": 5,
        "field": 250,
    }
    assert sdss_parts(pd.Series(["123456789012345678"])) is None
    assert sdss_parts(pd.Series(["12"])) is None
    assert sdss_parts(pd.Series(["x"])) is None


def _folded(catalog: Catalog | None) -> tuple[np.ndarray, str]:
    table = table_of(np.random.default_rng(1).normal(size=(N, 5)), ids=list(IDS))
    groups, description = sky_groups_of(table, catalog)
    return blocks_of(IDS, groups), description


def test_folds_keep_pieces_of_the_sky_or_runs_of_the_camera_together() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, N), rng.uniform(-30, 60, N)
    ra[1::2], dec[1::2] = ra[::2] + 1e-4, dec[::2]
    blocks, description = _folded(catalog_with(ra=ra, dec=dec))
    assert "pieces of the sky" in description
    # a pair may lie on the two sides of a border, hardly two of them
    assert (blocks[::2] == blocks[1::2]).mean() > 0.95
    runs = [objid(1000 + row // 4, 2, 5, row) for row in range(N)]
    blocks, description = _folded(catalog_with(objid=runs))
    assert "runs of the SDSS camera" in description
    assert (blocks == np.arange(N) // 4).all()
    assert len(np.unique(_folded(None)[0])) == N


def test_galaxies_of_one_image_are_in_one_block() -> None:
    table = table_of(np.random.default_rng(1).normal(size=(N, 5)), ids=list(IDS))
    digests = table.digests.copy()
    digests[7] = digests[9]
    groups, _ = sky_groups_of(dataclasses.replace(table, digests=digests), None)
    blocks = blocks_of(IDS, groups)
    assert blocks[7] == blocks[9] and len(np.unique(blocks)) == N - 1


def test_votes_tell_classes_by_their_first_answer_and_numbers_are_no_morphology() -> None:
    ids: Ids = as_ids(["a", "b", "c"])
    votes = np.zeros((3, 37))
    votes[0, 0], votes[1, 1], votes[2] = 0.9, 0.8, np.nan
    made = morphology_of(Labels(ids, ANSWERS, votes, "fractions"))
    assert made.numbers.shape == (3, 37) and np.isfinite(made.numbers).all()
    assert made.classes is not None and made.classes.ids.tolist() == ["a", "b"]
    assert [made.classes.classes[code] for code in made.classes.codes] == [
        "smooth",
        "features-or-disk",
    ]
    with pytest.raises(InputError, match="be classes or vote fractions, found value"):
        morphology_of(Labels(ids, ("m",), np.ones((3, 1)), "value"))
    with pytest.raises(InputError, match="be two or more, found 1"):
        morphology_of(Labels(ids, ("x", "y"), np.zeros(3, dtype=np.int64)))


@pytest.mark.parametrize("gap", [-999, -9999, np.nan, np.inf])
def test_galaxies_without_a_value_are_in_no_category(gap: float) -> None:
    values = pd.Series([1] * 45 + [2] * 45 + [gap] * 30)
    for name in ("camera column", "camcol", "survey", "flag"):
        made = nuisance_of(name, name, IDS, values)
        assert not isinstance(made, str) and made.ids.tolist() == IDS[:90].tolist()
        whole = made.categories if values.dtype.kind == "i" else ("1", "2")
        assert whole == ("1", "2") and np.bincount(made.values).tolist() == [45, 45]
    # one value and gaps are no contrast
    assert isinstance(nuisance_of("x", "x", IDS, pd.Series([1.5] * 60 + [gap] * 60)), str)
    assert "fewer than 40" in str(nuisance_of("x", "x", IDS, pd.Series([1] * 30 + [gap] * 90)))


def test_numbers_that_are_names_are_categories_under_any_name() -> None:
    values = pd.Series(1 + np.arange(N) % 4)
    for name in ("camera column", "camcol", "CCD", "survey"):
        made = nuisance_of(name, name, IDS, values)
        assert not isinstance(made, str) and made.categories == tuple("1234")
    other = nuisance_of("x", "x", IDS, values)
    assert not isinstance(other, str) and not other.categories
