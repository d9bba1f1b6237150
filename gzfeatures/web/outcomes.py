"""Define the errors that requests to web servers raise."""

from __future__ import annotations


class BadAnswer(Exception):
    """Raised for a wrong answer of a web server if a repeated request may succeed."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Unanswered(BadAnswer):
    """Raised if a web server did not answer: connection refused or interrupted, or too slow."""


class NoAnswer(Exception):
    """Raised if a request to a web server failed and a repeated request would fail too."""
