"""Run the command line: each verb makes one library call and prints its result.

Messages for people go to stderr; results go to stdout or to the file of `-o`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence

from gzfeatures import user_folders
from gzfeatures.cli import interruption
from gzfeatures.cli.surroundings import prepare_streams, require_surroundings
from gzfeatures.errors import BEYOND_CORE, GzError, lacks_memory, without
from gzfeatures.heads._compat_skops import own_process

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130
VERBS = {
    "experiments": ("demo", "new", "run", "compare", "record", "ui"),
    "catalogs": ("check", "label", "sample", "join", "cutouts"),
    "listing": ("list", "store"),
    "extraction": ("extract",),
    "planning": ("plan", "export"),
    "tables": ("table",),
    "heads": ("fit",),
    "prediction": ("predict",),
    "training": ("finetune",),
    "maps": ("map",),
    "explore": ("similar", "odd", "duplicates", "doubt", "explain", "audit"),
    "paper": ("figure", "cite", "methods"),
    "teaching": ("teach", "find"),
}
"""Verbs by the module that defines them, in the order of the help."""


def _modules(words: Sequence[str]) -> list[str]:
    """Return the modules of verbs that a command needs: that of its verb, else all.

    The options of all verbs take longer to build than a short verb works. The first word alone is
    looked at: a word after an option may be its value.

    Parameters
    ----------
    words : sequence of str
        Words of the command behind the program's name.

    Examples
    --------
    >>> _modules(["fit", "table.parquet"])
    ['heads']
    >>> len(_modules(["--help"])) == len(VERBS)
    True
    """
    verb = words[0] if words else ""
    return [module for module, verbs in VERBS.items() if verb in verbs] or list(VERBS)


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

        for module in _modules(sys.argv[1:]):
            importlib.import_module(f"gzfeatures.cli.verbs.{module}")
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
