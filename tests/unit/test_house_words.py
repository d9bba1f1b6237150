"""Words that earlier versions used for something else than they say name nothing in the package any
more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from syntax_trees import nodes

import gzfeatures

PACKAGE = Path(gzfeatures.__file__).parent

RETIRED = {
    "pairing": "candidate",
    "pairings": "candidates",
    "cohort": "labelled sample",
    "gather": "load_sample",
    "roads": "approaches",
    "tabulate": "extract_table",
    "illustrations": "figures",
    "shelf": "galaxy files, vector cache",
    "shelves": "galaxy files, caches",
    "parcels": "bundle",
    "packed": "bundle",
    "quiet": "without_warnings",
    "contents": "decode",
    "colours": "decode_rgb",
    "sight": "network input",
    "look": "views",
    "pass": "forward plan",
    "lesson": "training targets",
    "lessons": "training targets",
    "start": "initialisation",
    "way": "threading",
    "lanes": "workers",
    "judge": "explained model, require_…",
    "reasons": "attributions, exclusions",
    "speaks": "attribution",
    "light": "profile",
    "exposure": "observation",
    "shapes": "galaxy",
    "opinions": "vote probabilities",
    "opinion": "guess",
    "sums": "totals",
    "metric_columns": "sufficient statistics",
    "along": "accuracy_along, axis",
    "space": "feature space, search space",
    "directed": "unit rows",
    "promise": "calibrate_sets",
    "next_looks": "query_next",
    "oddity": "anomalies",
    "twin": "duplicate",
    "showcase": "gallery",
    "tile": "picture",
    "exhibit": "example",
    "exhibits": "examples",
    "hung": "examples",
    "document": "html page",
    "mapfile": "map",
    "mapview": "html",
    "mapdata": "columns",
    "mapfigures": "figures",
    "hand": "pointer",
    "marks": "points, recognised_by",
    "card": "details",
    "room": "allocate",
    "take": "take_rows",
    "hold": "lock_folder",
    "inside": "join_inside",
    "existing": "require_file",
    "dagger": "contaminated",
    "unmarked": "without_seen",
    "frames": "training pixels",
    "galaxy_models": "brightness",
}
"""Retired word → what the thing is called now. Neither case nor a leading underscore makes it
another word."""

KEPT = {
    # ordinary English that is poor only as the name of a local, which this test does not look at
    "said": "ordinary English",
    "found": "the value found, a keyword of every error",
    "shown": "ordinary English",
    "known": "ordinary English",
    "own": "ordinary English",
    "mine": "ordinary English",
    "there": "ordinary English",
    # words that users write: they change with a format's number or a flag, not with a rename
    "road": "key of --json and of reports; the code says approach",
    "also": "key of the TOML and flag of finetune",
    "passes": "key of the TOML's training recipe",
    "reading": "key of the TOML and of class schemes",
    "slices": "key of scores in --json",
    "reached": "key of intervals and ceilings in --json",
    "doubt": "verb",
    "odd": "verb, and the question of Galaxy Zoo 2",
    "dreams": "flag of explain",
    "seen": "trained on, as the glossary says",
    # words of the field that stand in the right column too
    "maps": "the folder of maps",
    "population": "the module that draws a population of galaxies",
    "sky": "the sky of an image",
    "volunteers": "those who voted on a galaxy",
    "pictures": "images as a person sees them",
    "frame": "a table of pandas, or a frame of the call stack; as an image it is a whole picture",
    "state": "state of a training, as PyTorch says",
}
"""Retired word that may still name something, and why."""

PUBLIC = {
    "explore/feature_space.py FeatureSpace.kept": "key of map files",
    "galaxies/splits/split.py Split.draw.kept": "public keyword",
    "figures/gallery.py Gallery.note": "public keyword",
}
"""Places that keep a retired word because a file or a caller says it."""
RETIRED |= {"kept": "coverage report, supported, stored", "note": "sidecar, content"}


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    given = function.args
    listed = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    yield from (argument.arg for argument in listed if argument is not None)


def _below(node: ast.AST, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Dotted paths of classes, functions, parameters and fields below a node."""
    for child in ast.iter_child_nodes(node):
        inner = path
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (*path, child.name)
            yield inner
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from ((*inner, name) for name in _parameters(child))
        # a field of a dataclass or of a pydantic model is an annotated name in the class's body
        field = child.target if isinstance(child, ast.AnnAssign) else None
        if isinstance(node, ast.ClassDef) and isinstance(field, ast.Name):
            yield (*path, field.id)
        yield from _below(child, inner)


@cache
def named(root: Path) -> tuple[tuple[str, str], ...]:
    """Place and last word of everything below a folder that bears a name, locals aside."""
    names = []
    for path, (module, *_) in nodes(root):
        place = path.relative_to(root).as_posix()
        words = [*path.relative_to(root).parent.parts, path.stem]
        names += [(place, word) for word in words]
        names += [(f"{place} {'.'.join(inner)}", inner[-1]) for inner in _below(module, ())]
    return tuple(names)


def retired_names(root: Path) -> list[str]:
    """Places whose name is a retired word."""
    return sorted({place for place, word in named(root) if word.strip("_").lower() in RETIRED})


def test_no_module_class_function_parameter_or_field_bears_a_retired_word() -> None:
    assert len(named(PACKAGE)) > 5000  # else another folder was read
    assert [place for place in retired_names(PACKAGE) if place not in PUBLIC] == []


PHRASES = {
    "accuracy_along": "accuracy along a quantity",
    "along_curve": "along a curve",
    "all_hold": "all conditions hold",
    "epoch_start": "hook of Lightning",
    "feature_space": "the field's term",
    "join_inside": "joins a path inside a folder",
    "kept_beside": "a split that is kept beside its labels",
    "kept_out": "galaxies kept out of the training",
    "kept_row": "the epoch that is kept",
    "metric_sums": "sums that a metric is computed from",
    "model_card": "the field's term",
    "run_contents": "what a run of MLflow contains",
    "search_space": "the field's term",
    "take_rows": "takes rows of a matrix",
    "tile_shape": "the FITS standard's term",
    "train_start": "hook of Lightning",
}
"""Phrases with a retired word that say what they mean, and why."""


def parts_of(word: str) -> list[str]:
    """Words of a compound name, in small letters: `FeatureSpace` and `_feature_space` are equal."""
    pieces = [re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", part) for part in word.split("_")]
    return [piece.lower() for part in pieces for piece in part]


def retired_parts(root: Path) -> list[str]:
    """Places whose compound name hides a retired word, outside of the phrases that are kept."""
    places = set()
    for place, word in named(root):
        parts = parts_of(word)
        text = f"_{'_'.join(parts)}_"
        for phrase in PHRASES:
            text = text.replace(f"_{phrase}_", "_")
        if len(parts) > 1 and RETIRED.keys() & set(text.strip("_").split("_")):
            places.add(place)
    return sorted(places)


def test_no_compound_name_hides_a_retired_word() -> None:
    assert retired_parts(PACKAGE) == []


def test_every_phrase_is_still_needed() -> None:
    words = {"_".join(parts_of(word)) for _, word in named(PACKAGE)}
    unused = [phrase for phrase in PHRASES if not any(phrase in word for word in words)]
    assert unused == []


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("def explain_pairing(): ...", ["one.py explain_pairing"]),
        ("class OldShelf: ...", ["one.py OldShelf"]),
        ("def f(sight_of): ...", ["one.py f.sight_of"]),
        ("def feature_space(): ...\nclass FeatureSpace: ...", []),
        ("def feature_space_and_space(): ...", ["one.py feature_space_and_space"]),
        ("def insight(): ...", []),
    ],
)
def test_a_retired_word_is_seen_inside_a_compound_name(
    tmp_path: Path, text: str, places: list[str]
) -> None:
    (tmp_path / "one.py").write_text(text)
    assert retired_parts(tmp_path) == places


def test_every_exception_is_still_needed() -> None:
    assert PUBLIC.keys() <= set(retired_names(PACKAGE))
    assert not KEPT.keys() & RETIRED.keys()


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("shelves.py", "", "shelves.py"),
        ("lessons/one.py", "", "lessons/one.py"),
        ("one.py", "class Cohort: ...", "one.py Cohort"),
        ("one.py", "def outer():\n    def _packed(): ...", "one.py outer._packed"),
        ("one.py", "def f(*, sight): ...", "one.py f.sight"),
        ("one.py", "f = lambda tile: tile", "one.py tile"),
        ("one.py", "class A:\n    space: int", "one.py A.space"),
    ],
)
def test_a_retired_word_is_seen_wherever_it_names_something(
    tmp_path: Path, file: str, text: str, place: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert retired_names(tmp_path) == [place]


def test_a_local_may_bear_any_word(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def f():\n    sight: int = 1\n    return sight\n")
    assert retired_names(tmp_path) == []


def _documented(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names that the section Parameters of a numpydoc docstring lists."""
    text = ast.get_docstring(node) or ""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n[A-Z]\w+\n-+\n|\Z)", text, re.S | re.M)
    if section is None:
        return []
    # a list of names over several lines is one entry; what is indented describes it
    entries = re.sub(r",\n(?=\w)", ", ", section[1]).splitlines()
    lists = [entry.split(" : ")[0] for entry in entries if re.match(r"[\w*]", entry)]
    return [name.strip(" *") for names in lists for name in names.split(",")]


def _accepted(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Parameters of a function, or of a class: its fields and the parameters of its __init__."""
    if not isinstance(node, ast.ClassDef):
        return set(_parameters(node))
    fields = {each.target for each in node.body if isinstance(each, ast.AnnAssign)}
    names = {field.id for field in fields if isinstance(field, ast.Name)}
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            names |= set(_parameters(each))
    return names


def misnamed_parameters(root: Path) -> dict[str, list[str]]:
    """Place → parameters that its docstring lists and that it does not have."""
    wrong: dict[str, list[str]] = {}
    for path, below in nodes(root):
        for node in below:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                accepted = _accepted(node)
                names = [name for name in _documented(node) if name not in accepted]
                if names:
                    wrong[f"{path.relative_to(root)} {node.name}"] = names
    return wrong


def test_docstrings_list_parameters_by_the_names_they_have() -> None:
    assert misnamed_parameters(PACKAGE) == {}


def test_a_parameter_that_was_renamed_and_not_in_its_docstring_is_seen(tmp_path: Path) -> None:
    text = 'def f(new):\n    """Do it.\n\n    Parameters\n    ----------\n    old : int\n    """\n'
    (tmp_path / "one.py").write_text(text)
    assert misnamed_parameters(tmp_path) == {"one.py f": ["old"]}
