"""Run the command line: each verb makes one library call and prints its result.

Messages for people go to stderr; results go to stdout or to the file of `-o`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys

from gzfeatures import user_folders
from gzfeatures.cli import interruption
from gzfeatures.cli.surroundings import prepare_streams, require_surroundings
from gzfeatures.errors import BEYOND_CORE, GzError, lacks_memory, without
from gzfeatures.heads._compat_skops import own_process

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130
VERBS = (
    "experiments",
    "catalogs",
    "listing",
    "extraction",
    "planning",
    "tables",
    "heads",
    "prediction",
    "training",
    "maps",
    "explore",
    "paper",
    "teaching",
)
"""Names of the modules that define verbs, in the order of the help."""


def _described(error: Exception) -> str:
    """Return one line that describes an error of any library."""
    if isinstance(error, GzError):
        return str(error)
    if lacks_memory(error):
        return (
            "memory does not suffice; close other programs, raise the limit (ulimit -v, "
            "the batch system's), "
            "or give fewer galaxies or workers"
        )
    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if isinstance(error, ModuleNotFoundError) and module in BEYOND_CORE:
        return str(without("this", module))
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in text:
        return "no folder for temporary files can be written: set TMPDIR to one that can"
    return f"unexpected {type(error).__name__}: {text}; run again with --debug and report it"


def _run(debug: bool) -> int:
    """Run a verb and return the exit code."""
    try:
        require_surroundings()
        from gzfeatures.cli.console import app

        for verbs in VERBS:
            importlib.import_module(f"gzfeatures.cli.verbs.{verbs}")
        code = 0
        try:
            # keep tables larger than memory in the user's cache, because /tmp may be too small
            with user_folders.scratch_in(user_folders.cache()), own_process():
                app(standalone_mode=True)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else EXIT_ERROR if stop.code else 0
        sys.stdout.flush()  # write the remaining output now, while an error can still be reported
        return code
    except BrokenPipeError:
        return EXIT_ERROR
    except Exception as error:
        if debug:
            raise
        # compiled code may turn an interruption into other errors, which are not reported
        if interruption.exit_code() is None:
            print(f"error: {_described(error)}", file=sys.stderr)
        return EXIT_ERROR


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 our error, 2 wrong usage, 75 warned by a batch system, 130 Ctrl-C, 143
    SIGTERM.
    """
    # --debug may stand anywhere in the command, so remove it before typer reads the words
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    prepare_streams()
    code = EXIT_INTERRUPTED
    # Ctrl-C before the verb starts has the exit code of an interruption too
    with contextlib.suppress(KeyboardInterrupt):
        interruption.heed()
        code = _run(debug)
    if (ended := interruption.exit_code()) is not None:
        interruption.end_in_order(ended)
    sys.exit(code)
