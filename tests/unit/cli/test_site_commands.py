"""Commands in the pages of the site are commands: their verbs and options exist."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from gzfeatures.cli import VERBS
from gzfeatures.cli.console import app

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted(
    [
        DOCS / "index.md",
        DOCS / "verbs.md",
        *DOCS.glob("how-to/*.md"),
        *DOCS.glob("explanation/*.md"),
    ]
)


def lines_of(page: Path) -> list[str]:
    """Commands in blocks and in running text."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.S)
    inline = re.findall(r"`(gzfeatures [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    lines = [line for block in blocks for line in block.splitlines()]
    return [" ".join(line.split()) for line in [*lines, *inline] if "gzfeatures " in line]


@pytest.fixture(scope="module")
def verbs() -> dict[str, Any]:
    for name in VERBS:
        importlib.import_module(f"gzfeatures.cli.verbs.{name}")
    group: Any = typer.main.get_command(app)
    # what stands before any verb is an option of the whole
    return {**group.commands, "": group}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_verbs_and_options_of_a_page_exist(page: Path, verbs: dict[str, Any]) -> None:
    for line in lines_of(page):
        words = shlex.split(line.split(" > ")[0])
        # an install line ends in a command of ours
        start = max(n for n, word in enumerate(words) if word.endswith("gzfeatures"))
        verb, *rest = words[start + 1 :]
        command = verbs["" if verb.startswith("--") else verb]
        rest = [verb, *rest] if verb.startswith("--") else rest
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        asked = {word.split("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)}
        assert asked <= known | {"--help"}, line


def test_the_pages_hold_commands() -> None:
    assert sum(len(lines_of(page)) for page in PAGES) > 25
