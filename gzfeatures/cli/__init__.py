"""The command line: a verb is one library call. Words go to stderr, results to stdout or to `-o`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType

from gzfeatures.errors import GzError

EXIT_ERROR, EXIT_WARNED, EXIT_INTERRUPTED = 1, 75, 130
GRACE = 10
"""Seconds after an interruption within which threads may end; one that never would is not waited for."""
VERBS = ("experiments", "catalogs", "tables", "training", "maps", "pictures")
"""Modules that add verbs, in the order in which the help lists them."""
NO_MEMORY = (
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "can't start new thread",
    "could not create a primitive",
)
"""What libraries say when the system refuses them memory; Python's own word is MemoryError."""


def _fail(text: str) -> None:
    print(f"error: {text}", file=sys.stderr)
    sys.exit(EXIT_ERROR)


def _described(error: Exception) -> str:
    """One line about an error of any library."""
    if isinstance(error, GzError):
        return str(error)
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return "memory does not suffice; close other programs, or give fewer galaxies or workers"
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text}; run again with --debug and report it"


def _end_soon() -> None:
    """End the process after the grace, whatever its threads do: files appear whole or not at all, so none is harmed."""
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(EXIT_INTERRUPTED))
        signal.alarm(GRACE)


def main() -> None:
    """Run the command line; exit 0 done, 1 our error, 2 wrong usage, 75 warned by a batch system, 130 interrupted."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    interrupts: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        """Say what happens and stop; Typer ends an interrupted command with exit code 130."""
        if not interrupts:
            print("interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
            _end_soon()
        interrupts.append(number)
        raise KeyboardInterrupt

    def warned(number: int, frame: FrameType | None) -> None:
        """End in order when a batch system says that time is running out; its job may be queued again."""
        signal.signal(number, signal.SIG_IGN)
        print("warned that time is running out; what was finished is kept: run the same again", file=sys.stderr)
        sys.exit(EXIT_WARNED)

    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, warned)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        from gzfeatures.cli.console import app

        for verbs in VERBS:
            importlib.import_module(f"gzfeatures.cli.{verbs}")
        app(standalone_mode=True)
    except KeyboardInterrupt:  # Typer ends an interrupted command itself; this is before there is one
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)
    except Exception as error:
        if debug:
            raise
        if interrupts:  # compiled code turns an interruption into errors of its own
            sys.exit(EXIT_INTERRUPTED)
        _fail(_described(error))
