"""Whole numbers with gaps and flags with gaps, beyond the door: whoever takes a column takes them
as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.sampling import sample
from gzfeatures.maps.columns import columns, offered
from gzfeatures.tablefiles.tables import read_table, write_table

N = 30
GAPS = np.arange(N) % 5 == 0


def catalog() -> Catalog:
    bins = pd.array(np.where(GAPS, 0, np.arange(N) % 7), dtype="Int64")
    bins[GAPS] = pd.NA
    flags = pd.array(np.arange(N) % 2 == 0, dtype="boolean")
    flags[GAPS] = pd.NA
    return Catalog.of(
        pd.DataFrame(
            {"galaxy_id": [f"g{k}" for k in range(N)], "redshift_bin": bins, "flag": flags}
        )
    )


def test_a_column_with_gaps_is_numbers_with_nan() -> None:
    values = catalog().column("redshift_bin")
    assert (
        values.dtype == np.float64
        and np.isnan(values[GAPS]).all()
        and not np.isnan(values[~GAPS]).any()
    )


def test_the_fingerprint_is_the_same_from_every_format(tmp_path: Path) -> None:
    table = Table({"galaxy_id": [f"g{k}" for k in range(N)]})
    table["redshift_bin"] = MaskedColumn(np.arange(N) % 7, mask=GAPS)
    table.write(tmp_path / "t.fits")
    table.write(tmp_path / "t.parquet")
    table.write(tmp_path / "t.csv", format="ascii.csv")
    prints = {
        Catalog.read(tmp_path / f"t.{ending}").fingerprint for ending in ("fits", "parquet", "csv")
    }
    assert prints == {Catalog.of(catalog().frame.drop(columns="flag")).fingerprint}


def test_a_map_is_coloured_by_numbers_with_gaps_as_by_numbers() -> None:
    galaxies = catalog()
    named = {column.name: column for column in columns(galaxies.ids, catalog=offered(galaxies))}
    values = named["redshift_bin"].values
    assert values.dtype == np.float32 and np.isnan(values[GAPS]).all() and values[1] == 1
    assert named["flag"].classes is not None and len(named["flag"].classes) == 2


def test_an_unknown_bin_is_not_sampled_as_a_near_one() -> None:
    galaxies = catalog()
    labels = Labels(galaxies.ids, ("a", "b"), np.arange(N) % 2)
    drawn = sample(galaxies, labels, "low-redshift")
    assert set(drawn.ids) == set(galaxies.ids[~GAPS])


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_catalog_that_is_written_comes_back(tmp_path: Path, ending: str) -> None:
    frame = catalog().frame
    pd.testing.assert_frame_equal(read_table(write_table(frame, tmp_path / f"t{ending}")), frame)
