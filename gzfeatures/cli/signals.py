"""End a command on Ctrl-C, on SIGTERM, and on a batch system's warning.

Python runs the handler of a signal in the main thread, and only between two Python instructions:
while this thread executes compiled code or waits for another thread, the handler does not run.
Therefore a second thread watches a pipe, into which Python writes each signal at once. It ends the
process if the main thread does not do so in time.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeAlias

EXIT_WARNED = 75
EXITS = {int(signal.SIGINT): 130, int(signal.SIGTERM): 143}
"""Exit code of each signal that interrupts: 128 plus the signal's number, as in shells."""
GRACE = 3.0
"""Seconds that the main thread has to clean up after an interruption."""
SAID = "interrupted; what was finished is kept, and the same command goes on from there\n"

AGAIN = 0.05
"""Seconds after which a warning that Python has dropped is sent again."""

Hook: TypeAlias = "Callable[[sys.UnraisableHookArgs], object]"

_told: list[int] = []
"""Signals of a batch system for which a warning was printed."""
_received: list[int] = []
"""Signals that interrupted this process, in order of arrival."""
_stopped: list[int] = []
"""Signals that stopped the main thread."""
_unsaid = threading.Lock()
"""Lock that the first thread takes which prints that the process ends; others print nothing."""
_held_back = threading.local()
"""Signals that a thread blocks while it forks."""


def exit_code() -> int | None:
    """Return the exit code of the signal that interrupted this process; None without a signal."""
    return EXITS[_received[0]] if _received else None


def heed() -> None:
    """Install signal handlers: a first Ctrl-C or SIGTERM leaves time to clean up, a second none.

    Call this function once, in the main thread.
    """
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, _warned)
        sys.unraisablehook = _ask_again(sys.unraisablehook)
    for number in EXITS:
        signal.signal(number, _interrupt)
    if os.name != "posix":
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # block signals during a fork: until `_forget` has run, a signal to the child is written to the
    # pipe that the parent's `_watch` reads, and would end the parent
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_forget)
    threading.Thread(target=_watch, args=(reader,), name="interruption", daemon=True).start()


def _warned(number: int, frame: FrameType | None) -> NoReturn:
    """End cleanly when a batch system warns that time is running out; the job may run again."""
    signal.signal(number, signal.SIG_IGN)
    if not _told:
        _told.append(number)
        print(
            "warned that time is running out; what was finished is kept: run the same again",
            file=sys.stderr,
        )
    sys.exit(EXIT_WARNED)


def _ask_again(hook: Hook) -> Hook:
    """Return a hook that repeats the batch system's warning if Python has dropped it.

    Python drops an exception that a signal handler raises inside the callback of a weak reference
    or inside `__del__`. The command would continue, and the batch system does not warn again.
    """

    def heard(error: sys.UnraisableHookArgs) -> None:
        dropped = error.exc_value
        if not (isinstance(dropped, SystemExit) and dropped.code == EXIT_WARNED):
            hook(error)
            return
        # a thread sends the signal again a moment later, when the callback that dropped the
        # exception is over; Python then runs the handler in the main thread
        signal.signal(signal.SIGUSR1, _warned)
        threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGUSR1)).start()

    return heard


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt in the main thread, so that open `with` blocks clean up.

    Only the first signal does this: a second one would interrupt the cleaning up, and is left to
    the watching thread, which ends the process.
    """
    again = bool(_stopped)
    _stopped.append(number)
    if not again or os.name != "posix":
        _received.append(number)
        _say()
        raise KeyboardInterrupt


def _say() -> None:
    """Print once that the process was interrupted, without Python's buffers.

    The main thread may have locked a buffer at this moment, and this thread would wait for ever.
    """
    if _unsaid.acquire(blocking=False):
        with contextlib.suppress(OSError):
            os.write(2, SAID.encode())


def _block() -> None:
    """Block Ctrl-C and SIGTERM in this thread while it forks."""
    _held_back.mask = signal.pthread_sigmask(signal.SIG_BLOCK, EXITS)


def _unblock() -> None:
    """Unblock Ctrl-C and SIGTERM in this thread after a fork."""
    signal.pthread_sigmask(signal.SIG_SETMASK, _held_back.mask)


def _forget() -> None:
    """Restore the default signal handlers in a forked process.

    Signals to this process are then no longer written to the pipe that the parent process reads.
    """
    signal.set_wakeup_fd(-1)
    for number in EXITS:
        signal.signal(number, signal.SIG_DFL)
    _unblock()


def _next(reader: int, seconds: float | None) -> int | None:
    """Return the signal number of the next Ctrl-C or SIGTERM; None if none came in time."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            return None
        if (number := os.read(reader, 1)[0]) in EXITS:
            return number


def _watch(reader: int) -> None:
    """Wait for Ctrl-C or SIGTERM; end the process at the next signal or `GRACE` seconds later."""
    while (first := _next(reader, None)) is None:
        pass
    # store the signal here if its handler did not: the main thread may be busy, or a library may
    # have replaced the handler
    if not _received:
        _received.append(first)
    _say()
    # stop requests to web servers, whose module is loaded only if the command sent any
    if (web := sys.modules.get("gzfeatures.web.polite_http")) is not None:
        web.stop_all()
    _next(reader, GRACE)
    end(EXITS[first])


def end_in_order(code: int) -> NoReturn:
    """End the process after its `with` blocks have ended, and run the exit functions of libraries.

    If this takes longer than `GRACE` seconds, the watching thread ends the process.
    """
    with contextlib.suppress(BaseException):
        # run the exit functions, by which libraries remove temporary folders and stop their workers
        atexit._run_exitfuncs()
        sys.stdout.flush()
    end(code)


def end(code: int) -> NoReturn:
    """End the process at once, without leaving half-written files or child processes.

    Do not use Python's own exit. It waits for threads, and after an interruption inside `exec` it
    ends the process by SIGINT instead of the given exit code.
    """
    with contextlib.suppress(Exception):
        from gzfeatures.files import drop_unfinished

        drop_unfinished()
    with contextlib.suppress(Exception):
        _end_children()
    os._exit(code)


def _end_children() -> None:
    """End the processes that this process started, except Python's resource trackers."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if not any("resource_tracker" in word for word in child.cmdline()):
                child.kill()
