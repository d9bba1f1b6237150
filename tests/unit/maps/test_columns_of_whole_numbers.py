"""Whole numbers that colour a map: sentinels are unknown, and names keep every digit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gzfeatures.ids import as_ids
from gzfeatures.maps.columns import columns

N = 100
IDS = as_ids([f"g{row}" for row in range(N)])
LIMITS = np.iinfo(np.int64)


@pytest.mark.parametrize("dtype", ["int64", "Int64", ">i8"])
@pytest.mark.parametrize("sentinel", [LIMITS.min, LIMITS.max])
def test_the_limits_of_int64_are_unknown(dtype: str, sentinel: int) -> None:
    numbers = np.arange(N)
    numbers[3] = sentinel
    values = pd.array(numbers, dtype=dtype) if dtype == "Int64" else numbers.astype(dtype)
    (column,) = columns(IDS, catalog=pd.DataFrame({"galaxy_id": IDS, "count": values}))
    assert column.kind == "number"
    assert np.flatnonzero(np.isnan(column.values)).tolist() == [3]
    assert column.values[4:].tolist() == list(range(4, N))
