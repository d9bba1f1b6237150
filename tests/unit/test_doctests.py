"""Examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import gzfeatures

PACKAGE = Path(gzfeatures.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    """Modules of the package whose text has a prompt, by their dotted name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found.append(".".join(parts).removesuffix(".__init__"))
    return found


def failures(name: str) -> tuple[int, int]:
    """Examples of a module that fail, and all that are tried; the report goes to stdout."""
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    return result.failed, result.attempted


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_give_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    failed, _ = failures(name)
    assert failed == 0  # the report above says which line gave what


def test_examples_are_collected_and_a_wrong_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(modules_with_examples()) > 20
    (tmp_path / "with_examples.py").write_text(
        'def right():\n    """\n    >>> 1 + 1\n    2\n    """\n'
        'def wrong():\n    """\n    >>> 1 + 1\n    3\n    """\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert failures("with_examples") == (1, 2)
    assert "Expected:\n    3\nGot:\n    2" in capsys.readouterr().out
