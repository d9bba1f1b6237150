"""What users import and call: names, import cost, verbs and their help."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys

import pytest
from places import ROOT

import gzfeatures as gz

HEAVY = (
    "torch",
    "mlflow",
    "umap",
    "xgboost",
    "sklearn",
    "matplotlib",
    "pandas",
    "numpy",
    "lightning",
    "astropy",
    "pydantic",
)
VERBS_PAGE = (ROOT / "docs" / "verbs.md").read_text(encoding="utf-8")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def loaded_by(code: str) -> list[str]:
    result = run("-c", f"{code}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert result.returncode == 0, result.stderr
    return eval(result.stdout)  # noqa: S307  (our own list)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import gzfeatures") == []


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['gzfeatures', '--help']\n"
        "from gzfeatures.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nprint()"
    )
    result = run("-c", f"{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])")
    assert result.stdout.splitlines()[-1] == "[]", result.stderr


def test_every_public_name_resolves_and_is_listed() -> None:
    assert gz.__all__ == sorted(gz.__all__)
    for name in gz.__all__:
        assert getattr(gz, name) is not None
        assert name in dir(gz)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gz.nothing  # noqa: B018


def test_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("gzfeatures") == gz.__version__


def verbs() -> list[str]:
    from typer.main import get_command

    from gzfeatures.cli import VERBS
    from gzfeatures.cli.console import app

    for module in VERBS:
        importlib.import_module(f"gzfeatures.cli.verbs.{module}")
    return sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help_an_example_and_a_place_among_the_verbs(verb: str) -> None:
    from typer.testing import CliRunner

    from gzfeatures.cli.console import app

    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: gzfeatures {verb}" in " ".join(result.output.split())
    assert f"`{verb}" in VERBS_PAGE


def test_help_is_a_map_of_the_job() -> None:
    from typer.testing import CliRunner

    from gzfeatures.cli import CHAPTERS
    from gzfeatures.cli.console import app

    text = CliRunner().invoke(app, ["--help"]).output
    assert sorted(verb for chapter in CHAPTERS.values() for verb in chapter) == verbs()
    places = [text.index(f"\n{title}:") for title in CHAPTERS]
    assert places == sorted(places) and "..." not in text[places[0] :]


def test_shells_complete_verbs_and_options() -> None:
    environment = {**os.environ, "_GZFEATURES_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    for words, answer in (
        ("gzfeatures ex", {"extract", "explain", "export"}),
        ("gzfeatures fit --tu", {"--tune"}),
    ):
        given = environment | {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        code = "import sys; sys.argv = ['gzfeatures']; from gzfeatures.cli import main; main()"
        result = subprocess.run(
            [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=False
        )
        assert set(result.stdout.split()) == answer, result.stderr
