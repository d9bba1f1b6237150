"""Folders of results appear whole or not at all; what a killed call left is gone after the next."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from gzfeatures.errors import OutputError
from gzfeatures.files import drop_unfinished
from gzfeatures.tablefiles.whole_folder import written_whole_folder


def die_within(path: Path) -> None:
    with written_whole_folder(path, "folder") as folder:
        (folder / "half").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_call_left_is_no_result_and_is_gone_after_the_next(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=die_within, args=(tmp_path / "a.hats",)
    )
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.hats.") and not (tmp_path / "a.hats").exists()
    (tmp_path / ".a.hats.mine.part").mkdir()  # no name of ours
    (tmp_path / f".b.hats.{'0' * 16}.part").mkdir()  # of another result
    (tmp_path / f".a.hats.{'0' * 16}.part").symlink_to(tmp_path)
    others = {path.name for path in tmp_path.iterdir()} - {left.name}
    with written_whole_folder(tmp_path / "a.hats", "folder") as folder:
        (folder / "whole").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {*others, "a.hats"}
    assert (tmp_path / "a.hats" / "whole").read_text() == "whole"


def test_a_folder_that_another_call_is_filling_stays_and_the_second_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.hats"
    with (
        pytest.raises(OutputError, match=r"folder would be written over.*remove it"),
        written_whole_folder(path, "folder") as first,
    ):
        (first / "one").write_text("first")
        with written_whole_folder(path, "folder") as second:
            assert first.is_dir() and first != second
            (second / "one").write_text("second")
    assert (path / "one").read_text() == "second"
    assert [each.name for each in tmp_path.iterdir()] == ["a.hats"]


def test_nothing_is_left_after_an_error_or_a_sudden_end(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot be written: No space.*free space"),
        written_whole_folder(tmp_path / "a.hats", "folder") as folder,
    ):
        (folder / "part").mkdir()
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
    with written_whole_folder(tmp_path / "b.hats", "folder") as folder:
        (folder / "part").mkdir()
        drop_unfinished()  # as the last second before the process ends at once
        assert not list(tmp_path.iterdir())
        folder.mkdir()


def test_all_files_are_on_the_disk_before_the_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    path = tmp_path / "a.hats"

    def flush(descriptor: int) -> None:
        flushed.append(f"{Path(f'/proc/self/fd/{descriptor}').readlink().name} {path.exists()}")

    monkeypatch.setattr(os, "fsync", flush)
    with written_whole_folder(path, "folder") as folder:
        (folder / "dataset").mkdir()
        (folder / "dataset" / "one").write_text("1")
        (folder / "two").write_text("2")
    assert flushed[-1] == f"{tmp_path.name} True"
    assert {line.split()[0] for line in flushed} >= {"dataset", "one", "two"}
    assert all(line.endswith("False") for line in flushed[:-1])
