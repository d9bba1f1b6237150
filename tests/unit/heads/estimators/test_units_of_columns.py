"""The unit of a catalog column changes nothing: a radio power in W/Hz, a flux in W/m²/Hz."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.estimators.transforms import Standardise
from gzfeatures.heads.fit import fit
from gzfeatures.heads.inputs import Inputs


@pytest.mark.parametrize("unit", [1e-34, 1e-26, 1e-20, 1e18, 1e22, 1e26, 1e37])
def test_a_column_in_any_unit_is_standardised(unit: float) -> None:
    """Its squares are infinite or 0 in single precision: the column was ignored without a word."""
    numbers = np.random.default_rng(0).normal(3, 0.5, (500, 1))
    plain = Standardise().fit_transform(numbers.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = Standardise().fit((numbers * unit).astype(np.float32))
        scaled = fitted.transform((numbers * unit).astype(np.float32))
    assert np.abs(scaled - plain).max() < 1e-5
    assert scaled.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, 3e-26, 7e22])
def test_a_constant_column_keeps_its_scale(constant: float) -> None:
    column = np.full((700, 1), constant, dtype=np.float32)
    assert Standardise().fit(column).scale_.tolist() == [1]
    assert np.abs(Standardise().fit_transform(column)).max() <= 1e-6 * max(1, constant)


def test_a_number_beyond_single_precision_is_refused() -> None:
    table = table_of(np.random.default_rng(1).normal(size=(4, 3)))
    frame = pd.DataFrame({"galaxy_id": table.ids, "mass": [1.0, np.inf, -9999.0, 3e41]})
    catalog = Catalog.of(frame)
    with pytest.raises(InputError, match=r"column mass.*within ±3.4e38.*found 3e\+41"):
        Inputs.of(table, catalog, ["mass"])
    frame.loc[3, "mass"] = 3e37
    assert np.isfinite(Inputs.of(table, Catalog.of(frame), ["mass"]).matrix[3]).all()


def test_a_column_that_single_precision_cannot_resolve_is_refused() -> None:
    """Julian dates of one week: single precision knows quarters of a day."""
    table = table_of(np.random.default_rng(1).normal(size=(90, 3)))
    labels = Labels(table.ids, ("a", "b"), np.arange(90) % 2)
    split = Split(table.ids[:60], table.ids[:0], table.ids[60:])
    frame = pd.DataFrame({"galaxy_id": table.ids, "jd": 2459000.0, "week": np.arange(90) / 13})
    frame["jd"] += frame["week"]
    frame.loc[80:, "jd"] = [-9999.0, np.nan, *[2459001.0] * 8]
    with pytest.raises(InputError, match=r"column jd.*above 2\.3 .*near 2.45901e\+06.*subtract"):
        fit(table, labels, "prototype", split=split, catalog=Catalog.of(frame), columns=["jd"])
    # years of dates, a week from a constant, a constant, and any unit are fine
    frame["years"] = 2459000.0 + 20 * np.arange(90)
    frame["power"], frame["one"], frame["empty"] = 1e22 * frame["week"], 7e30, np.nan
    frame["day"] = 2459000.0 + np.arange(90) % 5  # every number is exact
    names = ["week", "years", "power", "one", "empty", "day"]
    fit(table, labels, "prototype", split=split, catalog=Catalog.of(frame), columns=names)
