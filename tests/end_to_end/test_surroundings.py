"""Surroundings: streams, folders, clock, memory. Each that is amiss is one line, and what was
computed stays."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gzfeatures.cli import _described
from gzfeatures.errors import MissingExtraError, lacks_memory, need
from gzfeatures.maps import numba_cache

RANDOM = ("--backbone", "resnet18", "--weights", "none", "--view", "size=32")


def gz(*words: object, redirected: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    """A verb started by a shell, which can close streams and send them elsewhere."""
    command = [
        "sh",
        "-c",
        f'exec "$@" {redirected}',
        "sh",
        sys.executable,
        "-m",
        "gzfeatures",
        *map(str, words),
    ]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=300,
        **options,
    )


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **more}


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    path = tmp_path / "votes.csv"
    path.write_text("galaxy_id,label\na,x\nb,y\n")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return folder


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_results_that_cannot_be_shown_are_one_line_and_the_files_stay(
    votes: Path, tmp_path: Path, redirected: str, form: tuple[str, ...]
) -> None:
    done = gz(
        "join",
        votes,
        votes,
        "--on",
        "galaxy_id=galaxy_id",
        "-o",
        tmp_path / "j.csv",
        *form,
        redirected=redirected,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert (
        last.startswith("error: standard output cannot be written: ")
        and "unexpected" not in done.stderr
    )
    assert (tmp_path / "j.csv").read_text().startswith("galaxy_id")


def test_a_reader_that_has_seen_enough_hears_no_complaint() -> None:
    code = f"{sys.executable} -m gzfeatures list backbones -v --json | head -c 1"
    done = subprocess.run(
        ["sh", "-c", code], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout == "{" and done.stderr == ""


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_words_that_nobody_can_be_told_change_no_result(
    votes: Path, tmp_path: Path, redirected: str
) -> None:
    output = tmp_path / "j.csv"
    done = gz(
        "join",
        votes,
        votes,
        "--on",
        "galaxy_id=galaxy_id",
        "-o",
        output,
        "--json",
        redirected=redirected,
    )
    assert done.returncode == 0 and done.stdout.startswith("{") and output.exists()
    wrong = gz("list", "nonsense", redirected=redirected)
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = f"""if True:
        import os
        from gzfeatures.cli.surroundings import prepare_streams
        prepare_streams()
        with open({str(tmp_path / "result")!r}, "w") as file:
            file.write(str(file.fileno()))
            file.flush()
            try:
                os.write(1, b"words of a library")
            except OSError:
                pass
    """
    subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", sys.executable, "-c", code],
        check=True,
        timeout=60,
    )
    assert int((tmp_path / "result").read_text()) > 2


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_lacks_a_character_is_shown_another(encoding: str) -> None:
    done = gz("list", "backbones", "-v", env=environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0"))
    assert done.returncode == 0, done.stderr
    assert "googlenet-gz2" in done.stdout and "?" in done.stdout


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); " + (
        f"os.execv({sys.executable!r}, ['python', '-m', 'gzfeatures', 'list', 'heads'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=100,
    )
    assert done.returncode == 1
    assert (
        done.stderr.startswith("error: the working folder is gone; ")
        and done.stderr.count("\n") == 1
    )


def test_a_clock_before_1980_is_one_line_before_the_work() -> None:
    code = """if True:
        import sys, time
        then = time.gmtime(0)
        time.localtime, strftime = lambda *_: then, time.strftime
        time.strftime = lambda form, *_: strftime(form, then)
        sys.argv = ["gzfeatures", "list", "heads"]
        from gzfeatures.cli import main
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the clock of this machine is wrong: heads and runs carry its date; "
        "must show 1980 or later, "
        "found 1970-01-01; set it, and run this again\n"
    )


def test_a_library_that_cannot_be_mapped_is_a_matter_of_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unmapped = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    wrapped = ImportError("could not import the C extensions")
    wrapped.__context__ = unmapped
    assert (
        lacks_memory(unmapped)
        and lacks_memory(wrapped)
        and not lacks_memory(ImportError("no module"))
    )
    (tmp_path / "unmappable_module.py").write_text(f"raise ImportError({str(unmapped)!r})")
    (tmp_path / "absent_module.py").write_text("raise ImportError('no')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="failed to map"):
        need("unmappable_module", extra="cluster")
    with pytest.raises(MissingExtraError):
        need("absent_module", extra="cluster")


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems do not heed this limit"
)
def test_too_little_address_space_is_one_line(images: Path, tmp_path: Path) -> None:
    least = 600 * 2**20  # PyTorch's libraries alone are larger
    done = gz(
        "extract", images, *RANDOM, "-o", tmp_path / "t.parquet",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (least, least)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: memory does not suffice; " in done.stderr and "unexpected" not in done.stderr


def test_no_place_for_temporary_files_is_one_line() -> None:
    error = FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
    assert (
        _described(error)
        == "no folder for temporary files can be written: set TMPDIR to one that can"
    )


def test_a_store_that_cannot_be_written_is_said_before_the_work(
    images: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    place = environment(GZFEATURES_STORE=str(tmp_path / "file" / "store"))
    done = gz("extract", images, *RANDOM, "-o", tmp_path / "t.parquet", env=place)
    assert done.returncode == 1
    assert "store cannot be written" in done.stderr and "set GZFEATURES_STORE" in done.stderr
    assert "resnet18 ━" not in done.stderr  # the bar of the work


@pytest.mark.parametrize(
    ("beside", "usable", "own"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_numba_has_a_private_folder_where_it_may_write_nowhere(
    monkeypatch: pytest.MonkeyPatch, beside: bool, usable: bool, own: bool
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    said: Callable[[object], bool] = lambda _: beside  # noqa: E731
    monkeypatch.setattr(numba_cache, "_beside", said)
    monkeypatch.setattr(numba_cache, "_usable", lambda _: usable)
    numba_cache.require_numba_cache()
    place = os.environ.get("NUMBA_CACHE_DIR")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert (place is not None) == own
    if place is not None:
        assert Path(place).stat().st_mode & 0o777 == 0o700


def test_a_folder_is_usable_where_a_file_can_be_made_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert numba_cache._usable(tmp_path / "new" / "cache") and not numba_cache._usable(
        tmp_path / "file" / "cache"
    )
