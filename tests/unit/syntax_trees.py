"""Syntax trees of the package, parsed once for all tests that read the code."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def nodes(root: Path) -> tuple[tuple[Path, tuple[ast.AST, ...]], ...]:
    """Each module below a folder with all nodes of its tree, the module's own first.

    A folder is read once: write its files before.
    """
    paths = sorted(root.rglob("*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    return tuple((path, tuple(ast.walk(tree))) for path, tree in zip(paths, trees, strict=True))
