"""FITS files with changed cards never end the process, hang it or fill its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile.fits_cards import BLOCK, damaged, images, tables
from rows import put_row

README = Path(__file__).with_name("README.md")
HEADING = "| reader | cases | tracebacks |"
MOST_BYTES, MOST_SECONDS = 200e6, 2.0
"""What all cases together may add to the process, and how long a hundredth of them may take."""


def test_changed_cards_and_bytes_end_in_one_line_and_cost_little(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    cases = request.config.getoption("--cases") or 360
    progress = tmp_path / "progress"
    script = str(Path(__file__).with_name("fits_cards.py"))
    command = [sys.executable, "-X", "faulthandler", script, str(cases), str(progress)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    where = progress.read_text() if progress.exists() else "before the first"
    assert child.returncode == 0, f"died or hung at case {where}: {child.stderr[-3000:]}"
    met = json.loads(child.stdout)
    assert met["cases"] == cases == met["read"] + met["refused"]
    assert met["refused"] > cases / 2 and met["read"]
    assert met["grown"] < MOST_BYTES, f"{met['grown'] / 1e6:.0f} MB for files of 20 kB at most"
    assert met["seconds"] < MOST_SECONDS
    if request.config.getoption("--cases"):
        put_row(README, HEADING, ("FITS, cards and bytes changed", cases, 0), keys=1)


@pytest.mark.parametrize("make", [images, tables])
def test_changed_files_stay_small_and_keep_their_blocks(make: object) -> None:
    rng = np.random.default_rng(0)
    for whole in make():  # type: ignore[operator]
        assert len(whole) < 30_000
        changed = [damaged(whole, rng) for _ in range(20)]
        assert all(len(data) % BLOCK == 0 for data in changed)
        assert sum(data != whole for data in changed) > 15
