"""SECURITY.md promises nothing that no test holds: every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLUMNS = ["asset", "who could harm it, and how", "what stops them", "tested by"]
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def threats(page: str) -> list[list[str]]:
    """Rows of the table of threats."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[0] == COLUMNS and set("".join(cells[1])) <= set("-")
    return cells[2:]


def absent(page: str) -> list[str]:
    """Tests that a page names and nobody has written."""
    tests: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        tests[path.name] = tests.get(path.name, set()) | names
    return [
        f"{file}::{test}"
        for file, test in NAMED.findall(page)
        if test not in tests.get(file, set())
    ]


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_threat_has_an_asset_somebody_a_guard_and_a_test(page: str) -> None:
    rows = threats(page)
    assert len(rows) >= 20
    for row in rows:
        assert len(row) == len(COLUMNS) and all(row), row
        assert NAMED.search(row[-1]), row[0]
        # nothing but names of tests stands there
        assert re.sub(NAMED, "", row[-1]).strip(", ") == "", row[-1]


def test_every_test_that_the_page_names_exists(page: str) -> None:
    assert absent(page) == []


def test_a_test_that_was_renamed_or_never_written_is_found() -> None:
    known = "`test_security_page.py::test_every_test_that_the_page_names_exists`"
    assert absent(known) == []
    assert absent(known.replace("exists", "exist")) == [known.strip("`").replace("exists", "exist")]
    assert absent("`test_nothing.py::test_nothing`") == ["test_nothing.py::test_nothing"]
