"""A file that an option names, itself or in a description, is never overwritten by an output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of
from typer.testing import CliRunner

from gzfeatures.cli.console import app
from gzfeatures.errors import OutputError
from gzfeatures.networks.encoders.backbone_table import files_named


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    table_of(np.random.default_rng(0).normal(size=(40, 4))).write("table.parquet")
    Path("mine.csv").write_text("galaxy_id\ng0001\ng0002\n")
    Path("mine.png").write_bytes(b"an image")
    Path("images").mkdir()
    return tmp_path


def error_of(*words: str) -> BaseException | None:
    result = CliRunner().invoke(app, ["similar", "table.parquet", "-k", "3", *words, "--json"])
    return result.exception


@pytest.mark.parametrize(
    "words",
    [
        "--like mine.csv -o mine.csv",
        "--like g0001 --unlike mine.csv -o mine.csv",
        "--like g0001 --like mine.csv -o ./mine.csv",
        "--like mine.png --gallery mine.png --images images",
        "--like g0001 --unlike mine.png --gallery mine.png --images images",
        "--ids mine.csv -o mine.csv",
    ],
)
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_selection_or_an_image_is_an_input(words: str, more: list[str], desk: Path) -> None:
    before = Path("mine.csv").read_bytes(), Path("mine.png").read_bytes()
    error = error_of(*words.split(), *more)
    assert isinstance(error, OutputError) and "would overwrite an input" in str(error)
    assert (Path("mine.csv").read_bytes(), Path("mine.png").read_bytes()) == before


def test_a_selection_that_the_same_verb_wrote_is_an_input_too(desk: Path) -> None:
    assert error_of("--like", "g0001", "-o", "found.csv") is None
    before = Path("found.csv").read_bytes()
    error = error_of("--like", "found.csv", "-o", "found.csv")
    assert isinstance(error, OutputError) and "would overwrite an input" in str(error)
    assert Path("found.csv").read_bytes() == before
    assert error_of("--like", "found.csv", "--unlike", "g0007", "-o", "other.csv") is None


@pytest.mark.parametrize("output", ["encoder.onnx", "weights.bin"])
def test_the_files_that_a_description_of_a_backbone_names_are_inputs(
    output: str, desk: Path
) -> None:
    (desk / "own").mkdir()
    Path("own/mine.toml").write_text(
        '[[backbones]]\nname = "mine"\narchitecture = "onnx:../encoder.onnx"\n'
        'weights = "../weights.bin"\n'
    )
    for name in ("encoder.onnx", "weights.bin"):
        Path(name).write_bytes(b"a network")
    words = ["extract", "images", "--backbone", "own/mine.toml", "-o", output, "--overwrite"]
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, OutputError) and "would overwrite an input" in str(error)
    assert Path(output).read_bytes() == b"a network"


@pytest.mark.parametrize("text", ["", "[[backbones]]", "backbones = 3", "= no TOML", "\udcff"])
def test_a_description_that_names_nothing_names_no_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert files_named(tmp_path / "mine.toml") == []
    assert files_named(tmp_path / "absent.toml") == []
