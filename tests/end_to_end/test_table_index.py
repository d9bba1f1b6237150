"""An index from the command line: built in spite of kills, read by three verbs, refused where it
does not go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of
from verbs import called, gz

ROOT = Path(__file__).parents[2]
ROWS = 24_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a table of twins, and its index."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(ROWS, 6)) @ rng.normal(size=(6, 32))
    matrix[:50] = matrix[50:100] + 1e-3 * rng.normal(size=(50, 32))
    ids = [f"g{row:05d}" for row in range(ROWS)]
    table_of(matrix.astype(np.float32), ids=ids).write(folder / "t.parquet")
    gz("table", "index", folder / "t.parquet", "-o", folder / "t.index")
    return folder


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a Unix word")
def test_a_verb_that_is_killed_goes_on_and_writes_the_same_bytes(
    place: Path, tmp_path: Path
) -> None:
    words = ["table", "index", str(place / "t.parquet"), "-o", str(tmp_path / "t.index")]
    state = tmp_path / ".t.index.building"
    for part in ("centres", "cells"):
        process = subprocess.Popen(
            [sys.executable, "-m", "gzfeatures", *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # the part of the last process is there, so wait for the next one
        while not (state / part).exists() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "t.index").exists() and (state / part).exists()
    ended = called(*words)
    assert ended.returncode == 0 and "goes on with the unfinished index" in ended.stderr
    assert (tmp_path / "t.index").read_bytes() == (place / "t.index").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["t.index"]


def test_twins_and_odd_galaxies_are_found_with_an_index_as_without(
    place: Path, tmp_path: Path
) -> None:
    table, index = place / "t.parquet", place / "t.index"
    for verb in ("duplicates", "odd"):
        frames = []
        for name, more in (("with.csv", ["--index", index]), ("without.csv", [])):
            ended = called(verb, table, "-o", tmp_path / f"{verb}-{name}", *more)
            assert ended.returncode == 0, ended.stderr
            assert ("of the nearest galaxies found, on a sample" in ended.stderr) == bool(more)
            frames.append(pd.read_csv(tmp_path / f"{verb}-{name}"))
        if verb == "duplicates":
            pairs = [set(zip(each["galaxy_id"], each["twin"], strict=True)) for each in frames]
            planted = {(f"g{row:05d}", f"g{row + 50:05d}") for row in range(50)}
            assert all(planted <= each for each in pairs)
        else:
            pairs = [set(each["galaxy_id"].head(100)) for each in frames]
        # ranks follow distances, a few of which each search misses: two galaxies near rank 100 swap
        assert len(pairs[0] & pairs[1]) >= 0.95 * len(pairs[0])


@pytest.mark.parametrize(
    "words",
    [
        ["similar", "{table}", "--like", "g00001", "--index", "{index}"],
        ["similar", "{table}", "--ids", "{ids}", "--index", "{index}"],
        ["odd", "{table}", "--ids", "{ids}", "--index", "{index}"],
        ["duplicates", "{table}", "--ids", "{ids}", "--index", "{index}"],
    ],
)
def test_an_index_with_examples_or_a_selection_is_wrong_usage(
    place: Path, tmp_path: Path, words: list[str]
) -> None:
    ids = tmp_path / "some.txt"
    ids.write_text("g00001\ng00002\n", encoding="utf-8")
    names = {"table": place / "t.parquet", "index": place / "t.index", "ids": ids}
    ended = called(*(word.format(**names) for word in words))
    assert ended.returncode == 2 and "--index" in ended.stderr and "leave it out" in ended.stderr


def test_an_index_of_another_table_ends_with_one_line(place: Path, tmp_path: Path) -> None:
    matrix = np.random.default_rng(1).normal(size=(300, 32)).astype(np.float32)
    other = table_of(matrix).write(tmp_path / "other.parquet")
    for words in (["similar", other, "g0001"], ["odd", other], ["duplicates", other]):
        ended = called(*words, "--index", place / "t.index")
        assert ended.returncode == 1 and ended.stderr.count("\n") == 1
        assert "index is of another table" in ended.stderr


def test_a_folder_of_tables_is_no_source_of_an_index(place: Path, tmp_path: Path) -> None:
    ended = called("table", "index", place, "-o", tmp_path / "t.index")
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
