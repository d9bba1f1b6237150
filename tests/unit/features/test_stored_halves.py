"""Vectors kept in half precision: half the bytes, read by others, said in the key, never silent."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.networks.extraction.spec import Extraction

WHOLE = table_of(np.random.default_rng(0).normal(size=(400, 64)).astype(np.float32))
HALF = dataclasses.replace(WHOLE.extractor, stored="float16")


def halves(matrix: np.ndarray = WHOLE.matrix) -> EmbeddingTable:
    """The table with vectors kept in half precision."""
    return dataclasses.replace(WHOLE, matrix=matrix, extractor=HALF)


def test_a_table_of_halves_takes_half_the_bytes_and_comes_back_rounded(tmp_path: Path) -> None:
    whole, half = WHOLE.write(tmp_path / "whole.parquet"), halves().write(tmp_path / "half.parquet")
    sizes = [
        sum(
            file.metadata.row_group(0).column(c).total_uncompressed_size
            for c in range(file.metadata.num_columns)
            if file.metadata.row_group(0).column(c).path_in_schema.startswith("embedding")
        )
        for file in (pq.ParquetFile(whole), pq.ParquetFile(half))
    ]
    assert 0.45 < sizes[1] / sizes[0] < 0.55 and half.stat().st_size < 0.7 * whole.stat().st_size
    back = EmbeddingTable.read(half)
    assert back.matrix.dtype == np.float32 and back.extractor == HALF
    np.testing.assert_array_equal(back.matrix, WHOLE.matrix.astype(np.float16))


def test_other_programs_read_a_table_of_halves(tmp_path: Path) -> None:
    path = halves().write(tmp_path / "half.parquet")
    rounded = WHOLE.matrix.astype(np.float16).astype(float)
    by_arrow = pq.read_table(path)["embedding"].to_pylist()
    by_duckdb = duckdb.sql(f"SELECT embedding FROM read_parquet('{path}')").fetchall()
    by_polars = pl.read_parquet(path)["embedding"].to_list()
    np.testing.assert_array_equal(np.array(by_arrow, dtype=float), rounded)
    np.testing.assert_array_equal(np.array([row[0] for row in by_duckdb], dtype=float), rounded)
    np.testing.assert_array_equal(np.array([list(row) for row in by_polars], dtype=float), rounded)


def test_halves_have_a_format_of_their_own_and_wholes_the_earlier_one(tmp_path: Path) -> None:
    notes = [
        pq.read_schema(table.write(tmp_path / f"{number}.parquet")).metadata[b"gzfeatures"]
        for number, table in enumerate((WHOLE, halves()))
    ]
    # an earlier version reads the first, and refuses the second before it looks at its numbers
    assert notes[0].startswith(b'{"format": 1,') and b"stored" not in notes[0]
    assert notes[1].startswith(b'{"format": 2,') and b'"stored": "float16"' in notes[1]


def test_the_key_says_halves_and_that_of_wholes_is_as_it_was() -> None:
    assert HALF.fingerprint != WHOLE.extractor.fingerprint
    assert "stored" not in WHOLE.extractor.asdict()
    assert HALF.fromdict(HALF.asdict()) == HALF
    with pytest.raises(UnknownNameError, match=r"precision of stored numbers.*float8"):
        dataclasses.replace(HALF, stored="float8")


@pytest.mark.parametrize("place", ["table", "store"])
def test_numbers_beyond_half_precision_are_refused(place: str, tmp_path: Path) -> None:
    matrix = WHOLE.matrix.copy()
    matrix[3, 5] = -65_504
    cache = Store.at(tmp_path / "store").vectors_of(HALF)

    def keep() -> None:
        if place == "store":
            cache.add(WHOLE.digests, matrix)
        else:
            halves(matrix).write(tmp_path / "half.parquet")

    keep()  # the largest number that fits
    matrix[3, 5] = -65_600
    with pytest.raises(InputError, match=r"at most 65,504, found 65,600; .*float32"):
        keep()


def test_the_store_keeps_halves_in_half_the_bytes(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for extractor in (WHOLE.extractor, HALF):
        store.vectors_of(extractor).add(WHOLE.digests, WHOLE.matrix)
    sizes = {entry.extractor.stored: entry.bytes for entry in store.show()}
    assert sizes["float16"] < 0.62 * sizes["float32"]
    # keys of 32 bytes are as long in both
    cache = store.vectors_of(HALF)
    np.testing.assert_array_equal(cache.vectors(WHOLE.digests), WHOLE.matrix.astype(np.float16))


def test_merged_shards_stay_halves(tmp_path: Path) -> None:
    cache = Store.at(tmp_path).vectors_of(HALF)
    for start in range(0, 400, 20):
        cache.add(WHOLE.digests[start : start + 20], WHOLE.matrix[start : start + 20])
    cache.compact()
    assert len(list(cache.folder.glob("*.arrow"))) < 20
    np.testing.assert_array_equal(cache.vectors(WHOLE.digests), WHOLE.matrix.astype(np.float16))
    assert (
        sum(path.stat().st_size for path in cache.folder.glob("*.arrow")) < 400 * (128 + 32) * 1.5
    )


def test_a_file_whose_numbers_are_not_what_its_key_says_is_refused(tmp_path: Path) -> None:
    path = halves().write(tmp_path / "half.parquet")
    table = pq.read_table(path)
    claimed = {**table.schema.metadata}
    claimed[b"gzfeatures"] = claimed[b"gzfeatures"].replace(
        b'"stored": "float16"', b'"stored": "float32"'
    )
    pq.write_table(table.replace_schema_metadata(claimed), path)
    with pytest.raises(
        InputError, match=r"embedding column; must hold lists of 64 numbers \(float32\)"
    ):
        EmbeddingTable.read(path)


def test_an_extraction_says_how_its_numbers_are_kept() -> None:
    extractor = Extraction(
        "googlenet", weights="none", precision="float32", store_precision="float16"
    ).extractor
    assert extractor.stored == "float16"
    again = Extraction.repeating(extractor, store=Store.at("unused"))
    assert again.store_precision == "float16"
