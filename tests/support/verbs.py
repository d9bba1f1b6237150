"""The verbs of the command line, called in the process of the test."""

from __future__ import annotations

import importlib
import json
from typing import Any

from typer.testing import CliRunner

from gzfeatures.cli import VERBS
from gzfeatures.cli.console import app

for module in VERBS:  # each adds its verbs to the app
    importlib.import_module(f"gzfeatures.cli.{module}")


def gz(*words: object) -> dict[str, Any]:
    """Result of a verb that went well; an error is raised as it is."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found
