"""With an index kept beside a table, `duplicates` and `odd` give what they give without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.explore.anomalies import anomalies
from gzfeatures.explore.cells import cell_neighbours
from gzfeatures.explore.cells.cell_index import CellIndex, read_with_index
from gzfeatures.explore.cells.cell_neighbours import by_cells
from gzfeatures.explore.cells.index_building import build_index
from gzfeatures.explore.duplicates import duplicates
from gzfeatures.explore.nearest import by_every_distance
from gzfeatures.explore.neighbours import nearest
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.progress import Silent

ROWS, DIM = 6_000, 24
COPIES, CLUMP = slice(0, 300), slice(300, 600)
Indexed = tuple[EmbeddingTable, CellIndex]


def points() -> np.ndarray:
    """Vectors on a sheet of six dimensions: 100 threes of copies, 30 clumps of ten, 200 near
    twins."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(ROWS, 6)) @ rng.normal(size=(6, DIM))
    matrix[COPIES] = matrix[COPIES][::3].repeat(3, axis=0)
    clumps = matrix[CLUMP][::10].repeat(10, axis=0)
    matrix[CLUMP] = clumps + 0.02 * rng.normal(size=clumps.shape)
    matrix[600:800] = matrix[800:1000] + 1e-3 * rng.normal(size=(200, DIM))
    # neighbours in the table lie in no order
    return matrix[np.random.default_rng(1).permutation(ROWS)].astype(np.float32)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    folder = tmp_path_factory.mktemp("indexed")
    opened = EmbeddingTable.open(table_of(points()).write(folder / "t.parquet"))
    build_index(opened, folder / "t.index")
    table, cells = read_with_index(opened, folder / "t.index")
    assert cells is not None
    return table, cells


def test_rows_of_near_cells_hold_the_neighbours_at_the_recall_that_is_told(
    indexed: Indexed,
) -> None:
    table, cells = indexed
    truth = by_every_distance(table.matrix, table.matrix, 10, np.arange(ROWS))
    found = nearest(table.matrix, None, 10, cells=cells)
    near = found.distances <= truth.distances[:, -1:] * (1 + 1e-5) + 1e-7
    assert found.recall >= 0.985 and near.mean() == pytest.approx(found.recall, abs=0.005)
    assert (found.rows != np.arange(ROWS)[:, None]).all()
    assert all(len(set(row)) == 10 for row in found.rows[::50])
    between = np.linalg.norm(table.matrix[:, None] - table.matrix[found.rows], axis=2)
    np.testing.assert_allclose(found.distances, between, rtol=1e-5, atol=1e-6)
    # fewer rows were compared than there are, or the test would prove nothing
    order = cell_neighbours._cells_by_distance(cells)
    count, _ = cell_neighbours._measured(cells, table.matrix, 10, order, 0)
    assert count < cells.cells / 2


def test_twins_copies_and_clumps_are_the_pairs_that_are_found_without_an_index(
    indexed: Indexed,
) -> None:
    table, cells = indexed
    exact, found = duplicates(table), duplicates(table, cells=cells)
    pairs = [set(zip(frame["galaxy_id"], frame["twin"], strict=True)) for frame in (exact, found)]
    # 100 threes of copies are 300 pairs
    assert len(pairs[0]) >= 500
    assert len(pairs[0] & pairs[1]) >= 0.99 * len(pairs[0] | pairs[1])
    assert found.attrs["recall"] >= 0.985 and exact.attrs["recall"] == 1
    assert found.attrs["dimension"] == pytest.approx(exact.attrs["dimension"], rel=0.02)


def test_odd_galaxies_are_those_that_are_found_without_an_index(indexed: Indexed) -> None:
    table, cells = indexed
    exact, found = (
        anomalies(table, cells=each).set_index("galaxy_id").loc[table.ids] for each in (None, cells)
    )
    assert found.attrs.get("recall", 1) >= 0.985
    np.testing.assert_array_equal(exact["isolation"], found["isolation"])
    for measure in ("distance", "outlier_factor", "score"):
        assert np.corrcoef(exact[measure], found[measure])[0, 1] > 0.999
    oddest = [set(frame["rank"].nsmallest(50).index) for frame in (exact, found)]
    assert len(oddest[0] & oddest[1]) >= 49


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_other_ways_to_compare_find_enough_too(indexed: Indexed, metric: str) -> None:
    table, cells = indexed
    exact, found = (
        duplicates(table, metric=metric, components=12, cells=each) for each in (None, cells)
    )
    pairs = [set(zip(frame["galaxy_id"], frame["twin"], strict=True)) for frame in (exact, found)]
    assert len(pairs[0] & pairs[1]) >= 0.98 * len(pairs[0] | pairs[1])


def test_an_index_of_another_table_is_refused_by_all(indexed: Indexed, tmp_path: Path) -> None:
    from gzfeatures.verbs.explore import duplicates as duplicates_of
    from gzfeatures.verbs.explore import odd as odd_of

    matrix = points()
    matrix[7, 3] += 1
    changed = table_of(matrix).write(tmp_path / "t.parquet")
    for verb in (duplicates_of, odd_of):
        with pytest.raises(InputError, match="index is of another table"):
            verb(changed, index=indexed[1].path)
        with pytest.raises(InputError, match="table on disk, found a table in memory"):
            verb(indexed[0], index=indexed[1].path)
    with pytest.raises(InputError, match="index; must have 5000 rows, found 6000"):
        by_cells(indexed[1], matrix[:5000], 3)


@pytest.mark.parametrize("equal", [False, True])
def test_small_tables_and_many_copies_have_all_their_neighbours(
    tmp_path: Path, equal: bool
) -> None:
    matrix = np.random.default_rng(3).normal(size=(90, 4)).astype(np.float32)
    if equal:
        matrix[:80] = matrix[0]
    opened = EmbeddingTable.open(table_of(matrix).write(tmp_path / "t.parquet"))
    cells = build_index(opened, tmp_path / "t.index")
    for k in (1, 20, 89):
        found = by_cells(cells, matrix, k)
        truth = by_every_distance(matrix, matrix, k, np.arange(90))
        np.testing.assert_allclose(found.distances, truth.distances, rtol=1e-5, atol=1e-6)
        assert found.recall == 1 and (found.rows != np.arange(90)[:, None]).all()


def test_where_an_index_saves_no_time_a_line_says_so(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    class Told(Silent):
        def say(self, line: str, *, aside: bool = False) -> None:
            lines.append(line)

    table, cells = indexed
    by_cells(cells, table.matrix, 5, progress=Told())
    assert not lines
    monkeypatch.setattr(cell_neighbours, "DEAR", 10)
    by_cells(cells, table.matrix, 5, progress=Told())
    assert len(lines) == 1 and "the index saves no time here" in lines[0]
