"""Check at the start of the process that standard streams, working folder and clock are usable."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from gzfeatures.errors import InputError, OutputError

FIRST_YEAR = 1980
"""First year in which a zip file, and so a head's file, can be dated."""


class _Results(io.FileIO):
    """Write standard output; the first failure raises an OutputError, later bytes are dropped.

    Otherwise Python would try again at exit to write the remaining bytes, fail again, and change
    the exit code to 120.
    """

    failed = False

    def write(self, data: object) -> int:
        """Write bytes to standard output, unless an earlier write failed; return how many."""
        size = len(memoryview(data))  # type: ignore[arg-type]
        if self.failed:
            return size
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            # raise no OutputError: the program that reads the output, such as `head`, has read
            # all that it needs
            self.failed = True
            raise
        except OSError as error:
            self.failed = True
            raise OutputError(
                f"standard output cannot be written: {error.strerror}; the files that "
                "were written stay",
                remedy="send it elsewhere",
            ) from error


class _Words(io.FileIO):
    """Write standard error; drop bytes that cannot be written, so that the work continues."""

    def write(self, data: object) -> int:
        """Write bytes to standard error; return their number, even if writing failed."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return len(memoryview(data))  # type: ignore[arg-type]


def _text(raw: io.FileIO, like: TextIO | None, *, line_buffering: bool) -> TextIO:
    """Return a text stream that writes to `raw`, with the encoding of the stream `like`.

    Letters that the encoding lacks are written as "?".
    """
    encoding = like.encoding if like is not None else "utf-8"
    # replace letters that the encoding lacks by "?", because they must not end a finished job
    errors = like.errors if like is not None and like.errors not in (None, "strict") else "replace"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=line_buffering)


def prepare_streams() -> None:
    """Make the three standard streams safe to use, even if one is closed.

    A closed stream is replaced by `os.devnull`. Otherwise the next file that is opened would get
    the stream's number, and text printed by a library would be written into this file. Streams that
    were replaced by other code are not changed.
    """
    if os.name != "posix":
        return
    # open streams 0 and 1 for reading, so that writing to a closed standard output still fails
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    if sys.stdout is sys.__stdout__:
        terminal = os.isatty(1)
        sys.stdout = _text(_Results(1, "wb", closefd=False), sys.stdout, line_buffering=terminal)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Words(2, "wb", closefd=False), sys.stderr, line_buffering=True)


def require_surroundings() -> None:
    """Refuse to start in a folder that was removed, or with a clock that is decades wrong.

    Raises
    ------
    InputError
        The working folder was removed, or the clock shows a year before 1980, which cannot be
        stored in the file of a head.
    """
    try:
        Path.cwd()
    except OSError:
        raise InputError(
            "the working folder is gone",
            rule="exist",
            remedy="change to one that exists (cd), and run this again",
        ) from None
    if time.localtime().tm_year < FIRST_YEAR:
        raise InputError(
            "the clock of this machine is wrong: heads and runs carry its date",
            rule=f"show {FIRST_YEAR} or later",
            found=time.strftime("%Y-%m-%d"),
            remedy="set it, and run this again",
        )
