"""The house rules of CONTRIBUTING that a syntax tree can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gzfeatures

PACKAGE = Path(gzfeatures.__file__).parent
LONGEST = 50


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of the package, methods and inner ones too, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}", node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a body from its first statement to the end, docstring not counted."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_body_is_over_fifty_lines() -> None:
    lengths = {place: length(function) for place, function in functions()}
    assert len(lengths) > 1000  # else another folder was read
    assert {place: lines for place, lines in lengths.items() if lines > LONGEST} == {}


def test_the_length_of_a_body_counts_comments_and_leaves_out_the_docstring() -> None:
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n    # why\n\n    return x\n'
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    assert length(function) == 4


def test_only_the_command_line_ends_the_process_or_touches_its_umask() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            raised = ast.unparse(node.exc) if isinstance(node, ast.Raise) and node.exc else ""
            ends = raised.startswith("SystemExit")
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if ends or called in ("sys.exit", "os.umask"):
                found.append(path.relative_to(PACKAGE))
    assert {path.parts[0] for path in found} == {"cli"}
