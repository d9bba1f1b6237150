"""Tables larger than memory: the same heads, learned block by block from a file."""

from __future__ import annotations

import errno
import functools
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gzfeatures import files, user_folders
from gzfeatures.errors import OutputError
from gzfeatures.features import matrices
from gzfeatures.features.matrices import allocate, take_rows
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.estimators.registry import HEADS
from gzfeatures.heads.fit import fit
from gzfeatures.images.view import View

QUICK = {
    "xgboost": {"rounds": 20},
    "xgboost-regression": {"rounds": 20},
    "ensemble": {"members": ("logistic", "lda")},
}
IN_BLOCKS = ("logistic", "linear-svm", "xgboost", "lda", "prototype", "ridge")


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Every matrix counts as large; the folder where they lie."""
    monkeypatch.setattr(matrices, "SHARE", 0)
    with user_folders.scratch_in(tmp_path / "large"):
        yield tmp_path / "large"


def survey(n: int, d: int, head: str, seed: int = 0) -> tuple[EmbeddingTable, Labels, Split]:
    random = np.random.default_rng(seed)
    ids, codes = np.arange(n).astype(str).astype(object), random.integers(0, 3, n)
    matrix = random.normal(size=(n, d)).astype(np.float32)
    matrix[:, :3] += 3 * np.eye(3, dtype=np.float32)[codes]
    extractor = Extractor("none", "none", "random:0", "pool", d, View())
    table = EmbeddingTable(ids, np.array(["0" * 64] * n, dtype=object), matrix, extractor)
    if HEADS[head].task == "classes":
        labels = Labels(ids, ("a", "b", "c"), codes)
    else:
        labels = Labels(ids, ("a", "b", "c"), 0.8 * np.eye(3)[codes], target="fractions")
    return table, labels, Split.draw(labels)


def test_a_large_matrix_lies_in_a_file_without_a_name(small_memory: Path) -> None:
    matrix = allocate(300, 7)
    assert (matrix.shape, matrix.dtype, list(small_memory.iterdir())) == ((300, 7), np.float32, [])
    matrix[:] = np.arange(2100).reshape(300, 7)
    rows = np.array([299, 0, 0, 17])
    assert np.array_equal(take_rows(matrix, rows), np.arange(2100).reshape(300, 7)[rows])


@pytest.mark.parametrize("grows", [True, False])
def test_without_room_on_the_disk_it_is_said(
    small_memory: Path, monkeypatch: pytest.MonkeyPatch, grows: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if not grows:  # where the system cannot reserve, zeros are written
        monkeypatch.delattr(os, "posix_fallocate")
        assert allocate(1000, 300).sum() == 0
    monkeypatch.setattr(files, "reserve", full)
    with pytest.raises(
        OutputError, match=r"large: no room for 1,000 vectors of 300 numbers.*must have 0.0 GB free"
    ):
        allocate(1000, 300)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_the_same_from_a_file(small_memory: Path, tmp_path: Path, head: str) -> None:
    table, labels, split = survey(2500, 12, head)
    path = table.write(tmp_path / "t.parquet")
    mapped = EmbeddingTable.open(path).having(labels.ids)
    assert mapped.matrix.base is not None and table.matrix.base is None
    there = fit(mapped, labels, head, split=split, **QUICK.get(head, {})).predict(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "SHARE", 1)
        here = fit(table, labels, head, split=split, **QUICK.get(head, {})).predict(table)
    assert np.array_equal(here.probabilities, there.probabilities)


@pytest.fixture(scope="module")
def large(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[Path, int, Labels, Split]]:
    """By a head, the file of a large table, its bytes, labels and split: written once a task."""
    folder = tmp_path_factory.mktemp("large")

    @functools.cache
    def written(head: str) -> tuple[Path, int, Labels, Split]:
        table, labels, split = survey(30_000, 384, head)
        return table.write(folder / f"{head}.parquet"), table.matrix.nbytes, labels, split

    return lambda head: written(next(n for n in IN_BLOCKS if HEADS[n].task == HEADS[head].task))


@pytest.mark.parametrize("head", IN_BLOCKS)
def test_these_heads_hold_a_part_of_their_rows(
    small_memory: Path, large: Callable[[str], tuple[Path, int, Labels, Split]], head: str
) -> None:
    path, whole, labels, split = large(head)
    few = {} if head in ("logistic", "linear-svm", "ridge") else {"pca": 16}
    tracemalloc.start()
    try:
        fit(
            EmbeddingTable.open(path).having(labels.ids),
            labels,
            head,
            split=split,
            **few,
            **QUICK.get(head, {}),
        )
        assert tracemalloc.get_traced_memory()[1] < 0.8 * whole
    finally:
        tracemalloc.stop()
