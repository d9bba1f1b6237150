"""The command of a SLURM script means what the user typed, in whatever folder a task runs."""

from __future__ import annotations

import shlex
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gzfeatures.cli.console import app
from gzfeatures.cli.slurm_script import array_script
from gzfeatures.cli.verbs import extraction as extraction


def parsed(words: list[str]) -> Any:
    command = typer.main.get_command(app).commands["extract"]  # type: ignore[attr-defined]
    return command.make_context("extract", list(words))


def commands(script: str) -> list[list[str]]:
    """The words behind `extract` of both commands in a script: the last one, and that of a task."""
    last, task = (line for line in script.splitlines() if "gzfeatures extract" in line)
    return [
        shlex.split(last.removeprefix("#"))[2:],
        shlex.split(task.replace("$task", "1").replace('"$task"', "1"))[3:],
    ]


VALUES = {
    "source": "images",
    "output": "out/table.parquet",
    "images": "images",
    "backbone": "resnet18",
    "selection": "some ids.csv",
    "engine": "ray",
    "precision": "bfloat16",
    "store_precision": "float16",
    "runtime": "openvino",
    "device": "cuda",
    "on_bad": "skip",
    "weights": "w.pth",
    "image_prefer": "bands",
    "image_stretch": "engel",
}
"""A value of each option that takes a path or one of several words."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # files with the names of values that name no file
    for name in ("images", "tuned", "resnet18", "vit_b_16", "avgpool", "cuda", "skip", "text"):
        (tmp_path / name).mkdir()
    for name in ("w.pth", "encoder.onnx", "some ids.csv", "mine.toml"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def given(parameter: Any) -> list[str]:
    """Words of a command line that give an option a value, two for an option that is repeated."""
    name = parameter.name
    if parameter.param_type_name == "argument":
        return [VALUES[name]]
    if parameter.is_flag:
        return [parameter.opts[0]]
    words = ["-1.5", "4095"] if parameter.nargs == 2 else [VALUES.get(name, "text")]
    once = [parameter.opts[0], *words]
    return [*once, parameter.opts[0], "second"] if parameter.multiple else once


def test_every_option_is_written_as_it_was_given(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = typer.main.get_command(app).commands["extract"]  # type: ignore[attr-defined]
    typed = [given(each) for each in command.params if each.name not in ("part", "slurm")]
    context = parsed(list(chain.from_iterable(typed)))
    script = array_script(context, 2, desk / "store")
    monkeypatch.chdir("/")
    for line in commands(script):
        again = parsed(line).params
        for name, value in context.params.items():
            if name in ("part", "slurm", "output"):
                continue
            if isinstance(value, Path):
                value = desk / value
            assert again[name] == (str(desk / value) if name == "weights" else value), name


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("resnet18", "resnet18"),
        ("vit_b_16", "vit_b_16"),
        ("timm:resnet18", "timm:resnet18"),
        ("tuned", "{0}/tuned"),
        ("mine.toml", "{0}/mine.toml"),
        ("onnx:encoder.onnx", "onnx:{0}/encoder.onnx"),
        ("hf:tuned", "hf:{0}/tuned"),
        ("absent", "absent"),
    ],
)
def test_a_backbone_on_disk_is_written_with_its_path(text: str, written: str, desk: Path) -> None:
    words = ["images", "-o", "t.parquet", "--backbone", text, "--backbone", "resnet34"]
    for line in commands(array_script(parsed(words), 2, desk)):
        assert parsed(line).params["backbone"] == [written.format(desk), "resnet34"]


def test_an_address_stays_an_address(desk: Path) -> None:
    words = ["https://host/images/", "-o", "t.parquet"]
    for line in commands(array_script(parsed(words), 2, desk)):
        assert line[0] == "https://host/images"


def test_a_part_beside_a_script_of_all_parts_is_refused(desk: Path) -> None:
    words = ["extract", "images", "-o", "t.parquet", "--slurm", "2", "--part", "1/3"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "set in the script" in result.output
