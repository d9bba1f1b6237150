"""Fixtures shared by tests of whole verbs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from processes import Forks

LIBRARIES = ("torch", "torchvision", "lightning.pytorch", "scipy.stats", "pandas")
READERS = ("astropy.io.fits", "PIL.Image")


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Processes that have the libraries, and nothing of the package."""
    made = Forks(*LIBRARIES, *READERS)
    try:
        yield made
    finally:
        made.close()
