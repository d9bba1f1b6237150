"""The command line: a verb is one library call. Words go to stderr, results to stdout or to `-o`."""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType

from gzfeatures.errors import GzError

EXIT_ERROR = 1
VERBS = ("experiments", "catalogs", "tables", "training", "maps", "pictures")
"""Modules that add verbs, in the order in which the help lists them."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Say what happens and stop; Typer ends an interrupted command with exit code 130."""
    print(
        "interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr, flush=True
    )
    raise KeyboardInterrupt


def _fail(text: str) -> None:
    print(f"error: {text}", file=sys.stderr)
    sys.exit(EXIT_ERROR)


def main() -> None:
    """Run the command line; exit 0 done, 1 our error, 2 wrong usage, 130 interrupted."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    from gzfeatures.cli.console import app

    for verbs in VERBS:
        importlib.import_module(f"gzfeatures.cli.{verbs}")

    try:
        app(standalone_mode=True)
    except GzError as error:
        if debug:
            raise
        _fail(str(error))
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        _fail(f"unexpected {type(error).__name__}: {text}; run again with --debug and report it")
