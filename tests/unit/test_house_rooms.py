"""Rooms and names of the house: no folder too full, one name for one class, every room in
docs/house.md."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from syntax_trees import nodes

import gzfeatures

PACKAGE = Path(gzfeatures.__file__).parent
ROOT = PACKAGE.parent
MOST_MODULES = 13
NO_ROOM = {"__init__.py", "conftest.py"}


def modules_by_folder(root: Path) -> dict[str, list[str]]:
    """Folder below `root` → its modules, without `__init__` and conftest."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        if path.name not in NO_ROOM:
            folders[str(path.parent.relative_to(root))].append(path.name)
    return folders


def too_full(root: Path) -> dict[str, int]:
    """Folders with more modules than a person takes in at a glance, and how many they have."""
    folders = modules_by_folder(root)
    return {name: len(files) for name, files in folders.items() if len(files) > MOST_MODULES}


def test_no_folder_of_the_package_or_of_the_tests_has_more_than_thirteen_modules() -> None:
    assert len(modules_by_folder(PACKAGE)) > 25  # else another folder was read
    assert too_full(PACKAGE) == {}
    assert too_full(ROOT / "tests") == {}


def test_a_folder_with_fourteen_modules_is_too_full_and_conftest_does_not_count(
    tmp_path: Path,
) -> None:
    for name in (*NO_ROOM, *(f"m{number}.py" for number in range(13))):
        (tmp_path / name).touch()
    assert too_full(tmp_path) == {}
    (tmp_path / "m13.py").touch()
    assert too_full(tmp_path) == {".": 14}


def classes(root: Path) -> dict[str, list[str]]:
    """Name of a class → the places that define it, inner classes too."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, below in nodes(root):
        for node in below:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(root)}:{node.lineno}")
    return places


def twice(root: Path) -> dict[str, list[str]]:
    """Classes that share a name, private ones too: a reader who searches for it finds both."""
    return {name: places for name, places in classes(root).items() if len(places) > 1}


def repeated(folders: dict[str, list[str]]) -> list[str]:
    """Names that test modules of two folders share; pytest cannot collect both."""
    names = [name for folder in folders.values() for name in folder if name.startswith("test_")]
    return sorted({name for name in names if names.count(name) > 1})


def test_no_two_test_modules_have_one_name(tmp_path: Path) -> None:
    assert repeated(modules_by_folder(ROOT / "tests")) == []
    for folder in ("hostile", "unit"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_table.py").touch()
    assert repeated(modules_by_folder(tmp_path)) == ["test_table.py"]


def test_no_two_classes_of_the_package_have_one_name() -> None:
    assert len(classes(PACKAGE)) > 150  # else another folder was read
    assert twice(PACKAGE) == {}


def test_two_classes_of_one_name_are_seen_in_two_modules_and_inside_another_class(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.py").write_text("class Shelf: ...\nclass Other: ...\n")
    (tmp_path / "two.py").write_text("class Outer:\n    class Shelf: ...\n")
    assert twice(tmp_path) == {"Shelf": ["one.py:1", "two.py:2"]}


def rooms() -> Iterator[tuple[str, set[str]]]:
    """Folder and the names in backquotes of each row of the table of rooms in docs/house.md."""
    text = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    table = text.partition("| room |")[2].partition("\n## ")[0]
    for line in table.splitlines():
        cells = line.split("|")
        if len(cells) == 4 and "`" in cells[1]:
            (room,) = re.findall(r"`([\w/]+)`", cells[1])
            yield room, set(re.findall(r"`([\w/]+)`", cells[2]))


def in_the_house() -> dict[str, set[str]]:
    """Folder of the package → its modules by their names, without those behind an underscore."""
    folders = modules_by_folder(PACKAGE)
    public = {
        folder: {name.removesuffix(".py") for name in names if not name.startswith("_")}
        for folder, names in folders.items()
    }
    return {folder: names for folder, names in public.items() if names}


def test_the_page_of_the_house_names_every_folder_and_module_and_no_other() -> None:
    shown = dict(rooms())
    ground = shown.pop("gzfeatures")
    there = in_the_house()
    assert ground == there.pop(".")
    assert shown.keys() == there.keys()
    # a row may also name the folders inside its room: `csv/`, `templates/`
    files = {
        room: {name for name in names if not name.endswith("/")} for room, names in shown.items()
    }
    assert files == there
    inner = {f"{room}/{name}" for room, names in shown.items() for name in names - files[room]}
    assert {name for name in inner if not (PACKAGE / name).is_dir()} == set()


def glossary() -> list[str]:
    """Words of docs/glossary.md in the order of its table."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    return cells[2:]


def test_the_glossary_has_each_word_once_in_the_order_of_the_alphabet() -> None:
    words = glossary()
    assert len(words) > 30
    assert words == sorted(set(words), key=lambda word: word.replace("-", " "))


def test_the_glossary_is_linked_where_a_newcomer_begins() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        assert "](docs/glossary.md)" in (ROOT / name).read_text(encoding="utf-8"), name


FEWEST_COMMENTS = 15
"""Per 1,000 lines of the package, docstrings and blank lines counted as lines."""
FOR_TOOLS = re.compile(r"#\s*(noqa|type:|fmt:|pragma)")


def comments_of(text: str) -> int:
    """Comments for a reader, at the end of a line too; what is meant for a tool is none."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return sum(not FOR_TOOLS.match(comment) for comment in comments)


def test_the_package_says_why_at_every_step_that_is_hard() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    lines = sum(len(text.splitlines()) for text in texts)
    assert 1000 * sum(map(comments_of, texts)) / lines >= FEWEST_COMMENTS


def test_words_for_a_tool_and_a_sign_inside_a_text_are_no_comment() -> None:
    assert comments_of("# why\nx = 1  # because\n") == 2
    assert comments_of('x = "# not one"  # noqa: E501\ny = 2  # type: ignore[misc]\n') == 0
