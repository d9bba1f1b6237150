"""An index of a table is built block by block: a stop at any moment loses a block, and no byte of
the index depends on it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from tables_of import table_of

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, OutputError
from gzfeatures.explore.cells import index_building, unfinished_index
from gzfeatures.explore.cells.cell_index import CellIndex
from gzfeatures.explore.cells.index_building import build_index
from gzfeatures.explore.neighbours import similar
from gzfeatures.features.table import EmbeddingTable, TableFile
from gzfeatures.progress import Silent

ROWS, DIM, BLOCK = 3_500, 16, 1_000
PARTS = {"centres": 8, "cells": 4, "placed": 4}
"""Parts of a building, and how often each is kept."""


def points(seed: int = 0) -> np.ndarray:
    """Vectors on a sheet of five dimensions, with copies."""
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=(ROWS, 5)) @ rng.normal(size=(5, DIM))).astype(np.float32)
    matrix[:25] = matrix[0]
    return matrix


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_building, "BLOCK_BYTES", 4 * DIM * BLOCK)


@pytest.fixture
def table(tmp_path: Path) -> TableFile:
    return EmbeddingTable.open(table_of(points()).write(tmp_path / "t.parquet"))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Bytes of the index that is built without a stop."""
    folder = tmp_path_factory.mktemp("truth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_building, "BLOCK_BYTES", 4 * DIM * BLOCK)
        table = EmbeddingTable.open(table_of(points()).write(folder / "t.parquet"))
        build_index(table, folder / "t.index")
    return (folder / "t.index").read_bytes()


class Said(Silent):
    """Keep the lines that are told."""

    def __init__(self) -> None:
        object.__setattr__(self, "lines", [])

    def say(self, line: str, *, aside: bool = False) -> None:
        self.lines.append(line)  # type: ignore[attr-defined]


class Stopped(Exception):
    """Stands for what ends a building."""


def stop_at(monkeypatch: pytest.MonkeyPatch, module: object, name: str, call: int) -> list[int]:
    """Let a function raise at its n-th call (0: never); return the list of its calls."""
    real, calls = getattr(module, name), []

    def counted(*words: Any, **options: Any) -> Any:
        calls.append(len(calls) + 1)
        if calls[-1] == call:
            raise Stopped
        return real(*words, **options)

    monkeypatch.setattr(module, name, counted)
    return calls


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_index_holds_the_vectors_of_the_table_in_the_order_of_its_cells(
    table: TableFile, tmp_path: Path
) -> None:
    index = build_index(table, tmp_path / "t.index")
    assert index.cells == ROWS // 40
    centres, rows = np.asarray(index.centres, dtype=np.float64), np.asarray(index._rows)
    np.testing.assert_array_equal(index._vectors, points()[rows])
    cells = np.repeat(np.arange(index.cells), np.diff(index._starts))
    squares = ((points()[rows].astype(np.float64)[:, None] - centres) ** 2).sum(-1)
    mine = squares[np.arange(ROWS), cells]
    np.testing.assert_allclose(mine, squares.min(1), rtol=1e-4, atol=1e-6)
    for start, stop in zip(index._starts[:-1], index._starts[1:], strict=True):
        assert (np.diff(rows[start:stop]) > 0).all()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a Unix word")
def test_a_building_killed_again_and_again_ends_in_the_same_bytes(
    table: TableFile, tmp_path: Path, truth: bytes
) -> None:
    # a process dies when it has handed a part to the system and waits for the disk
    code = (
        "import os, signal, sys\n"
        "from gzfeatures.explore.cells import index_building\n"
        "from gzfeatures.features.table import EmbeddingTable\n"
        f"index_building.BLOCK_BYTES = {4 * DIM * BLOCK}\n"
        "left, real = [int(sys.argv[3])], os.fsync\n"
        "def fsync(number):\n"
        "    left[0] -= 1\n"
        "    if not left[0]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(number)\n"
        "os.fsync = fsync\n"
        "index_building.build_index(EmbeddingTable.open(sys.argv[1]), sys.argv[2])\n"
    )
    command = [sys.executable, "-c", code, str(table.path), str(tmp_path / "t.index"), "5"]
    environment = {"PYTHONPATH": str(Path(index_building.__file__).parents[3])}
    codes = []
    while not codes or codes[-1]:
        ended = subprocess.run(command, env=environment, capture_output=True, check=False)
        codes.append(ended.returncode)
        assert codes[-1] in (0, -signal.SIGKILL), ended.stderr
        assert len(codes) < 30, "a building that is killed does not go on"
        if codes[-1]:
            assert not (tmp_path / "t.index").exists()
            assert names(tmp_path) == [".t.index.building", "t.parquet"]
    assert len(codes) > 3
    assert (tmp_path / "t.index").read_bytes() == truth
    assert names(tmp_path) == ["t.index", "t.parquet"]


@pytest.mark.parametrize(
    ("step", "call", "left"),
    [("moved_centres", 6, (3, 4, 4)), ("nearest_cells", 3, (0, 2, 4)), ("_measured", 1, (0, 0, 0))],
)
def test_a_building_goes_on_where_it_was(
    table: TableFile,
    tmp_path: Path,
    truth: bytes,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    call: int,
    left: tuple[int, int, int],
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, index_building, step, call)
        with pytest.raises(Stopped):
            build_index(table, tmp_path / "t.index")
    calls = [
        stop_at(monkeypatch, index_building, name, 0) for name in ("moved_centres", "nearest_cells")
    ]
    calls.append(stop_at(monkeypatch, unfinished_index.UnfinishedIndex, "add_placed", 0))
    build_index(table, tmp_path / "t.index")
    assert tuple(map(len, calls)) == left
    assert (tmp_path / "t.index").read_bytes() == truth
    assert names(tmp_path) == ["t.index", "t.parquet"]


@pytest.mark.parametrize("part", [*PARTS, "index", "plan.json"])
@pytest.mark.parametrize("damage", ["short", "other", "gone"])
def test_parts_that_were_not_written_whole_are_done_again(
    table: TableFile,
    tmp_path: Path,
    truth: bytes,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    damage: str,
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, index_building, "_measured", 1)
        with pytest.raises(Stopped):
            build_index(table, tmp_path / "t.index")
    path = tmp_path / ".t.index.building" / part
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "short":
        path.write_bytes(data[:-3])
    elif part != "index":  # vectors are not read again; a search sees what a disk has changed
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    build_index(table, tmp_path / "t.index")
    assert (tmp_path / "t.index").read_bytes() == truth


def test_cells_that_are_none_are_found_again_though_their_checksum_is_right(
    table: TableFile, tmp_path: Path, truth: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = unfinished_index.UnfinishedIndex.add_cells
    with monkeypatch.context() as patch:
        patch.setattr(
            unfinished_index.UnfinishedIndex,
            "add_cells",
            lambda state, cells: add(state, cells + np.uint32(10**6)),
        )
        stop_at(patch, index_building, "nearest_cells", 3)
        with pytest.raises(Stopped):
            build_index(table, tmp_path / "t.index")
    build_index(table, tmp_path / "t.index")
    assert (tmp_path / "t.index").read_bytes() == truth


@pytest.mark.parametrize("other", ["table", "seed", "neither"])
def test_an_unfinished_index_of_another_table_or_seed_is_dropped_and_said(
    table: TableFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, index_building, "_measured", 1)
        with pytest.raises(Stopped):
            build_index(table, tmp_path / "t.index")
    if other == "table":
        table = EmbeddingTable.open(table_of(points(seed=5)).write(table.path))
    said, seed = Said(), int(other == "seed")
    build_index(table, tmp_path / "t.index", seed=seed, progress=said)
    build_index(table, tmp_path / "fresh.index", seed=seed)
    assert (tmp_path / "t.index").read_bytes() == (tmp_path / "fresh.index").read_bytes()
    dropped, continued = (
        [line for line in said.lines if word in line]  # type: ignore[attr-defined]
        for word in ("it is dropped", "goes on")
    )
    assert (len(dropped), len(continued)) == ((0, 1) if other == "neither" else (1, 0))


def test_a_folder_with_other_files_or_a_link_is_left_as_it_is(
    table: TableFile, tmp_path: Path
) -> None:
    folder = tmp_path / ".t.index.building"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"no building wrote; .* found mine\.txt"):
        build_index(table, tmp_path / "t.index")
    assert (folder / "mine.txt").read_text() == "mine"
    (folder / "mine.txt").unlink()
    before = table.path.read_bytes()
    for link in (folder / "index", folder):
        if link == folder:
            (folder / "index").unlink()
            folder.rmdir()
            (tmp_path / "elsewhere").mkdir()
        link.symlink_to(table.path if link != folder else tmp_path / "elsewhere")
        with pytest.raises(OutputError, match="no building wrote"):
            build_index(table, tmp_path / "t.index")
    assert table.path.read_bytes() == before and not names(tmp_path / "elsewhere")


def test_two_processes_do_not_build_one_index(table: TableFile, tmp_path: Path) -> None:
    folder = tmp_path / ".t.index.building"
    folder.mkdir()
    with (
        FileLock(folder / ".lock"),
        pytest.raises(OutputError, match="is being built by another process"),
    ):
        build_index(table, tmp_path / "t.index")
    build_index(table, tmp_path / "t.index")
    assert names(tmp_path) == ["t.index", "t.parquet"]


def test_a_table_is_digested_once_while_its_index_is_built(
    table: TableFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digested: list[Path] = []
    real = fingerprint.of_file

    def counted(path: Path) -> str:
        digested.append(path)
        return real(path)

    monkeypatch.setattr(fingerprint, "of_file", counted)
    index = build_index(table, tmp_path / "t.index")
    assert digested == [table.path]
    CellIndex(index.path, table)
    assert digested == [table.path, table.path]


@pytest.mark.parametrize("moment", ["moved_centres", "nearest_cells", "_measured"])
def test_a_table_that_changes_while_its_index_is_built_is_refused(
    table: TableFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    real = getattr(index_building, moment)

    def changing(*words: Any, **options: Any) -> Any:
        found = real(*words, **options)
        table_of(points(seed=7)).write(table.path)
        return found

    monkeypatch.setattr(index_building, moment, changing)
    with pytest.raises(InputError, match="table was changed while its index was built"):
        build_index(table, tmp_path / "t.index")
    assert names(tmp_path) == ["t.parquet"]


def test_a_disk_without_room_is_said_before_the_work_and_keeps_nothing(
    table: TableFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unfinished_index, "reserve", full)
    calls = stop_at(monkeypatch, index_building, "moved_centres", 0)
    with pytest.raises(OutputError, match=r"t\.index: cannot be written: No space left on device"):
        build_index(table, tmp_path / "t.index")
    assert names(tmp_path) == ["t.parquet"] and not calls


def test_row_groups_of_any_size_and_two_precisions_give_an_index(tmp_path: Path) -> None:
    made = table_of(points()).write(tmp_path / "t.parquet")
    whole = pq.read_table(made)
    found = []
    for rows in (ROWS, 700, 333):
        path = tmp_path / f"{rows}.parquet"
        pq.write_table(whole, path, row_group_size=rows)
        opened = EmbeddingTable.open(path)
        index = build_index(opened, tmp_path / f"{rows}.index")
        found.append(similar(opened, ["g0003", "g2000"], 10, index=index.path))
        np.testing.assert_array_equal(index._vectors, points()[np.asarray(index._rows)])
    assert all(found[0].equals(other) for other in found[1:])


def test_repeated_ids_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = table_of(points()).write(tmp_path / "t.parquet")
    whole = pq.read_table(made)
    column = whole["galaxy_id"].to_pylist()
    column[7] = column[2000]
    pq.write_table(whole.set_column(0, "galaxy_id", [column]), made)
    calls = stop_at(monkeypatch, index_building, "moved_centres", 0)
    with pytest.raises(InputError, match="g2000"):
        build_index(EmbeddingTable.open(made), tmp_path / "t.index")
    assert names(tmp_path) == ["t.parquet"] and not calls
