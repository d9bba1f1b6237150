"""Files that appear whole, notes that may be damaged, folders that are held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gzfeatures.errors import OutputError
from gzfeatures.files import lock_folder, read_sidecar, write_sidecar, written_whole


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with written_whole(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["", "{", "[1]", "\0", "[" * 100_000])
def test_a_damaged_note_says_nothing(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    assert read_sidecar(path) == {}
    write_sidecar(path, {"key": "value"})
    assert read_sidecar(path) == {"key": "value"}
    path.write_text(damage)
    assert read_sidecar(path) == {}


HOLDER = """
import sys, time
from pathlib import Path
from gzfeatures.files import lock_folder
lock_folder(Path(sys.argv[1]), print)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_held_folder_is_waited_for_until_its_holder_ends_however_it_ends(
    killed: bool, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"

        def let_go(line: str) -> None:
            assert line == f"waiting for another process that works in {tmp_path / 'run'}"
            said.append(line)
            holder.kill() if killed else holder.stdin.close()

        said: list[str] = []
        lock_folder(tmp_path / "run", let_go)
        lock_folder(tmp_path / "run", let_go)
    assert len(said) == 1


def test_a_folder_that_cannot_be_made_cannot_be_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"run: cannot be written: .*; choose another place"):
        lock_folder(tmp_path / "file" / "run", print)
