"""Verbs refuse to write CSV or Parquet under the name of another format, before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from verbs import called

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.ids import as_ids
from gzfeatures.tablefiles.tables import write_csv

VERBS = {
    "label": ("label", "none.csv", "--scheme", "zhu-5class", "-o"),
    "sample": ("sample", "none.csv", "--scheme", "zhu-5class", "-o"),
    "similar": ("similar", "none.parquet", "g1", "-o"),
    "odd": ("odd", "none.parquet", "-o"),
    "duplicates": ("duplicates", "none.parquet", "-o"),
    "doubt": ("doubt", "none.parquet", "--labels", "none.csv", "-o"),
    "doubt --next": ("doubt", "none.parquet", "--labels", "none.csv", "--next"),
    "find": ("find", "none.parquet", "ring", "-o"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["t.parquet", "t.fits", "t.tsv", "t"])
def test_no_verb_writes_csv_under_the_name_of_another_format(
    tmp_path: Path, verb: str, name: str
) -> None:
    done = called(*VERBS[verb], name, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {name}: table to write; must end in .csv or .csv.gz")
    assert not list(tmp_path.iterdir())
    # any other name is an output: what is missing is the input
    assert "none." in called(*VERBS[verb], "T.CSV.gz", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    "words", [("extract", "none"), ("table", "slice", "none.parquet"), ("table", "join", "none.a")]
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.FITS", "t.npz"])
def test_no_verb_writes_parquet_under_the_name_of_another_format(
    tmp_path: Path, words: tuple[str, ...], name: str
) -> None:
    done = called(*words, "-o", name, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {name}: embedding table to write; must end in .parquet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder.fits").mkdir()
    for other in ("t.parquet", "folder", "folder.fits"):
        assert "embedding table to write" not in called(*words, "-o", other, cwd=tmp_path).stderr


def test_no_table_is_written_as_csv_under_another_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.csv or \.csv\.gz"):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"must end in \.csv or \.csv\.gz"):
        write_labels(tmp_path / "t.fits", Labels(as_ids(["a", "b"]), ("x", "y"), np.arange(2)))
    assert not list(tmp_path.iterdir())
