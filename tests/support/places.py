"""Where the tests stand, and the checkout they test."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
EXPERIMENTS = ROOT / "experiments"
SHARED = ROOT.parent / "shared"
"""Material beside the checkout, which is there on some machines only."""
