"""Define the errors of requests to web servers."""

from __future__ import annotations


class BadAnswer(Exception):
    """Raised for an answer that another try may improve."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Unanswered(BadAnswer):
    """Raised if no answer came: the connection was refused, interrupted, or too slow."""


class NoAnswer(Exception):
    """Raised for a failure that another try will not repair."""
