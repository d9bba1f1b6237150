"""What a library leaves to its caller: where vectors are kept, and what is written on stderr."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gzfeatures
from gzfeatures.errors import InputError
from gzfeatures.images.image_set import ImageSet
from gzfeatures.networks.extraction.extract import compute_table
from gzfeatures.networks.extraction.spec import Extraction

PACKAGE = Path(gzfeatures.__file__).parent
CHOOSE_A_STORE = ("networks/extraction/extract.py extract", "experiment/run.py run")
"""Besides the verbs: what a user calls, whose docstring says that the default is the user's own."""


def calls(root: Path) -> Iterator[tuple[str, str]]:
    """Place (file and outermost function) and text of every function that is called."""
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        for outer in ast.parse(path.read_text(encoding="utf-8")).body:
            name = f"{place} {outer.name}" if isinstance(outer, ast.FunctionDef) else place
            for node in ast.walk(outer):
                if isinstance(node, ast.Call):
                    yield name, ast.unparse(node.func)


def choosing_a_store(root: Path) -> set[str]:
    """Places that take the user's own store without being told to."""
    return {place for place, function in calls(root) if function.endswith("Store.default")}


def test_only_verbs_and_what_a_user_calls_choose_the_users_own_store() -> None:
    places = choosing_a_store(PACKAGE)
    assert {place for place in places if not place.startswith("cli/")} == set(CHOOSE_A_STORE)
    assert any(place.startswith("cli/") for place in places)


def test_a_store_that_is_chosen_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "def f():\n    def g():\n        x = gz.Store.default().root\n"
    )
    assert choosing_a_store(tmp_path) == {"one.py f"}


def test_an_extraction_without_a_store_is_refused_before_an_image_is_read(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"resnet18: extraction without a store.*Store\.default\(\)"):
        compute_table(ImageSet.of(tmp_path), Extraction("resnet18", "none"))
