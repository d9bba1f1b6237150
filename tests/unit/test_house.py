"""The house rules of CONTRIBUTING that a syntax tree can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from syntax_trees import nodes

import gzfeatures
from gzfeatures.errors import InputError

PACKAGE = Path(gzfeatures.__file__).parent
LONGEST = 50


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of the package, methods and inner ones too, with its place."""
    for path, below in nodes(PACKAGE):
        for node in below:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}", node


def dotted(node: ast.expr) -> str:
    """Text of a name with dots, such as `gz.Store.default`; of another expression its last part."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts += [node.id] if isinstance(node, ast.Name) else [""]
    return ".".join(reversed(parts))


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
    for path, below in nodes(PACKAGE):
        for node in below:
            raised = ast.unparse(node.exc) if isinstance(node, ast.Raise) and node.exc else ""
            ends = raised.startswith("SystemExit")
            called = dotted(node.func) if isinstance(node, ast.Call) else ""
            if ends or called in ("sys.exit", "os.umask"):
                found.append(path.relative_to(PACKAGE))
    assert {path.parts[0] for path in found} == {"cli"}


CHOOSE_A_STORE = ("networks/extraction/extract.py extract", "experiment/run.py run")
"""Besides the verbs: what a user calls, whose docstring says that the default is the user's own."""


def calls(root: Path) -> Iterator[tuple[str, str]]:
    """Place (file and outermost function) and text of every function that is called."""
    for path, (module, *_) in nodes(root):
        place = path.relative_to(root).as_posix()
        assert isinstance(module, ast.Module)
        for outer in module.body:
            name = f"{place} {outer.name}" if isinstance(outer, ast.FunctionDef) else place
            for node in ast.walk(outer):
                if isinstance(node, ast.Call):
                    yield name, dotted(node.func)


def choosing_a_store(root: Path) -> set[str]:
    """Places that take the user's own store without being told to."""
    return {place for place, function in calls(root) if function.endswith("Store.default")}


def test_only_verbs_and_what_a_user_calls_choose_the_users_own_store() -> None:
    places, verbs = choosing_a_store(PACKAGE), ("cli/", "verbs/")
    assert {place for place in places if not place.startswith(verbs)} == set(CHOOSE_A_STORE)
    assert any(place.startswith("cli/") for place in places)


def test_a_store_that_is_chosen_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "def f():\n    def g():\n        x = gz.Store.default().root\n"
    )
    assert choosing_a_store(tmp_path) == {"one.py f"}


def test_an_extraction_without_a_store_is_refused_before_an_image_is_read(tmp_path: Path) -> None:
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.networks.extraction.extract import compute_table
    from gzfeatures.networks.extraction.spec import Extraction

    (tmp_path / "1.jpg").write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"resnet18: extraction without a store.*Store\.default\(\)"
    ):
        compute_table(ImageSet.of(tmp_path), Extraction("resnet18", "none"))


STREAMS = ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
MAY_WRITE = ("cli/", "progress.py", "notebook.py")
"""The verbs, and the modules that they or a notebook hand down."""
DRAWING = ("rich", "tqdm")


def writing_to_streams(root: Path) -> set[str]:
    """Modules that print, name a standard stream, or import a library that draws on one."""
    places = set()
    for path, below in nodes(root):
        for node in below:
            prints = isinstance(node, ast.Call) and dotted(node.func) == "print"
            names = isinstance(node, ast.Attribute) and dotted(node) in STREAMS
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            draws = any(name.partition(".")[0] in DRAWING for name in imported)
            if prints or names or draws:
                places.add(path.relative_to(root).as_posix())
    return places


def test_only_verbs_and_what_they_hand_down_write_to_the_terminal() -> None:
    places = writing_to_streams(PACKAGE)
    assert "progress.py" in places  # else the rule sees nothing
    assert [place for place in places if not place.startswith(MAY_WRITE)] == []


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    print(1)",
        "import sys\nsys.stderr.write('x')",
        "def f():\n    from rich.console import Console",
        "import tqdm.auto as bar",
    ],
)
def test_a_module_that_writes_to_the_terminal_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.py").write_text(text)
    assert writing_to_streams(tmp_path) == {"one.py"}


def loud_defaults(root: Path) -> set[str]:
    """Functions and fields called progress whose default tells something to somebody."""
    places = set()
    for path, below in nodes(root):
        for node in below:
            defaults: list[ast.expr | None] = []
            if isinstance(node, ast.FunctionDef):
                plain = node.args.args[len(node.args.args) - len(node.args.defaults) :]
                named = [*zip(plain, node.args.defaults, strict=True)]
                named += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                defaults = [default for argument, default in named if argument.arg == "progress"]
            if isinstance(node, ast.AnnAssign) and dotted(node.target) == "progress":
                defaults = [node.value]
            loud = [
                text
                for text in defaults
                if text and ast.unparse(text) not in ("False", "SILENT", "None")
            ]
            if loud:
                places.add(f"{path.relative_to(root).as_posix()}:{node.lineno}")
    return places


def test_a_call_of_the_library_tells_nothing_unless_it_is_handed_a_progress() -> None:
    assert loud_defaults(PACKAGE) == set()


def test_a_loud_default_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "def f(a, progress=True): ...\ndef g(*, progress=Terminal()): ...\n"
        "class A:\n    progress: bool = True\n    other: bool = True\n"
        "def h(progress, *, x=True): ...\n"
    )
    assert loud_defaults(tmp_path) == {"one.py:1", "one.py:2", "one.py:4"}
