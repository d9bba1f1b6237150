"""Every reader refuses a Parquet file whose rows cannot fit the memory, before one is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gzfeatures.errors import InputError
from gzfeatures.features.exchange.vector_files import read_vectors
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.tablefiles import parquet_size
from gzfeatures.tablefiles.parquet_size import require_memory

ROWS = 5_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Five thousand equal rows: 40 kB of numbers and 20 kB of texts at least, in less than 5 kB."""
    path = tmp_path / "t.parquet"
    names = pa.array(["g"]).take(pa.array(np.zeros(ROWS, np.int64)))
    pq.write_table(pa.table({"galaxy_id": names, "r": np.zeros(ROWS)}), path)
    assert path.stat().st_size < 5_000
    return path


def folder_of(file: Path) -> Path:
    """The same rows as two files, each of which fits alone."""
    folder = file.with_name("parts")
    folder.mkdir()
    table = pq.read_table(file)
    for number in range(2):
        part = table.slice(number * ROWS // 2, ROWS // 2)
        pq.write_table(part, folder / f"{number}.parquet")
    return folder


@pytest.mark.parametrize(
    "read",
    [
        lambda file: Catalog.read(file),
        lambda file: Catalog.read(folder_of(file)),
        lambda file: read_vectors(file, "galaxy_id", "r"),
    ],
    ids=["file", "folder", "vectors"],
)
def test_a_table_beyond_the_memory_is_refused(
    read: Callable[[Path], object], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_size, "memory_of_machine", lambda: 50_000)
    with pytest.raises(InputError, match=r"larger than the memory.*at least 6e-05 GB"):
        read(file)


def test_no_table_is_refused_that_fits(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_size, "memory_of_machine", lambda: 60_000)
    require_memory([file])
    monkeypatch.setattr(parquet_size, "memory_of_machine", lambda: 40_000)
    require_memory([file], ["r"])


def test_vectors_of_a_fixed_length_count_with_all_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(6_000, np.float32)), 600)
    pq.write_table(pa.table({"v": vectors, "none": pa.nulls(10)}), tmp_path / "v.parquet")
    monkeypatch.setattr(parquet_size, "memory_of_machine", lambda: 23_999)
    with pytest.raises(InputError, match="10 rows of 2 columns"):
        require_memory([tmp_path / "v.parquet"])
