"""Define the errors that requests to web servers raise."""

from __future__ import annotations


class BadAnswer(Exception):
    """Error: the answer of a web server is wrong; a repeated request may succeed."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Unanswered(BadAnswer):
    """Error: a web server did not answer (connection refused or interrupted, or too slow)."""


class NoAnswer(Exception):
    """Error: a request to a web server failed, and would fail again if it were repeated."""
