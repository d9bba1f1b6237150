"""Every verb of the command line is a Python function with the same words."""

from __future__ import annotations

import inspect
import operator
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of as table_with

import gzfeatures as gz
from gzfeatures.cli import CHAPTERS, VERBS
from gzfeatures.errors import InputError
from gzfeatures.verbs.inputs import catalog_of, images_of, labels_of, table_of

PUBLIC = sorted(
    name for name in gz.__all__ if name not in ("BACKBONES", "HEADS", "SCHEMES", "plot")
)
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(gz, name))]


def verbs() -> dict[str, Callable[..., Any]]:
    """Name of each verb on the command line, and the function behind it."""
    import importlib

    from gzfeatures.cli.console import app

    for module in VERBS:
        importlib.import_module(f"gzfeatures.cli.verbs.{module}")
    callbacks = [command.callback for command in app.registered_commands if command.callback]
    return {callback.__name__.rstrip("_"): callback for callback in callbacks}


def test_each_verb_is_listed_with_the_module_that_defines_it() -> None:
    """A command imports the module of its verb alone, and would not find a verb of another."""
    from gzfeatures.cli.console import app

    verbs()
    defined: dict[str, set[str]] = {module: set() for module in VERBS}
    groups = [
        (each.name, each.typer_instance.registered_commands) for each in app.registered_groups
    ]
    commands = [(each.name, [each]) for each in app.registered_commands]
    for name, members in commands + groups:
        callback = members[0].callback
        assert callback is not None
        module = callback.__module__.rpartition(".")[2]
        defined[module].add(name or callback.__name__.rstrip("_"))
    assert defined == {module: set(names) for module, names in VERBS.items()}
    assert set.union(*defined.values()) == {verb for each in CHAPTERS.values() for verb in each}


def test_the_help_of_all_says_of_each_verb_what_the_verb_says() -> None:
    """The help of all verbs has its lines as data, so that it need not build any verb."""
    from typer.main import get_command

    from gzfeatures.cli.console import app

    verbs()
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    said = {name: line for verbs in CHAPTERS.values() for name, line in verbs.items()}
    assert said == {name: each.get_short_help_str(limit=200) for name, each in commands.items()}


STARTS = """
import sys
from gzfeatures.cli import main
sys.argv = ["gzfeatures", *sys.argv[1:]]
try:
    main()
finally:
    built = {name for name in sys.modules if name.startswith("gzfeatures.cli.verbs.")}
    print(*sorted(name.rpartition(".")[2] for name in built), file=sys.stderr)
"""
"""Run a command, and print the modules of verbs that were imported for it."""


@pytest.mark.parametrize(
    ("words", "code", "built"),
    [
        (["--help"], 0, set()),
        (["--version"], 0, set()),
        (["cite", "--help"], 0, {"paper"}),
        (["--", "cite", "--help"], 0, {"paper"}),
        # a name that no verb has is compared with those of all
        (["citation"], 2, set(VERBS)),
    ],
)
def test_a_command_builds_its_own_verb_alone(words: list[str], code: int, built: set[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STARTS, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    assert set(ended.stderr.split("\n")[-2].split()) == built


COMMAND_LINE_ONLY = {"plan"}
"""Verbs about batch systems, whose jobs are command lines."""


def test_every_verb_is_a_public_function() -> None:
    assert len(verbs()) > 20
    absent = {name for name in verbs() if not inspect.isfunction(getattr(gz, name, None))}
    assert absent == COMMAND_LINE_ONLY


OTHERWISE = {
    # files that the command writes: in Python the returned value has a method write
    *("output", "plot", "gallery", "next", "figure", "coordinates", "as_json", "reading"),
    # a path in place of an object says how it is read: Catalog.read, Labels.read, ImageSet.of
    *("id_column", "missing_label", "label_as_is", "pixel_scale", "petrosian", "column"),
    # a selection: table.select, images.select
    "selection",
    # a Python function tells its progress to whom it is given
    *("settings", "tracking_uri", "upgrade", "verbose", "others", "engine", "address", "images"),
}
"""Words of the command line that Python says by other means."""
ELSEWHERE = {
    "fit": {"head", "labels", "coverage", "sets_by", "sizes", "with_curve", "group_arcsec",
            "near_duplicates", "target", "redshift", "as_number", "allow_seen"},
    "finetune": {"source", "sizes", "with_curve", "group_arcsec", "near_duplicates", "redshift",
                 "as_number", "counts", "also"},
    "extract": {"source", "check", "context", "part", "slurm"},
    "predict": {"labels"},
    "map": {"catalog", "predictions", "beside", "kind", "width", "sky"},
    "doubt": {"count"},
    "compare": {"form"},
    "audit": {"backbone", "draws", "nuisance", "sample", "seed", "weights"},
}  # fmt: skip
"""Words of one verb that stand elsewhere: Split.draw, Head.promising, label_next, AuditOptions …"""


@pytest.mark.parametrize("verb", sorted(set(verbs()) - COMMAND_LINE_ONLY))
def test_a_verb_in_python_has_the_words_of_the_command_line(verb: str) -> None:
    function = inspect.signature(getattr(gz, verb)).parameters
    words = set(inspect.signature(inspect.unwrap(verbs()[verb])).parameters) - {"as_json"}
    free = any(each.kind is each.VAR_KEYWORD for each in function.values())
    names = {word.rstrip("_") for word in words} - OTHERWISE - ELSEWHERE.get(verb, set())
    missing = names - {name.rstrip("_") for name in function}
    assert missing == set() or free, missing


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_docstring_of_a_public_function_lists_its_parameters_itself(name: str) -> None:
    function = operator.attrgetter(name)(gz)
    text = inspect.getdoc(function) or ""
    listed = text.split("Parameters\n----------\n")[1] if "Parameters\n" in text else ""
    for parameter in inspect.signature(function).parameters:
        assert any(
            parameter in line.split(" : ")[0].replace("*", "").replace(" ", "").split(",")
            for line in listed.splitlines()
        ), (name, parameter)
    assert "Examples\n--------\n>>> " in text, name


def public_methods() -> dict[str, Callable[..., Any]]:
    """Methods of the public classes, their own and inherited ones of this package, by name."""
    found = {}
    for name in PUBLIC:
        for base in inspect.getmro(thing) if inspect.isclass(thing := getattr(gz, name)) else ():
            if base.__module__.startswith("gzfeatures."):
                for method, value in vars(base).items():
                    function = getattr(value, "__func__", value)
                    if inspect.isfunction(function) and not method.startswith("_"):
                        found.setdefault(f"{name}.{method}", function)
    return found


def test_the_docstring_of_a_public_method_lists_its_parameters_itself() -> None:
    methods = public_methods()
    assert len(methods) > 60 and "Predictions.write" in methods
    unlisted = [
        (name, parameter)
        for name, function in methods.items()
        for parameter in set(inspect.signature(function).parameters) - {"self", "cls"}
        if not re.search(
            rf"^(\w+, )*\*{{0,2}}{parameter}(, \w+)*( : |$)", inspect.getdoc(function) or "", re.M
        )
    ]
    assert unlisted == []


def test_text_is_taken_wherever_a_path_or_a_store_is() -> None:
    functions = public_methods() | {name: getattr(gz, name) for name in FUNCTIONS}
    functions |= {f"plot.{name}": getattr(gz.plot, name) for name in gz.plot.__all__}
    places = [
        (name, parameter.name, str(parameter.annotation))
        for name, function in functions.items()
        for parameter in inspect.signature(function).parameters.values()
        if re.search(r"\b(Path|Place|Store)\b", str(parameter.annotation))
    ]
    assert len(places) > 40
    # `Place` is `str | Path`
    assert [each for each in places if not re.search(r"\b(str|Place)\b", each[2])] == []


def blobs(n: int) -> tuple[gz.EmbeddingTable, gz.Labels]:
    """Vectors of two classes that a line separates."""
    generator, codes = np.random.default_rng(0), np.arange(n) % 2
    table = table_with(generator.normal(size=(n, 6)) + 3 * codes[:, None])
    return table, gz.Labels(table.ids, ("round", "long"), codes)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    table, labels = blobs(60)
    table.write(tmp_path / "table.parquet")
    gz.write_labels(tmp_path / "labels.csv", labels)
    return tmp_path


def test_a_path_as_text_stands_for_table_and_labels(files: Path) -> None:
    table, labels = str(files / "table.parquet"), str(files / "labels.csv")
    assert gz.similar(table, "g0000", k=2)["rank"].tolist() == [1, 2]
    assert len(gz.odd(table)) == 60
    assert len(gz.duplicates(table)) == 0
    assert set(gz.doubt(table, labels, "logistic")["doubtful"]) <= {True}
    assert table_of(table).ids.tolist() == table_of(table_of(table)).ids.tolist()
    assert gz.Labels.read(labels).fingerprint == labels_of(labels).fingerprint


def test_the_next_galaxies_to_label_have_no_label_yet(files: Path) -> None:
    labels = gz.Labels.read(files / "labels.csv")
    some = labels.select(labels.ids[:40])
    chosen = gz.label_next(files / "table.parquet", some, "logistic", 5)
    assert len(chosen) == 5 and not set(chosen["galaxy_id"]) & set(some.ids)


def test_a_head_in_a_file_predicts_a_table_in_a_file_as_in_memory(files: Path) -> None:
    table, labels = table_of(files / "table.parquet"), gz.Labels.read(files / "labels.csv")
    split = gz.Split.draw(labels, seed=0)
    head = gz.fit(table, labels, "logistic", split=split)
    head.write(files / "head.skops")
    predictions = gz.predict(str(files / "head.skops"), str(files / "table.parquet"))
    np.testing.assert_array_equal(predictions.probabilities, head.predict(table).probabilities)
    with pytest.raises(InputError, match=r"view.*be left out of a table"):
        gz.predict(head, table, view="crop=0.5")


def test_a_catalog_is_checked_labelled_joined_and_sampled(tmp_path: Path) -> None:
    number = np.arange(40)
    classes = np.where(number % 2, "Ei", "Sb2m")
    pd.DataFrame(
        {"dr7objid": number, "gz2_class": classes, "ra": number * 1.0, "dec": number * 0.5}
    ).to_csv(tmp_path / "hart.csv", index=False)
    pd.DataFrame({"objid": number[:30], "z": number[:30] / 100}).to_csv(tmp_path / "z.csv")
    path = str(tmp_path / "hart.csv")
    assert not gz.check(path).catalog.refused and gz.check(path).images is None
    labels = gz.label(path, "gz2-2class")
    assert labels.counts == {"elliptical": 20, "spiral": 20}
    joined, report = gz.join(path, str(tmp_path / "z.csv"), "dr7objid=objid")
    assert (len(joined), report.matched) == (30, 30)
    near, _ = gz.join(path, path, sky=1.0)
    assert len(near) == 40
    with pytest.raises(InputError, match="a key or a separation on the sky, one of them"):
        gz.join(path, path)
    drawn, split = gz.sample(joined, "gz2-2class", per_class=10, split=(0.5, 0.25, 0.25))
    assert drawn.counts == {"elliptical": 10, "spiral": 10} and len(split.train) == 10


def test_an_option_of_reading_is_refused_where_nothing_is_read() -> None:
    _, labels = blobs(12)
    with pytest.raises(InputError, match=r"id_column.*be left out where no file is read"):
        labels_of(labels, "objid")
    catalog = gz.Catalog.of(pd.DataFrame({"objid": [1, 2]}))
    with pytest.raises(InputError, match="id_column"):
        catalog_of(catalog, "objid")


def test_an_image_folder_as_text_stands_for_its_images(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        Image.new("RGB", (16, 16), (10, 200, 30)).save(tmp_path / f"{name}.png")
    images = images_of(str(tmp_path))
    assert images.ids.tolist() == ["a", "b"] and images_of(images) is images


def test_the_matrix_of_a_table_is_its_array() -> None:
    table, _ = blobs(12)
    np.testing.assert_array_equal(np.asarray(table), table.matrix)
    assert np.asarray(table, dtype=np.float64).dtype == np.float64
    assert np.asarray(table) is table.matrix  # no copy
    assert np.array(table) is not table.matrix
    with pytest.raises(ValueError, match="copy"):
        np.asarray(table, dtype=np.float64, copy=False)


def test_importing_an_old_module_does_not_hide_the_function_of_its_name() -> None:
    import importlib

    importlib.import_module("gzfeatures.demo")
    assert inspect.isfunction(gz.demo)


def test_names_are_listed_by_kind() -> None:
    assert {"svm", "logistic"} <= set(gz.list("heads").index)
    with pytest.raises(gz.GzError, match="kind of names"):
        gz.list("galaxies")


def test_a_store_is_a_folder(tmp_path: Path) -> None:
    assert gz.store(root=str(tmp_path)).empty
    assert gz.Store(str(tmp_path)).root == tmp_path  # type: ignore[arg-type]
    with pytest.raises(InputError, match="be given with prune only"):
        gz.store(backbone="resnet18")
