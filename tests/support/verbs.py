"""The verbs of the command line, called in the process of the test."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

from gzfeatures.cli import VERBS, main, signals
from gzfeatures.cli.console import app

for module in VERBS:  # each adds its verbs to the app
    importlib.import_module(f"gzfeatures.cli.verbs.{module}")


def gz(*words: object) -> dict[str, Any]:
    """Result of a verb that went well; an error is raised as it is."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def called(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a script sees of a verb: exit code, stdout and stderr of the real `main`, without a
    process of its own.

    A process takes seconds to import what a verb needs; where it is not the promise, this one has
    it already.
    """
    command, told = (
        ["gzfeatures", *map(str, words)],
        [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)],
    )
    code = 0
    try:
        with (
            contextlib.chdir(cwd or Path.cwd()),
            contextlib.redirect_stdout(told[0]),
            contextlib.redirect_stderr(told[1]),
            mock.patch.object(sys, "argv", command),
            mock.patch.object(signals, "heed"),  # signals stay those of the tests
        ):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    texts = []
    for stream in told:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(command, code, *texts)
