"""The table of a stranger's files counts every harm, and the kinds tried here do none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile.kinds import KINDS, Source
from hostile.readers import READERS
from hostile.table import README, measured
from hostile.test_malicious import MALICIOUS

from gzfeatures.errors import InputError

FEW = ("CSV", "experiment files", "FITS tables", "stores", "remote answers")
"""Kinds that take a second; `table.py` tries all."""


def refused(path: Path) -> None:
    raise InputError("file is damaged", where=path)


def crash(path: Path) -> None:
    os._exit(11)


def hang(path: Path) -> None:
    time.sleep(30)


def code(path: Path) -> None:
    Path("sprung").touch()


def program(path: Path) -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def error(path: Path) -> None:
    raise KeyError(path)


@pytest.mark.parametrize(
    ("read", "harm"),
    [
        (refused, (3, 0, 0, 0)),
        (crash, (0, 3, 0, 0)),
        (hang, (0, 0, 3, 0)),
        (code, (0, 0, 0, 3)),
        (program, (0, 0, 0, 3)),
        (error, (0, 3, 0, 0)),
    ],
)
def test_every_harm_is_counted_and_the_next_case_goes_on(
    read: object, harm: tuple[int, ...]
) -> None:
    source = Source("x", lambda rng: rng.bytes(8), read)  # type: ignore[arg-type]
    tally = measured("harmless", lambda: [source], 3, hangs=0.5)
    assert (tally.refused, tally.crashes, tally.hangs, tally.code_run) == harm
    assert tally.tried == 3


def test_every_reader_and_every_malicious_file_belongs_to_a_kind() -> None:
    import re

    patterns = [pattern for _, pattern in KINDS.values()]
    assert [name for name in MALICIOUS if not any(re.search(p, name) for p in patterns)] == []
    source = Path(__file__).with_name("kinds.py").read_text()
    assert [name for name in READERS if f'"{name}"' not in source] == []


@pytest.mark.parametrize("kind", FEW)
def test_files_of_a_stranger_do_no_harm(kind: str) -> None:
    make, pattern = KINDS[kind]
    tally = measured(kind, make, 8, pattern)
    assert (tally.crashes, tally.hangs, tally.code_run) == (0, 0, 0)
    assert tally.refused > tally.tried / 4


def test_the_table_names_every_kind_and_no_harm() -> None:
    text = README.read_text(encoding="utf-8").partition("<!-- end of kinds -->")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in rows}
    for kind in KINDS:
        tried, refused, clock, _, *harm = (cell.strip() for cell in cells[kind])
        assert int(tried.replace(",", "")) >= int(refused.replace(",", "")) > 0
        assert harm == ["0", "0", "0"] and float(clock) < 2.0
