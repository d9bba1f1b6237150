"""One pass over a table, in memory or on disk, finds the galaxies that every distance finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of

from gzfeatures.errors import InputError
from gzfeatures.explore import scan as scanning
from gzfeatures.explore.neighbours import similar
from gzfeatures.explore.scan import scan
from gzfeatures.features import table as tables
from gzfeatures.features.table import EmbeddingTable


def cloud(n: int = 300, d: int = 12) -> np.ndarray:
    """Points far from zero, with copies."""
    points = np.random.default_rng(0).normal(100, 1, size=(n, d)).astype(np.float32)
    points[7] = points[150]
    return points


@pytest.mark.parametrize("asked", [1, 3, 40])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_blocks_give_the_neighbours_of_the_whole(
    asked: int, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "QUERIES", 16)
    points, own = cloud(), np.arange(asked) * 7
    rows, distances = scan(np.array_split(points, 9), points[own], 5, own=own, metric=metric)
    compared = points.astype(float)
    if metric == "cosine":
        compared /= np.linalg.norm(compared, axis=1, keepdims=True)
    whole = np.linalg.norm(compared[own][:, None] - compared, axis=2)
    whole[np.arange(asked), own] = np.inf
    np.testing.assert_allclose(distances, np.sort(whole, axis=1)[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(whole, rows, 1), distances, atol=1e-5)
    assert not (rows == own[:, None]).any()


def test_copies_are_neighbours_in_the_order_of_rows() -> None:
    points = np.ones((6, 2), dtype=np.float32)
    rows, distances = scan([points[:2], points[2:]], points[:1], 4, own=np.array([0]))
    assert rows.tolist() == [[1, 2, 3, 4]] and not distances.any()


def test_a_value_that_is_not_finite_is_refused() -> None:
    points = cloud()
    points[80, 3] = np.nan
    with pytest.raises(InputError, match="embedding is not finite"):
        scan(np.array_split(points, 4), points[:1], 2)


def test_a_row_without_direction_is_named_by_its_row_of_the_table() -> None:
    points = cloud()
    points[200] = 0
    with pytest.raises(InputError, match="row 200: embedding has no direction"):
        scan(np.array_split(points, 4), points[:1], 2, metric="cosine")


def test_a_table_on_disk_is_searched_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "GROUP_ROWS", 64)
    table = table_of(cloud())
    path = table.write(tmp_path / "table.parquet")
    asked = ["g0299", "g0007", "g0064"]
    in_memory = similar(table, asked, 6)
    with monkeypatch.context() as patched:
        # what holds all vectors is not called
        patched.delattr(tables.TableFile, "having")
        on_disk = similar(EmbeddingTable.open(path), asked, 6)
    assert on_disk.equals(in_memory) and on_disk["galaxy_id"].iloc[6] == "g0150"
    with pytest.raises(InputError, match="1 of 1 ids are not there"):
        similar(EmbeddingTable.open(path), ["nobody"])


def test_a_search_of_a_table_imports_no_heads_and_no_networks(tmp_path: Path) -> None:
    path = table_of(cloud()).write(tmp_path / "table.parquet")
    code = (
        f"import sys; from gzfeatures.verbs.explore import similar; similar({str(path)!r}, 'g0007')"
        "; print([m for m in ('sklearn', 'scipy', 'torch', 'faiss') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
