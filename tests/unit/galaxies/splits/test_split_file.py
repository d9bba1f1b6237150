from __future__ import annotations

from pathlib import Path

import pytest

from gzfeatures.galaxies.splits.split_file import known_of
from gzfeatures.ids import as_ids


@pytest.mark.parametrize("unknown", ["-9999,0.5", "-999,0.5", "81,-9999", "-9999,-9999", ","])
def test_a_sentinel_is_no_position_of_a_galaxy(tmp_path: Path, unknown: str) -> None:
    # -9999 degrees of right ascension are 81 degrees, and -999 degrees are 81 degrees too
    path = tmp_path / "labels.csv"
    path.write_text(f"galaxy_id,label,ra,dec\n1,a,{unknown}\n2,b,81,0.5\n3,a,-279,0.5\n4,b,9,9\n")
    grouping = known_of(path, as_ids(["1", "2", "3", "4"]), 3)
    assert grouping.groups == {"2": "2", "3": "2"}
