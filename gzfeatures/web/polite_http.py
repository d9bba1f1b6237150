"""Send requests to web services, limiting their rate and the size and time of answers."""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3

from gzfeatures.errors import InputError
from gzfeatures.web import redirects, retries
from gzfeatures.web.clock import Clock, connections, interruptible, timed
from gzfeatures.web.outcomes import BadAnswer, NoAnswer, Unanswered

Answer = TypeVar("Answer")

SILENCE = 20
"""After so many requests in a row without an answer, no more are sent: the service is down."""

PART = 2**16
"""Number of bytes of an answer that are read and decompressed at a time."""

BEGINNING = 16
"""Number of bytes at the start of an answer by which its type, such as JPEG, is recognised."""

_at_work: weakref.WeakSet[Service] = weakref.WeakSet()
"""All services in this process, for `stop_all`."""


def stop_all() -> None:
    """Stop every thread of this process that waits for the answer of a web server."""
    for service in list(_at_work):
        service.stop()


@dataclasses.dataclass(frozen=True)
class WebAnswer:
    """Store the address, status, headers and body of a web server's answer.

    Parameters
    ----------
    url : str
        Address of the answer, after all redirects.
    status : int
        HTTP status: 200, or 206 for a part of a file.
    headers : mapping of str to str
        Headers; their names may be written in upper or lower case.
    body : bytes
        Decompressed content.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclasses.dataclass(eq=False)
class Service:
    """Send requests of many threads to one web service; all share a limit of requests per second.

    Parameters
    ----------
    workers : int
        Number of connections kept open.
    rate : float, optional
        Largest number of requests per second, of all threads together.
    retries : int
        Number of repeated requests after a failed one.
    backoff : float
        Seconds before the first repetition, doubled for each further repetition; each pause is
        shortened by a random amount of up to a half.
    timeout : float
        Longest time in seconds without a byte; a whole answer may take four times as long.
    max_bytes : int
        Longest answer that is read, in bytes.
    """

    workers: int = 8
    rate: float | None = None
    retries: int = 4
    backoff: float = 0.5
    timeout: float = 30.0
    max_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("retries", 0), ("backoff", 0), ("timeout", 1e-3)):
            if not getattr(self, name) >= least:
                raise InputError(name, rule=f"be at least {least}", found=getattr(self, name))
        if self.rate is not None and not self.rate > 0:
            raise InputError("rate", rule="be above 0 questions per second", found=self.rate)
        self._pool = connections(self.workers)
        self._lock = threading.Lock()
        self._next = self._silent = 0.0
        self._stopped = threading.Event()
        _at_work.add(self)

    def stop(self) -> None:
        """Wake every thread that waits for this web service, and make all later requests fail."""
        self._stopped.set()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the result of the function `question`; call it again while it raises BadAnswer.

        Raises
        ------
        NoAnswer
            `question` raised NoAnswer or failed every time, the service is down, or `stop` was
            called.
        """
        for attempt in range(self.retries + 1):
            if self._silent >= SILENCE:
                raise NoAnswer("service does not answer, no longer tried")
            self._wait_for_turn()
            try:
                answer = question()
            except BadAnswer as error:
                if attempt == self.retries:
                    if isinstance(error, Unanswered):
                        self._silent += 1
                    raise NoAnswer(f"{error} ({attempt + 1} tries)") from error
                if error.wait > retries.LONGEST_WAIT:
                    raise NoAnswer(f"{error}, server asks to wait {error.wait:.0f} s") from error
                self._postpone(error.wait)
                self._stopped.wait(retries.pause(self.backoff, attempt))
            else:
                self._silent = 0
                return answer
        raise NoAnswer("no try was made")

    def get(self, url: str) -> bytes:
        """Return the body of a web server's answer with status 200; follow redirects.

        Raises
        ------
        BadAnswer, NoAnswer
            As `answer` does.
        """
        return self.answer(url).body

    def answer(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: Callable[[WebAnswer], int] | None = None,
    ) -> WebAnswer:
        """Return a web server's complete answer: status 200, or 206 for a requested part of a file.

        Parameters
        ----------
        url : str
            Web address.
        headers : mapping of str to str, optional
            Further headers of the request.
        limit : callable, optional
            Answer with the first bytes of its body → largest allowed body for this content, in
            bytes; may raise NoAnswer. By default `max_bytes` for every content.

        Raises
        ------
        BadAnswer
            The server was busy or too slow, or the answer was cut off; a repetition may help.
        NoAnswer
            The request was refused or stopped, the answer was too long, or a public address
            redirects to a private one.
        """
        asked = url
        # follow redirects here and not in urllib3, which would not check each new address
        for _ in range(redirects.MOST_REDIRECTS + 1):
            try:
                with timed(self.timeout, 4 * self.timeout, self._stopped) as clock:
                    step = self._step(asked, headers or {}, limit, clock)
                    if isinstance(step, WebAnswer):
                        return step
                    # `followed` refuses a private address if the first address (`url`) is public.
                    # Do not ask about the previous address instead: its server may redirect, and
                    # meanwhile let its own name point to a private address. It would then count as
                    # private, and could lead on to any private address
                    public = redirects.is_public(urlsplit(url).hostname)
                    asked = redirects.followed(asked, step.location, public)
            except urllib3.exceptions.LocationValueError as error:
                raise NoAnswer(f"address cannot be used: {error}") from error
            # catch this error before TimeoutError: urllib3 derives it from TimeoutError, and the
            # next clause would report it as a timeout
            except urllib3.exceptions.NewConnectionError as error:
                raise Unanswered(f"connection failed: {_first_line(error)}") from error
            except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
                raise Unanswered(f"no answer within {self.timeout:g} s") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Unanswered(f"connection failed: {_first_line(error)}") from error
        raise NoAnswer(f"more than {redirects.MOST_REDIRECTS} redirects")

    def waits_for(self, work: Callable[[], Answer]) -> Answer:
        """Call a function of a library that asks the web itself; give up after this time limit.

        Raises
        ------
        Unanswered
            The call takes longer than allowed for a whole answer.
        NoAnswer
            `stop` was called.
        """
        with timed(self.timeout, 4 * self.timeout, self._stopped):
            return interruptible(work)

    def _step(
        self,
        url: str,
        headers: Mapping[str, str],
        limit: Callable[[WebAnswer], int] | None,
        clock: Clock,
    ) -> WebAnswer | _Redirect:
        """Request one web address; return the server's answer, or the address it redirects to."""
        response = self._pool.request(
            "GET",
            url,
            headers={"User-Agent": "gzfeatures", **headers},
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(self.timeout),
        )
        try:
            if response.status in redirects.REDIRECTS:
                return _Redirect(response.headers.get("Location"))
            retries.require_not_busy(response.status, response.headers)
            if response.status == 200 and "Range" in headers:
                raise NoAnswer("server does not send parts of files")
            if response.status != (206 if "Range" in headers else 200):
                raise NoAnswer(f"HTTP {response.status}")
            return self._read(
                response, WebAnswer(url, response.status, response.headers, b""), limit, clock
            )
        finally:
            # close the connection if the answer was not read to its end; if it was, urllib3 has
            # already freed the connection for other requests, and this does nothing
            response.close()

    def _read(
        self,
        response: urllib3.BaseHTTPResponse,
        answer: WebAnswer,
        limit: Callable[[WebAnswer], int] | None,
        clock: Clock,
    ) -> WebAnswer:
        """Read the body of a web server's answer, within limits of size and time."""
        body, longest = bytearray(), self.max_bytes
        length = response.headers.get("Content-Length", "")
        # ignore Content-Length for a compressed body, because it counts compressed bytes
        stated = (
            int(length)
            if length.isdecimal() and "Content-Encoding" not in response.headers
            else None
        )
        # check the length after each part: a small compressed answer can decompress to a huge one
        unjudged = limit
        while part := response.read1(PART, decode_content=True):
            body += part
            # call `limit` (content → largest allowed body) only when enough bytes have arrived to
            # recognise the content, such as an image: servers may send the first bytes one by one
            if unjudged is not None and len(body) >= BEGINNING:
                longest = unjudged(dataclasses.replace(answer, body=bytes(body)))
                unjudged = None
            if max(len(body), stated or 0) > longest:
                raise NoAnswer(f"answer is longer than {longest} bytes")
            clock.check()
        if unjudged is not None and body:
            unjudged(dataclasses.replace(answer, body=bytes(body)))
        if stated is not None and len(body) != stated:
            raise BadAnswer(f"answer was cut off after {len(body)} of {length} bytes")
        return dataclasses.replace(answer, body=bytes(body))

    def _wait_for_turn(self) -> None:
        """Wait until this thread may send a request: all threads share one limit of requests."""
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + (1 / self.rate if self.rate else 0)
        self._stopped.wait(max(0.0, turn - time.monotonic()))
        if self._stopped.is_set():
            raise NoAnswer("stopped")

    def _postpone(self, seconds: float) -> None:
        """Delay the next request of every thread to this web service by at least `seconds`."""
        # let all threads wait: a server's Retry-After header is meant for all requests of a client
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


@dataclasses.dataclass(frozen=True)
class _Redirect:
    """Store the address to which a web server redirects; it is None if the server names none."""

    location: str | None


def _first_line(error: Exception) -> str:
    """Return one line on what caused a connection error, without memory addresses of objects."""
    cause = error.__cause__ or error.__context__ or error
    return (str(cause) or type(cause).__name__).splitlines()[0]
