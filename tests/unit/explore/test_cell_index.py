"""An index kept beside a table gives the answers of a scan, for that table alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.explore.cells import index_building
from gzfeatures.explore.cells.cell_index import CellIndex
from gzfeatures.explore.cells.index_building import build_index
from gzfeatures.explore.cells.index_file import head, layout
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
    return table, build_index(table, folder / "t.index")


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


@pytest.mark.parametrize(
    "place", ["vectors", "rows", "header", "end", "recall", "probes", "sha256"]
)
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
    elif place in ("recall", "probes", "sha256"):
        # another digit, or another name, is JSON as before
        at = whole.index(place.encode()) + (-1 if place == "sha256" else len(place) + 3)
        whole[at + 2 * (place == "sha256")] ^= 1
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
    hostile.write_bytes(head({**header, "probes": 1, "recall": 1.0}, ()))
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
    monkeypatch.setattr(index_building, "_measured", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_index(table, tmp_path / "t.index")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".t.index.building", "t.parquet"]


@pytest.mark.parametrize(
    "wrong", ["row twice", "row beyond", "last cell short", "centre", "recall"]
)
def test_an_index_with_a_right_checksum_and_wrong_cells_is_refused(
    built: tuple[TableFile, CellIndex], tmp_path: Path, wrong: str
) -> None:
    table, index = built
    whole = index.path.read_bytes()
    header = json.loads(whole[16:1016])
    del header["sha256"]
    small, offset = [], 1016
    for kind, shape in list(layout(4000, 24, index.cells).values())[:4]:
        small.append(np.frombuffer(whole, kind, int(np.prod(shape)), offset).reshape(shape).copy())
        offset += small[-1].nbytes
    if wrong == "recall":
        header["recall"] = float("nan")
    elif wrong == "centre":
        small[0][3] = np.nan
    elif wrong == "last cell short":
        small[1][-1] -= 1
    else:
        small[2][5] = 10**12 if wrong == "row beyond" else small[2][6]
    hostile = tmp_path / "t.index"
    parts = [each.tobytes() for each in small]
    if wrong == "recall":
        first = whole[:16] + json.dumps({**header, "sha256": ""}).encode().ljust(1000)
    else:
        first = head(header, small)
    hostile.write_bytes(first + b"".join(parts) + whole[offset:])
    with pytest.raises(InputError, match=r"tables of cells|recall of nan"):
        similar(table, ["g0000"], 3, index=hostile)


def test_more_neighbours_are_searched_in_more_cells(built: tuple[TableFile, CellIndex]) -> None:
    table, index = built
    asked = [f"g{row:04d}" for row in range(200, 4000, 200)]
    for k in (100, 400, 1500):
        scanned, found = similar(table, asked, k), similar(table, asked, k, index=index.path)
        farthest = scanned["distance"].to_numpy().reshape(-1, k)[:, -1:] * (1 + 1e-5)
        assert (found["distance"].to_numpy().reshape(-1, k) <= farthest).mean() > 0.97


def test_of_equal_distances_the_earlier_rows_are_found(
    built: tuple[TableFile, CellIndex],
) -> None:
    table, index = built
    first = [f"g{row:04d}" for row in range(11)]
    for asked in (["g0003"], ["g0029"], ["g0003"] * 6):
        expected = [name for name in first if name != asked[0]][:10] * len(asked)
        assert similar(table, asked, 10)["galaxy_id"].tolist() == expected
        assert similar(table, asked, 10, index=index.path)["galaxy_id"].tolist() == expected


@pytest.mark.parametrize("rows", [2, 50, 300])
@pytest.mark.parametrize("equal", [True, False])
def test_small_tables_and_equal_vectors_have_an_index_that_finds_all(
    tmp_path: Path, rows: int, equal: bool
) -> None:
    matrix = np.random.default_rng(1).normal(size=(rows, 8)).astype(np.float32)
    made = table_of(np.ones_like(matrix) if equal else matrix)
    half = dataclasses.replace(
        made, extractor=dataclasses.replace(made.extractor, stored="float16")
    )
    table = EmbeddingTable.open(half.write(tmp_path / "t.parquet"))
    index = build_index(table, tmp_path / "t.index")
    k = rows - 1
    found = similar(table, ["g0001"], k, index=index.path)
    pairs = ("galaxy_id", "distance")
    scanned = similar(table, ["g0001"], k)
    assert all(found[name].tolist() == scanned[name].tolist() for name in pairs)
    with pytest.raises(InputError, match="number of neighbours"):
        similar(table, ["g0001"], rows, index=index.path)


def test_vectors_whose_squares_overflow_are_refused(tmp_path: Path) -> None:
    matrix = points()[:200]
    matrix[150] *= 1e25
    table = EmbeddingTable.open(table_of(matrix).write(tmp_path / "t.parquet"))
    with pytest.raises(InputError, match="row 150: embedding is too long"):
        build_index(table, tmp_path / "t.index")
    with pytest.raises(InputError, match="row 150: embedding is too long"):
        similar(table, ["g0001"], 3)
    assert not (tmp_path / "t.index").exists()
    one = EmbeddingTable.open(table_of(matrix[:1]).write(tmp_path / "one.parquet"))
    with pytest.raises(InputError, match=r"one\.parquet: galaxies of an index; must be at least 2"):
        build_index(one, tmp_path / "t.index")
