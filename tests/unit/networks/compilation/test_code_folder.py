"""Compiled networks on disk: nothing runs but what this user compiled, for this very network, on
this machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gzfeatures import user_folders
from gzfeatures.errors import OutputError
from gzfeatures.networks.compilation import code_folder
from gzfeatures.networks.compilation.code_folder import KEY, CodeFolder
from gzfeatures.networks.compilation.private_folder import PrivateFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner")
CODE, NAME = b"harmless stand-in for machine code", "0123-4-5.so"
BOUND = {"extractor": "a" * 64, "library": "torch 2", "workers": 1}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CodeFolder:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = CodeFolder(tmp_path / "code")
    folder.write(NAME, BOUND, CODE)
    return folder


def test_code_comes_back_for_what_it_was_compiled_for_and_is_private(code: CodeFolder) -> None:
    assert code.obstacle() is None and code.names() == [NAME]
    assert code.read(NAME, BOUND) == CODE and CodeFolder(code.path.parent).read(NAME, BOUND) == CODE
    private = [
        code.path,
        code.path / NAME,
        user_folders.state_folder() / "private",
        user_folders.state_folder() / "private" / KEY,
    ]
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in private] == [
        "0o700",
        "0o600",
        "0o700",
        "0o600",
    ]


@pytest.mark.parametrize(
    "change", [{"extractor": "b" * 64}, {"library": "torch 3"}, {"workers": 2}], ids=str
)
def test_code_of_another_network_version_or_way_is_not_taken(
    code: CodeFolder, change: dict[str, object]
) -> None:
    assert code.read(NAME, BOUND | change) is None


def test_code_of_another_machine_is_not_taken(
    code: CodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, other = (code.path / NAME).read_bytes(), code.path.parent
    monkeypatch.setattr(code_folder, "cpu_flags", lambda: ["another"])
    elsewhere = CodeFolder(other)
    assert elsewhere.path != code.path and elsewhere.names() == []
    PrivateFolder(elsewhere.path).write(NAME, content)
    assert elsewhere.read(NAME, BOUND) is None


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _exchanged(path: Path) -> None:
    elsewhere = path.parents[1] / "elsewhere"
    elsewhere.write_bytes(path.read_bytes())
    elsewhere.chmod(0o600)
    path.unlink()
    path.symlink_to(elsewhere)


def _twice(path: Path) -> None:
    os.link(path, path.parents[1] / "elsewhere")


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a flipped bit": _flipped,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "empty": lambda path: path.write_bytes(b""),
    "without a seal": lambda path: path.write_bytes(CODE),
    "a link": _exchanged,
    "a second name": _twice,
    "writable for the group": lambda path: path.chmod(0o620),
    "readable for others": lambda path: path.chmod(0o604),
    "a pipe": _piped,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_file_that_others_could_have_made_is_not_taken(code: CodeFolder, kind: str) -> None:
    TAMPERED[kind](code.path / NAME)
    assert code.read(NAME, BOUND) is None


def test_a_file_of_another_user_is_not_taken(
    code: CodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gzfeatures.networks.compilation.private_folder.os.getuid", lambda: os.geteuid() + 1
    )
    assert code.read(NAME, BOUND) is None and code.names() == []
    obstacle = code.obstacle()
    assert obstacle is not None and "folder is not private; must belong to the user" in obstacle


def test_a_folder_that_is_a_link_is_not_entered(code: CodeFolder) -> None:
    moved = code.path.parent / "moved"
    code.path.rename(moved)
    code.path.symlink_to(moved)
    assert code.read(NAME, BOUND) is None and code.names() == []
    obstacle = code.obstacle()
    assert obstacle is not None and "set GZFEATURES_COMPILED and XDG_STATE_HOME" in obstacle


def test_a_folder_that_others_may_enter_is_closed_to_them(code: CodeFolder) -> None:
    code.path.chmod(0o777)
    assert code.read(NAME, BOUND) == CODE
    assert stat.S_IMODE(code.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["readable", "link", "short", "gone"])
def test_a_key_that_others_could_have_read_is_replaced_and_what_it_sealed_is_compiled_again(
    code: CodeFolder, damage: str, tmp_path: Path
) -> None:
    key = user_folders.state_folder() / "private" / KEY
    before = key.read_bytes()
    if damage == "readable":
        key.chmod(0o640)
    elif damage == "short":
        key.write_bytes(before[:8])
    else:
        key.unlink()
        (tmp_path / "planted").write_bytes(before)
        if damage == "link":
            key.symlink_to(tmp_path / "planted")
    assert code.read(NAME, BOUND) is None
    assert (
        key.read_bytes() != before
        and not key.is_symlink()
        and stat.S_IMODE(key.stat().st_mode) == 0o600
    )
    code.write(NAME, BOUND, CODE)
    assert code.read(NAME, BOUND) == CODE


def test_a_folder_of_code_copied_from_somebody_else_is_compiled_again(
    code: CodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (code.path / NAME).read_bytes()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    mine = CodeFolder(tmp_path / "mine")
    PrivateFolder(mine.path).write(NAME, content)
    assert mine.names() == [NAME] and mine.read(NAME, BOUND) is None


@pytest.mark.parametrize("variable", ["state", "code"])
def test_a_place_that_cannot_be_written_is_named_with_the_remedy(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(
        "XDG_STATE_HOME", str(tmp_path / ("file" if variable == "state" else "state"))
    )
    code = CodeFolder(tmp_path / ("file" if variable == "code" else "code"))
    obstacle = code.obstacle()
    assert obstacle is not None and len(obstacle.splitlines()) == 1
    assert obstacle.endswith("set GZFEATURES_COMPILED and XDG_STATE_HOME to folders of your own")
    with pytest.raises(OutputError):
        code.write(NAME, BOUND, CODE)
    assert code.names() == [] and code.read(NAME, BOUND) is None


def test_a_full_disk_leaves_no_half_file(code: CodeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="cannot be used: No space left on device"):
        code.write("other.so", BOUND, CODE)
    assert [path.name for path in code.path.iterdir()] == [NAME] and code.read(NAME, BOUND) == CODE


RACER = """
import sys, time
from pathlib import Path
from gzfeatures.networks.compilation.code_folder import CodeFolder
code, log = CodeFolder(Path(sys.argv[1])), Path(sys.argv[2])
with code.alone("x.so", lambda line: None):
    if code.read("x.so", {}) is None:
        with log.open("a") as file:
            file.write("compiled\\n")
        time.sleep(1)
        code.write("x.so", {}, b"code")
assert code.read("x.so", {}) == b"code"
"""


def test_processes_that_start_together_compile_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    arguments = [sys.executable, "-c", RACER, str(tmp_path / "code"), str(tmp_path / "log")]
    CodeFolder(tmp_path / "code").obstacle()  # the folder is there, as before any compiling
    processes = [subprocess.Popen(arguments) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "compiled\n"


def test_pruning_frees_the_code_of_an_extractor_and_what_was_long_unused(
    code: CodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, extractor = code.path.parent, "c" * 64
    monkeypatch.setattr(code_folder, "cpu_flags", lambda: ["another node"])
    CodeFolder(root).write(f"{extractor[:32]}-1.so", BOUND, CODE)
    assert code_folder.disk_use(root) == (2, 2 * (32 + len(CODE)))
    assert code_folder.prune(root, [extractor]) == (1, 32 + len(CODE))
    assert code_folder.prune(root, unused_days=1) == (0, 0)
    os.utime(code.path / NAME, (0, 0))
    assert code_folder.prune(root, unused_days=1) == (1, 32 + len(CODE)) and code_folder.disk_use(
        root
    ) == (0, 0)
