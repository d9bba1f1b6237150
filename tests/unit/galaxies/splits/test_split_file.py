from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.splits.split_file import known_of, read_split, write_split
from gzfeatures.ids import as_ids


@pytest.mark.parametrize("unknown", ["-9999,0.5", "-999,0.5", "81,-9999", "-9999,-9999", ","])
def test_a_sentinel_is_no_position_of_a_galaxy(tmp_path: Path, unknown: str) -> None:
    # -9999 degrees of right ascension are 81 degrees, and -999 degrees are 81 degrees too
    path = tmp_path / "labels.csv"
    path.write_text(f"galaxy_id,label,ra,dec\n1,a,{unknown}\n2,b,81,0.5\n3,a,-279,0.5\n4,b,9,9\n")
    grouping = known_of(path, as_ids(["1", "2", "3", "4"]), 3)
    assert grouping.groups == {"2": "2", "3": "2"}


def test_groups_come_back_as_they_were_written(tmp_path: Path) -> None:
    ids = as_ids(range(7))
    names = ["01", "1", "1.0", "1e400", "2e400", "NA"]
    groups = dict(zip(ids.tolist(), names, strict=False))
    split = Split(ids[:3], ids[3:5], ids[5:], groups)
    read = read_split(write_split(tmp_path / "labels.split.csv", split))
    assert read.groups == groups and read.fingerprint == split.fingerprint
    np.testing.assert_array_equal(read.sides(ids), [0, 0, 0, 1, 1, 2, 2])
