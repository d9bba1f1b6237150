"""Write a SLURM array script; each task runs the same command on a part of the images."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gzfeatures.cli.writing import NAMED
from gzfeatures.errors import InputError


def part_of(text: str) -> tuple[int, int]:
    """Read a share of the work such as `3/16`; return its number, from 1, and the number of shares.

    Raises
    ------
    InputError
        The text is not K/N, with whole numbers and K in 1…N.

    Examples
    --------
    >>> part_of("3/16")
    (3, 16)
    """
    number, _, parts = text.partition("/")
    if not (number.isascii() and number.isdigit() and parts.isascii() and parts.isdigit()):
        raise InputError("part of the images", rule="be K/N, such as 3/16", found=text)
    if not 1 <= int(number) <= int(parts):
        raise InputError("part of the images", rule="be K/N with K in 1…N", found=text)
    return int(number), int(parts)


def array_script(context: Any, tasks: int, store: Path) -> str:
    """Return the script of a SLURM array whose tasks share one store of embeddings.

    Parameters
    ----------
    context : click.Context
        Context of the running command; the script repeats its options, with absolute paths.
    tasks : int
        Number of tasks, each with an equal part of the images.
    store : Path
        Folder that all tasks can access, in which they store embeddings.

    Raises
    ------
    InputError
        An option contains a line break.
    """
    verb = shlex.join(["gzfeatures", context.info_name, *_words(context, ("slurm", "output"))])
    if "\n" in verb:
        # the script has the final command in a comment: refuse a line break in a path, because it
        # would end the comment
        raise InputError("path in a SLURM script", rule="have no line break")
    output = Path(context.params["output"]).resolve()
    whole = shlex.join(["-o", str(output)])
    parts = shlex.quote(f"{output.with_suffix('')}.part")
    return f"""#!/bin/bash
#SBATCH --job-name=gzfeatures-{context.info_name}
#SBATCH --array=0-{tasks - 1}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={os.cpu_count() or 1}
#SBATCH --requeue
# submit with sbatch; 'gzfeatures plan' says how much time and memory a task needs.
# The tasks share one store, so a task that is repeated computes only what is missing. When all are
# done, write the whole table from the store:
#   {verb} {whole}
set -euo pipefail
export GZFEATURES_STORE={shlex.quote(str(store.resolve()))}
task=$((SLURM_ARRAY_TASK_ID + 1))
exec {verb} --part "$task/{tasks}" -o {parts}"$task"{shlex.quote(output.suffix)}
"""


def _words(context: Any, without: tuple[str, ...]) -> Iterator[str]:
    """Yield the words of the command that the user typed, except the options in `without`."""
    for parameter in context.command.params:
        name = parameter.name
        given = context.get_parameter_source(name)
        if name in without or given is None or given.name != "COMMANDLINE":
            continue
        value = context.params[name]
        repeated = parameter.param_type_name == "option" and parameter.multiple
        for each in value if repeated else [value]:
            # an option of several numbers, such as --range 0 1, is one option with all of them
            words = list(each) if isinstance(each, (list, tuple)) else [each]
            if parameter.param_type_name == "argument":
                yield from (_word(name, word) for word in words)
            elif isinstance(each, bool):
                yield parameter.opts[0] if each else parameter.secondary_opts[0]
            else:
                yield max(parameter.opts, key=len)
                yield from (_word(name, word) for word in words)


def _word(name: str, value: object) -> str:
    """Return an option's value as a word of a command line, with an absolute path."""
    from gzfeatures.features.backbones import PATHS, foreign_kind
    from gzfeatures.images.sources.remote import address

    # write absolute paths, because the tasks of the array may run in another folder
    if isinstance(value, Path):
        return address(value) or str(value.absolute())
    text = str(value)
    if name not in NAMED or not NAMED[name](text):
        return text
    kind = foreign_kind(text)
    path = Path(text.removeprefix(f"{kind}:")).absolute()
    if kind not in ("", *PATHS) or not path.exists():
        return text
    return f"{kind}:{path}" if kind else str(path)
