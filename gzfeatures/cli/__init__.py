"""Run the command line: each command makes one call of the library and prints its result.

Messages for people go to standard error; results go to standard output, or to the file named by
`-o`.
"""

from __future__ import annotations

import contextlib
import sys

from gzfeatures import user_folders
from gzfeatures.cli import signals
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
CHAPTERS: dict[str, dict[str, str]] = {
    "The whole job": {
        "demo": (
            "Run a whole experiment on a simulated survey, without a download (5 "
            "minutes of one core)."
        ),
        "new": "Write a commented experiment file that runs, for galaxies with images and labels.",
        "run": (
            "Run an experiment: train, extract, fit, score and compare all candidates on one split."
        ),
        "compare": (
            "Rank the candidates of finished runs that share a split, with intervals "
            "and paired tests."
        ),
        "record": (
            "Record in MLflow a run or training that was not recorded when it ended; nothing twice."
        ),
        "ui": "Show the recorded runs in the MLflow UI on 127.0.0.1.",
    },
    "Galaxies: who they are, their labels and images": {
        "check": "Check a catalog and its images: print what will be used, what is broken and why.",
        "label": (
            "Turn vote fractions or gz2_class strings into classes, and print which "
            "votes were read."
        ),
        "join": (
            "Join two catalogs by a key or by position; print how many rows matched, "
            "and which did not."
        ),
        "sample": (
            "Draw a stratified sample of galaxies, with its train, validation and test split."
        ),
        "cutouts": (
            "Download cutouts from a survey, or cut them out of its tiles; verify every "
            "file; resume."
        ),
    },
    "Networks and vectors": {
        "list": (
            "List backbones, heads, class schemes or networks with licence, source and dimension."
        ),
        "finetune": "Train a network from random or given weights; its checkpoint is a backbone.",
        "plan": (
            "Measure an extraction on some of the images; print its hours, disk, memory "
            "and node hours."
        ),
        "extract": (
            "Compute the embedding of every image with a backbone, and write the embedding table."
        ),
        "table": "Import, export, join, slice, repair, compare and describe embedding tables.",
        "store": "Show which embeddings are cached, remove some, or import those of another store.",
    },
    "Heads on vectors": {
        "fit": (
            "Fit heads on the training galaxies, score them on the test galaxies, and save them."
        ),
        "predict": (
            "Write class probabilities per galaxy, and the class set that holds the "
            "true class in 90 %."
        ),
        "export": (
            "Write a head as an ONNX file that gives class, probabilities, class set and "
            "familiarity_p."
        ),
    },
    "Looking and teaching": {
        "map": "Draw the UMAP of a table, with thumbnails, in one offline HTML page.",
        "teach": (
            "Serve a page on 127.0.0.1 on which galaxies are labelled and heads learn "
            "from the labels."
        ),
        "find": (
            'Rank the galaxies of a table by words such as "edge-on, no bulge" or '
            '"spiral, not bar".'
        ),
        "similar": "Find the galaxies whose embeddings are nearest to those of given galaxies.",
        "odd": "Rank galaxies by how much they differ from the others, the most unusual first.",
        "duplicates": "Find galaxies that appear twice in the table, with two ids.",
        "doubt": (
            "Find labels that are probably wrong, and the unlabelled galaxies most "
            "worth a human look."
        ),
        "explain": (
            "Show which pixels decide the class that a network, or a head on its "
            "embeddings, predicts."
        ),
        "audit": (
            "Measure what an encoder knows that it should not: redshift, seeing, JPEG quality, …."
        ),
    },
    "For a paper": {
        "figure": "Draw a figure of a finished run for a journal, with its numbers and caption.",
        "cite": (
            "Print BibTeX entries of the software, data, scheme and networks of a finished run."
        ),
        "methods": "Print a methods paragraph on a finished run, with the run's own numbers.",
    },
}
"""First sentence of each verb, by chapter of the help, in the order of the work.

`gzfeatures --help` needs no verb for them; `test_verbs.py` compares them with the verbs' own.
"""


def modules_of(verb: str) -> list[str]:
    """Return the modules to import for a command: the one that defines it, or all if it is unknown.

    To import all modules takes longer than a short command works. For an unknown name all are
    needed, because the error message suggests commands with a similar name.

    Examples
    --------
    >>> modules_of("fit")
    ['heads']
    >>> modules_of("fti") == list(VERBS)
    True
    """
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
    """Run the command that the user typed, and return the exit code."""
    try:
        require_surroundings()
        from gzfeatures.cli.console import app

        code = 0
        try:
            # keep tables larger than memory in the user's cache, because /tmp may be too small
            with user_folders.scratch_in(user_folders.cache()), own_process():
                app(standalone_mode=True)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else EXIT_ERROR if stop.code else 0
        sys.stdout.flush()  # write buffered text now: at exit, a full disk gives no error message
        return code
    except BrokenPipeError:
        return EXIT_ERROR
    except Exception as error:
        if debug:
            raise
        # after Ctrl-C report no error, because the interruption can make compiled code raise one
        if signals.exit_code() is None:
            print(f"error: {_described(error)}", file=sys.stderr)
        return EXIT_ERROR


def main() -> None:
    """Run the command line, and end the process with an exit code.

    Exit codes: 0 success, 1 error, 2 wrong usage, 75 ended after a batch system's warning, 130
    ended by Ctrl-C, 143 ended by SIGTERM.
    """
    # remove --debug before typer reads the command, because it may stand anywhere in it
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    prepare_streams()
    code = EXIT_INTERRUPTED
    # Ctrl-C before the command starts must give the exit code of an interruption too
    with contextlib.suppress(KeyboardInterrupt):
        signals.heed()
        code = _run(debug)
    if (ended := signals.exit_code()) is not None:
        signals.end_in_order(ended)
    sys.exit(code)
