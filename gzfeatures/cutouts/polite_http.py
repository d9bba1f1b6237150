"""Ask web services politely: limit the rate, wait as asked, and refuse private redirects."""

from __future__ import annotations

import dataclasses
import email.utils
import ipaddress
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3

from gzfeatures.errors import InputError

Answer = TypeVar("Answer")

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes after which the same request is repeated."""

REDIRECTS = (301, 302, 303, 307, 308)
LONGEST_WAIT = 300.0
"""Longest wait in seconds that a server may ask for; after a longer one, the request fails."""

SILENCE = 20
"""Number of requests in a row without an answer, after which the service counts as down."""


class BadAnswer(Exception):
    """Raised for an answer that another try may improve."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Unanswered(BadAnswer):
    """Raised if no answer came: the connection was refused, interrupted, or too slow."""


class NoAnswer(Exception):
    """Raised for a failure that another try will not repair."""


@dataclasses.dataclass(eq=False)
class Service:
    """Send requests of many threads to one web service, within a common rate.

    Parameters
    ----------
    workers : int
        Connections kept open.
    rate : float, optional
        Questions per second, all threads together.
    retries : int
        Further tries after a failed one.
    backoff : float
        Seconds before the second try; doubled for each further one, less a random part of up to a
        half.
    timeout : float
        Seconds without a byte after which a try fails; a whole answer may take four times as long.
    max_bytes : int
        Longest answer that is read.
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
        self._pool = urllib3.PoolManager(
            maxsize=self.workers, retries=False, headers={"User-Agent": "gzfeatures"}
        )
        self._lock = threading.Lock()
        self._next = self._silent = 0.0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Wake every waiting thread; all later requests fail."""
        self._stopped.set()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the result of `question`; try again while it raises BadAnswer.

        Raises
        ------
        NoAnswer
            It raised NoAnswer, every try failed, the service is down, or the work was stopped.
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
                # a random part of the pause spreads the requests of many threads; no result depends
                # on it
                pause = self.backoff * 2**attempt * random.uniform(0.5, 1)
                if error.wait > LONGEST_WAIT:
                    raise NoAnswer(f"{error}, server asks to wait {error.wait:.0f} s") from error
                self._postpone(error.wait)
                self._stopped.wait(pause)
            else:
                self._silent = 0
                return answer
        raise NoAnswer("no try was made")

    def get(self, url: str) -> bytes:
        """Return the body of an answer with status 200, following redirects.

        Raises
        ------
        BadAnswer
            Another try may help: busy, timed out, cut off.
        NoAnswer
            It will not: refused, too long, or a redirect to an address of an inner network from a
            public one.
        """
        # follow redirects one by one, because each target is checked before the request
        public = is_public(urlsplit(url).hostname)
        for _ in range(6):
            try:
                response = self._pool.request(
                    "GET",
                    url,
                    redirect=False,
                    preload_content=False,
                    timeout=urllib3.Timeout(self.timeout),
                )
                try:
                    if response.status not in REDIRECTS:
                        return self._body(response)
                    url = followed(url, response.headers.get("Location"), public)
                finally:
                    # a connection whose answer was read completely is already back in the pool
                    response.close()
            except urllib3.exceptions.LocationValueError as error:
                raise NoAnswer(f"address cannot be used: {error}") from error
            # caught before timeouts, because urllib3 treats a refused connection as a timeout
            except urllib3.exceptions.NewConnectionError as error:
                raise Unanswered(f"connection failed: {_first_line(error)}") from error
            except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
                raise Unanswered(f"no answer within {self.timeout:g} s") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Unanswered(f"connection failed: {_first_line(error)}") from error
        raise NoAnswer("more than 5 redirects")

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """Return the whole body of an answer, within limits of length and time."""
        if response.status in BUSY:
            raise BadAnswer(
                f"HTTP {response.status}", _retry_after(response.headers.get("Retry-After"))
            )
        if response.status != 200:
            raise NoAnswer(f"HTTP {response.status}")
        body, deadline = bytearray(), time.monotonic() + 4 * self.timeout
        # a server that sends single bytes slowly never exceeds the read timeout, so set a deadline
        while part := response.read1(2**16, decode_content=True):
            body += part
            if len(body) > self.max_bytes:
                raise NoAnswer(f"answer is longer than {self.max_bytes} bytes")
            if time.monotonic() > deadline:
                raise Unanswered(f"answer not complete within {4 * self.timeout:g} s")
        # Content-Length counts compressed bytes, so it tells nothing about a decompressed body
        length = response.headers.get("Content-Length", "")
        if (
            length.isdecimal()
            and "Content-Encoding" not in response.headers
            and len(body) != int(length)
        ):
            raise BadAnswer(f"answer was cut off after {len(body)} of {length} bytes")
        return bytes(body)

    def _wait_for_turn(self) -> None:
        """Wait until this thread may send a request, so that all threads together keep the rate."""
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + (1 / self.rate if self.rate else 0)
        self._stopped.wait(max(0.0, turn - time.monotonic()))
        if self._stopped.is_set():
            raise NoAnswer("stopped")

    def _postpone(self, seconds: float) -> None:
        """Let no thread send a request for some seconds."""
        # a Retry-After header concerns all requests of a client, not only the request it answers
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def is_public(host: str | None) -> bool:
    """Return whether all addresses of a host are public; False for an unknown host."""
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return all(
        ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found
    )


def followed(url: str, location: str | None, public: bool) -> str:
    """Return the address that a redirect from `url` points to, if it is allowed.

    Raises
    ------
    NoAnswer
        It is no web address, falls from https to http, or is private although the page is public.

    Examples
    --------
    >>> followed("http://127.0.0.1/a/b", "../c", public=False)
    'http://127.0.0.1/c'
    """
    target = urljoin(url, location or "")
    before, after = urlsplit(url), urlsplit(target)
    if location is None or after.scheme not in ("http", "https") or not after.hostname:
        raise NoAnswer(f"redirected to an address that cannot be used: {location!r}")
    if before.scheme == "https" and after.scheme == "http":
        raise NoAnswer(f"redirected from https to http: {after.hostname}")
    if public and not is_public(after.hostname):
        raise NoAnswer(f"redirected to a private address: {after.hostname}")
    return target


def _retry_after(text: str | None) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 if it is neither."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _first_line(error: Exception) -> str:
    """Return the cause of a connection error in one line, without object addresses."""
    cause = error.__cause__ or error.__context__ or error
    return (str(cause) or type(cause).__name__).splitlines()[0]
