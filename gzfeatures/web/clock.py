"""Limit the time that a web server's answer may take, from the first header to the last byte.

The timeout of a socket limits only the time without a byte: a server that sends a byte now and then
never exceeds it. So all bytes are read by a class that checks, several times a second, a deadline,
and an event by which another thread can stop the reading.

The look-up of a host, the connection and the start of TLS are calls of C code that cannot be
stopped. They run in another thread; at the deadline, or after the event, the program continues
without waiting for this thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import urllib3

from gzfeatures.web.outcomes import NoAnswer, Unanswered

Result = TypeVar("Result")

STEP = 0.2
"""Seconds after which a thread that waits for bytes checks the time limit again."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """Store the time limits of one answer of a web server, and an event that stops the reading.

    Parameters
    ----------
    silence : float
        Longest time in seconds without a byte.
    whole : float
        Longest time in seconds for the whole answer.
    end : float
        Time at which the answer must be complete (s, `time.monotonic`).
    stopped : threading.Event
        Event that stops the reading when another thread sets it.
    """

    silence: float
    whole: float
    end: float
    stopped: threading.Event

    def check(self) -> None:
        """Raise NoAnswer if the download was cancelled, Unanswered if it exceeds its time limit."""
        if self.stopped.is_set():
            raise NoAnswer("stopped")
        if time.monotonic() > self.end:
            raise Unanswered(f"answer not complete within {self.whole:g} s")


_running = threading.local()
"""For each thread, the time limits of the web answer that it is reading."""


@contextlib.contextmanager
def timed(silence: float, whole: float, stopped: threading.Event) -> Iterator[Clock]:
    """In a `with` block, limit how long this thread may take to read a web server's answer."""
    clock, around = Clock(silence, whole, time.monotonic() + whole, stopped), _of_thread()
    _running.clock = clock
    try:
        yield clock
    finally:
        _running.clock = around


def _of_thread() -> Clock | None:
    """Return the time limits of the web answer that this thread is reading; None without limits."""
    clock: Clock | None = getattr(_running, "clock", None)
    return clock


def interruptible(
    work: Callable[[], Result], late: Callable[[Result], object] | None = None
) -> Result:
    """Run a function that cannot be stopped in another thread; wait only until the time limit.

    After this thread's time limit, the program continues, and the other thread still runs. If this
    thread has no time limits, the function runs in this thread.

    Parameters
    ----------
    work : callable
        Function without arguments; its exceptions are raised here.
    late : callable, optional
        Called with a result that comes after the time limit, to close connections or files.

    Raises
    ------
    NoAnswer
        The reading was stopped.
    Unanswered
        The time limit of the answer is over.
    """
    clock = _of_thread()
    if clock is None:
        return work()
    future: Future[Result] = Future()

    def run() -> None:
        # give the new thread the same time limits: `work` may itself read an answer, for example
        # that of a proxy server
        _running.clock = clock
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    # start a daemon thread, for which Python does not wait when the program exits
    threading.Thread(target=run, name="left behind if late", daemon=True).start()
    try:
        while not wait([future], STEP).done:
            clock.check()
    except BaseException:
        if late is not None:
            future.add_done_callback(lambda ended: ended.exception() or late(ended.result()))
        raise
    return future.result()


class _TimedReader(io.RawIOBase):
    """Read the bytes that arrive on a network connection, within the time limits of an answer."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection, self._clock = connection, clock
        # keep the socket readable by this open file: http.client closes the socket before it has
        # read the answer, if the server announces the end of the connection
        self._file = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with bytes from the server; while waiting, check the time limits often."""
        silent_until = time.monotonic() + self._clock.silence
        while True:
            self._clock.check()
            self._connection.settimeout(STEP)
            try:
                return self._connection.recv_into(buffer)
            except TimeoutError:
                if time.monotonic() > silent_until:
                    raise

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimedSocket:
    """Replace http.client's socket by one whose answers are read within their time limits."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection, self._clock = connection, clock

    def makefile(self, *_: object) -> io.BufferedReader:
        """Return a file from which http.client reads a web server's answer within time limits."""
        return io.BufferedReader(_TimedReader(self._connection, self._clock))


class _TimedResponse(http.client.HTTPResponse):
    """Read status line, headers and body of a web server's answer within time limits."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        clock = _of_thread()
        timed_socket: Any = sock if clock is None else _TimedSocket(sock, clock)
        super().__init__(timed_socket, *arguments, **options)


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        """Look up the server's address and connect, within the time limits of this thread."""
        interruptible(super().connect, late=lambda _: self.close())


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        """Look up the server's address, connect and agree on TLS, within this thread's limits."""
        interruptible(super().connect, late=lambda _: self.close())


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def connections(number: int) -> urllib3.PoolManager:
    """Return a pool of connections to web servers that reads answers within time limits."""
    manager = urllib3.PoolManager(
        maxsize=number, retries=False, headers={"User-Agent": "gzfeatures"}
    )
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager
