"""An index kept beside a table gives the answers of a scan, for that table alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.explore.cell_index import CellIndex, _head
from gzfeatures.explore.neighbours import similar
from gzfeatures.features.table import EmbeddingTable, TableFile


def points() -> np.ndarray:
    """Vectors on a sheet of six dimensions, with copies and a clump."""
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 24))).astype(np.float32)
    matrix[:30] = matrix[0]
    matrix[100:120] = matrix[100] + 1e-3 * rng.normal(size=(20, 24)).astype(np.float32)
    return matrix


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[TableFile, CellIndex]:
    folder = tmp_path_factory.mktemp("indexed")
    table = EmbeddingTable.open(table_of(points()).write(folder / "t.parquet"))
    return table, CellIndex.build(table, folder / "t.index")


def test_an_index_finds_what_a_scan_finds(built: tuple[TableFile, CellIndex]) -> None:
    table, index = built
    assert index.probes < index.cells / 2 and index.recall >= 0.985
    asked = [f"g{row:04d}" for row in range(0, 4000, 20)]
    scanned, found = similar(table, asked, 10), similar(table, asked, 10, index=index.path)
    assert (
        found.attrs["recall"] == index.recall and not (found["query"] == found["galaxy_id"]).any()
    )
    shares = found["distance"].to_numpy() <= scanned["distance"].to_numpy() * (1 + 1e-5) + 1e-9
    assert shares.mean() > 0.97


def test_copies_and_clumps_are_found_as_by_a_scan(
    built: tuple[TableFile, CellIndex],
) -> None:
    table, index = built
    asked = ["g0003", "g0029", "g0105"]
    scanned, found = similar(table, asked, 10), similar(table, asked, 10, index=index.path)
    np.testing.assert_allclose(found["distance"], scanned["distance"], rtol=1e-6)
    # of thirty copies any ten are nearest; distances within the clump differ
    assert set(found["galaxy_id"][:20]) <= {f"g{row:04d}" for row in range(30)}
    assert found["galaxy_id"].tolist()[20:] == scanned["galaxy_id"].tolist()[20:]


def test_all_cells_give_every_neighbour(built: tuple[TableFile, CellIndex]) -> None:
    table, index = built
    asked = [f"g{row:04d}" for row in (7, 500, 3999)]
    rows = np.asarray([7, 500, 3999])
    _, distances = index.nearest(table.vectors_of(rows), 3990, rows, index.cells)
    np.testing.assert_allclose(
        distances.ravel(), similar(table, asked, 3990)["distance"], rtol=1e-5, atol=1e-6
    )


def test_an_index_of_another_table_is_refused(
    built: tuple[TableFile, CellIndex], tmp_path: Path
) -> None:
    matrix = points()
    matrix[1999, 3] += 1
    changed = EmbeddingTable.open(table_of(matrix).write(tmp_path / "t.parquet"))
    with pytest.raises(InputError, match="index is of another table"):
        similar(changed, ["g0000"], 3, index=built[1].path)


@pytest.mark.parametrize("place", ["vectors", "rows", "header", "end"])
def test_a_damaged_index_is_refused(
    built: tuple[TableFile, CellIndex], tmp_path: Path, place: str
) -> None:
    table, index = built
    whole = bytearray(index.path.read_bytes())
    small = len(whole) - 4000 * 24 * 4
    if place == "end":
        whole = whole[:-1]
    elif place == "vectors":
        # change a number of each vector, because a search reads some cells only
        whole[small :: 24 * 4] = bytes(value ^ 1 for value in whole[small :: 24 * 4])
    else:
        whole[{"rows": small - 400, "header": 3}[place]] ^= 1
    damaged = tmp_path / "t.index"
    damaged.write_bytes(whole)
    with pytest.raises(InputError, match=r"index is damaged|not a readable index"):
        similar(table, ["g0000"], 3, index=damaged)


def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(
    built: tuple[TableFile, CellIndex], tmp_path: Path
) -> None:
    header = {"format": 1, "table": "0" * 64, "rows": 10**15, "dim": 10**9, "cells": 10**14}
    hostile = tmp_path / "t.index"
    hostile.write_bytes(_head({**header, "probes": 1, "recall": 1.0, "sha256": "0" * 64}))
    with pytest.raises(InputError, match="not a readable index"):
        CellIndex(hostile, built[0])


def test_an_index_goes_with_ids_of_a_table_on_disk_and_euclidean_distances(
    built: tuple[TableFile, CellIndex],
) -> None:
    from gzfeatures.verbs.explore import similar as by_verb

    table, index = built
    with pytest.raises(InputError, match="euclidean metric, found cosine"):
        similar(table, ["g0000"], 3, metric="cosine", index=index.path)
    with pytest.raises(InputError, match="found a table in memory"):
        similar(EmbeddingTable.read(table.path), ["g0000"], 3, index=index.path)
    with pytest.raises(InputError, match="be given with ids"):
        by_verb(table.path, like=["g0000"], index=index.path)


def test_a_building_that_ends_early_leaves_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = EmbeddingTable.open(table_of(points()).write(tmp_path / "t.parquet"))
    monkeypatch.setattr(CellIndex, "_measured", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CellIndex.build(table, tmp_path / "t.index")
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
