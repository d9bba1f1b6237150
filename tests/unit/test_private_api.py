"""What a library keeps private is named in the modules `_compat_LIBRARY.py` alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gzfeatures

ROOT = Path(gzfeatures.__file__).parent
UNSTABLE = ("torch.fx.experimental", "umap.umap_", "mlflow.store", "mlflow.system_metrics")
"""Modules that bear a public name and make no promise."""
OWN = {"gzfeatures", *sys.stdlib_module_names}
"""Packages that are no dependencies."""
ALLOWED = {"_fields", "_replace"}
"""Documented names that begin with an underscore, of named tuples."""


def private(code: str) -> Iterator[str]:
    """Names of libraries in a module's code that are private or unstable."""
    tree = ast.parse(code)
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] not in OWN
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                if name.partition(".")[0] not in OWN and (
                    name.startswith(UNSTABLE)
                    or any(part.startswith("_") for part in name.split("."))
                ):
                    yield name
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith(UNSTABLE) or "._" in a.name)
        elif (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
        ):
            whole = ast.unparse(node)
            # of a library's module, or of an object that a library made and this package keeps in a
            # field
            if node.attr not in ALLOWED and (
                whole.split(".")[0] in imported or whole.count(".") > 1
            ):
                yield whole
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "\n" not in node.value
        ):
            words = node.value.split(".")
            if node.value.startswith(UNSTABLE) or (
                words[0] in {"sklearn", "torch", "mlflow"} and "._" in node.value
            ):
                yield node.value


@pytest.mark.parametrize(
    "code",
    [
        "from torch.fx.experimental.optimization import fuse",
        "import torch\ntorch._inductor.aot_compile(1)",
        "from mlflow.store.db.utils import upgrade",
        "from umap.umap_ import find_ab_params",
        "class A:\n    def f(self):\n        self.form._request()",
        "TYPES = ['sklearn.svm._classes.SVC']",
    ],
)
def test_a_private_name_is_noticed(code: str) -> None:
    assert list(private(code))


def test_private_names_of_libraries_are_in_compat_modules_alone() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in ROOT.rglob("*.py")
        if not path.name.startswith("_compat_")
        for name in private(path.read_text())
    }
    assert found == set()
