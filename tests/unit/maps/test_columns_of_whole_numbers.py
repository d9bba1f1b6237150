"""Whole numbers that colour a map: sentinels are unknown, and names keep every digit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gzfeatures.cli.verbs.maps import _offered
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.ids import as_ids
from gzfeatures.maps.columns import NONE, columns

N = 100
IDS = as_ids([f"g{row}" for row in range(N)])
LIMITS = np.iinfo(np.int64)


@pytest.mark.parametrize("dtype", ["int64", "Int64", ">i8"])
@pytest.mark.parametrize("sentinel", [LIMITS.min, LIMITS.max])
def test_the_limits_of_int64_are_unknown(dtype: str, sentinel: int) -> None:
    numbers = np.arange(N)
    numbers[3] = sentinel
    frame = pd.DataFrame({"galaxy_id": IDS, "count": numbers})
    if dtype == "Int64":
        frame = frame.astype({"count": "Int64"})
    else:
        frame["count"] = numbers.astype(dtype)
    (column,) = columns(IDS, catalog=frame)
    assert column.kind == "number"
    assert np.flatnonzero(np.isnan(column.values)).tolist() == [3]
    assert column.values[4:].tolist() == list(range(4, N))


def test_names_and_booleans_stay_where_a_catalog_lacks_a_galaxy() -> None:
    fields = [2**60 + 1, 2**60 + 3] * 15
    frame = pd.DataFrame({"galaxy_id": IDS[:30], "field": fields, "good": [True, False] * 15})
    given = _offered(Catalog.of(frame), ["field", "good"], IDS[:30], IDS[:31])
    found = {column.name: column for column in columns(IDS[:31], catalog=given)}
    assert found["field"].classes == (str(2**60 + 1), str(2**60 + 3))
    assert found["good"].classes == ("no", "yes")
    for name in ("field", "good"):
        assert len({*found[name].values[:30]}) == 2 and found[name].values[30] == NONE
