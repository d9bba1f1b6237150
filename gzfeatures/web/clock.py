"""Limit the time of one answer of a web server, from its first header to its last byte.

A timeout of a socket counts silence: a server that sends a byte now and then, in headers or in a
body, never trips it. So every read of a connection goes through a reader that looks at a deadline,
and at an event by which another thread breaks it off, several times a second.

Looking up a name, connecting and agreeing on TLS are single calls into C that nothing breaks off.
They happen in a thread of their own, which is left behind when the deadline or the event says so.
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
"""Seconds after which a waiting read checks its clock."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """Describe how long a program waits for one answer of a web server.

    Parameters
    ----------
    silence : float
        Seconds without a byte after which reading fails.
    whole : float
        Seconds that the whole answer may take.
    end : float
        Time on the monotonic clock at which it has to be complete.
    stopped : threading.Event
        Breaks the reading off when it is set.
    """

    silence: float
    whole: float
    end: float
    stopped: threading.Event

    def check(self) -> None:
        """Raise NoAnswer if the work was stopped, and Unanswered if the answer takes too long."""
        if self.stopped.is_set():
            raise NoAnswer("stopped")
        if time.monotonic() > self.end:
            raise Unanswered(f"answer not complete within {self.whole:g} s")


_running = threading.local()
"""Clock of the answer that each thread is reading."""


@contextlib.contextmanager
def timed(silence: float, whole: float, stopped: threading.Event) -> Iterator[Clock]:
    """Limit the time in which this thread reads answers of web servers inside a `with` block."""
    clock, around = Clock(silence, whole, time.monotonic() + whole, stopped), _of_thread()
    _running.clock = clock
    try:
        yield clock
    finally:
        _running.clock = around


def _of_thread() -> Clock | None:
    """Return the time limits of the web answer that this thread is reading; None if none."""
    clock: Clock | None = getattr(_running, "clock", None)
    return clock


def interruptible(
    work: Callable[[], Result], late: Callable[[Result], object] | None = None
) -> Result:
    """Return the result of a call that cannot be stopped; wait only within an answer's time limit.

    The call runs in a thread of its own. When the clock of this thread stops the waiting, that
    thread is left behind. Without a clock the call runs here.

    Parameters
    ----------
    work : callable
        Called without arguments. What it raises is raised here.
    late : callable, optional
        Takes the result of a call that was left behind, to give back what it holds.

    Raises
    ------
    NoAnswer
        The work was stopped.
    Unanswered
        The time of the answer is over.
    """
    clock = _of_thread()
    if clock is None:
        return work()
    future: Future[Result] = Future()

    def run() -> None:
        # time this thread too, because connecting through a proxy means reading the answer of the
        # proxy
        _running.clock = clock
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    # use a daemon thread, because Python would wait for any other thread before it ends
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
        # the file keeps the socket open if the server closes the connection after its answer; the
        # answer could not be read from a closed socket
        self._file = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the bytes that a server has sent; wait for them in short steps."""
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
    """Replace the socket of http.client, so that each answer is read within its time limits."""

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        self._connection, self._clock = connection, clock

    def makefile(self, *_: object) -> io.BufferedReader:
        """Return the file from which http.client reads a web server's answer within time limits."""
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
        """Look up a server's address and connect, within a thread's time limits."""
        interruptible(super().connect, late=lambda _: self.close())


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _TimedResponse

    def connect(self) -> None:
        """Look up a server's address, connect and agree on TLS, within a thread's time limits."""
        interruptible(super().connect, late=lambda _: self.close())


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def connections(number: int) -> urllib3.PoolManager:
    """Return a pool of connections to web servers that read answers within time limits."""
    manager = urllib3.PoolManager(
        maxsize=number, retries=False, headers={"User-Agent": "gzfeatures"}
    )
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager
