"""Decide after which answers of a web server (such as HTTP 429) a request is repeated, and when."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Mapping

from gzfeatures.web.outcomes import BadAnswer

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes after which the same request is repeated."""

LONGEST_WAIT = 300.0
"""Longest wait in seconds that a server may ask for; after a longer one, the request fails."""


def require_not_busy(status: int, headers: Mapping[str, str]) -> None:
    """Raise BadAnswer if the server answers that it is busy; the error states how long to wait.

    Parameters
    ----------
    status : int
        HTTP status code of the answer.
    headers : mapping of str to str
        Headers of the answer, of which `Retry-After` is read.

    Raises
    ------
    BadAnswer
        The status is one of `BUSY`.

    Examples
    --------
    >>> require_not_busy(429, {"Retry-After": "7"})
    Traceback (most recent call last):
    gzfeatures.web.outcomes.BadAnswer: HTTP 429
    """
    if status in BUSY:
        raise BadAnswer(f"HTTP {status}", _retry_after(headers.get("Retry-After")))


def pause(backoff: float, attempt: int) -> float:
    """Return the seconds to wait before a request is repeated: doubled with each failed attempt.

    Parameters
    ----------
    backoff : float
        Seconds before the first repetition.
    attempt : int
        Number of the failed attempt, from 0.
    """
    # make the pause random, so that many threads do not repeat their requests at the same time; no
    # result depends on this random number, so it needs no seed
    return backoff * 2.0**attempt * random.uniform(0.5, 1)


def _retry_after(text: str | None) -> float:
    """Return the seconds to wait that a Retry-After header states (number or date), otherwise 0."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
