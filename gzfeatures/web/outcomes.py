"""Define the errors that requests to web servers raise."""

from __future__ import annotations


class BadAnswer(Exception):
    """Report a wrong answer of a web server, after which a repeated request may succeed."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Unanswered(BadAnswer):
    """Report that a web server did not answer: connection refused or interrupted, or too slow."""


class NoAnswer(Exception):
    """Report that a request to a web server failed, and would fail again if repeated."""
