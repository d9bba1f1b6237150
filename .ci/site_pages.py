"""Make the pages of the site that have a source elsewhere: commands, Python, notebook, findings.

A hook of mkdocs (`hooks` in mkdocs.yml): pages exist for the site alone, so that none is a copy
that ages.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
MOVED = {
    "own-backbone.md": "how-to/own-backbone.md",
    "experiment-keys.md": "reference/experiment-keys.md",
    "verbs.md": "reference/verbs.md",
    "versions.md": "reference/versions.md",
    "glossary.md": "explanation/glossary.md",
    "house.md": "explanation/house.md",
}
"""Pages that other files of the repository name, and their places on the site."""
PICTURES = ("map.jpg", "report.jpg")
"""Pictures of the synthetic survey."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and put the pages that lie at the top in their rooms."""
    made = {
        "tutorial.md": tutorial(),
        "reference/commands.md": commands(),
        "reference/python.md": python(),
        "explanation/findings.md": findings(),
    }
    for name, place in MOVED.items():
        page = files.get_file_from_path(name)
        if page is None:
            raise SystemExit(f"docs/{name} is named in {Path(__file__).name} and is not there")
        files.remove(page)
        made[place] = (ROOT / "docs" / name).read_text(encoding="utf-8")
    notebook = files.get_file_from_path("tutorial.ipynb")
    if notebook is not None:
        files.remove(notebook)
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    for name in PICTURES:
        drawn = (ROOT / "experiments" / "pictures" / name).read_bytes()
        files.append(File.generated(config, f"pictures/{name}", content=drawn))
    return files


def tutorial() -> str:
    """Return the notebook's text and code; its pictures are those of whoever runs it."""
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """Return the help of every verb, from its definition."""
    import importlib

    import typer.main

    from gzfeatures.cli import CHAPTERS, VERBS
    from gzfeatures.cli.console import app

    # the verbs add themselves to the app
    for verbs in VERBS:
        importlib.import_module(f"gzfeatures.cli.verbs.{verbs}")

    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "`gzfeatures VERB --help` prints the same. Errors end with exit code 1 and one line, wrong "
        "usage with 2; `--json` prints one JSON object.",
        "",
    ]
    for chapter, verbs in CHAPTERS.items():
        lines += [f"## {chapter}", ""]
        for verb in verbs:
            lines += _command(group.commands[verb], f"gzfeatures {verb}", 3)
    return "\n".join(lines)


def _command(command: Any, path: str, level: int) -> list[str]:
    """Return the help of one verb and of the verbs below it."""
    lines = [f"{'#' * level} {path}", "", _text(command.help or ""), ""]
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        name = (
            ", ".join(f"`{each}`" for each in parameter.opts)
            if parameter.param_type_name == "option"
            else f"`{parameter.metavar or parameter.name.upper()}`"
        )
        rows.append(f"| {name} | {_text(getattr(parameter, 'help', '') or '')} |")
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    if command.epilog:
        lines += ["```text", command.epilog.removeprefix("Example: "), "```", ""]
    for name, below in getattr(command, "commands", {}).items():
        lines += _command(below, f"{path} {name}", level + 1)
    return lines


def _text(text: str) -> str:
    """Return help text as Markdown in one line, with nothing read as markup."""
    return re.sub(r"([\\|<>*_\[\]])", r"\\\1", " ".join(text.split()))


def python() -> str:
    """Return the reference of all public names; their docstrings are read, nothing is run."""
    import gzfeatures

    homes = gzfeatures._HOME
    lines = [
        "# Python",
        "",
        "`import gzfeatures as gz`: every verb is a function with the words of the command line.",
    ]
    # functions are what a reader looks for first
    chapters = {
        "Functions": [name for name in homes if name.islower()],
        "Classes": [name for name in homes if not name.islower() and not name.isupper()],
        "Tables of names": [name for name in homes if name.isupper()],
    }
    for chapter, names in chapters.items():
        lines += ["", f"## {chapter}", ""]
        for name in sorted(names):
            own = f"{name}_" if name in ("list", "map") else name
            lines += [f"::: gzfeatures.{homes[name]}.{own}", ""]
    return "\n".join(lines)


def findings() -> str:
    """Return the table of findings."""
    return (ROOT / "findings" / "README.md").read_text(encoding="utf-8")
