"""Words in a label column that may be a class or nobody's answer."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

from gzfeatures.cli import VERBS
from gzfeatures.cli.console import app
from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.label_words import AS_IS, LabelWords
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels

WORDS = ["NA", "nan", "None", "N/A", "none", "NaN", "null", "--", "<NA>"]
LETTERS = "abcdef"


def table(folder: Path, labels: list[object], ending: str) -> Path:
    frame = pd.DataFrame({"galaxy_id": list(LETTERS[: len(labels)]), "label": labels})
    path = folder / f"labels{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    elif ending == ".fits":
        from astropy.table import Table

        Table.from_pandas(frame).write(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".fits"])
def test_a_word_that_may_be_a_class_is_refused_with_count_and_rows(
    tmp_path: Path, word: str, ending: str
) -> None:
    path = table(tmp_path, ["spiral", word, "spiral", word, "round"], ending)
    with pytest.raises(
        InputError,
        match=r"galaxy b \(row 1\).* in 2 of 5 rows; say --missing-label .* where it means",
    ):
        read_labels(path)
    unlabelled = read_labels(path, words=LabelWords((word,)))[0]
    assert unlabelled.classes == ("round", "spiral") and unlabelled.left_out[
        "label is empty"
    ].tolist() == ["b", "d"]
    as_is = read_labels(path, words=AS_IS)[0]
    assert sorted(as_is.classes) == sorted(("round", "spiral", word)) and as_is.counts[word] == 2


@pytest.mark.parametrize("word", WORDS)
def test_a_word_among_numbered_classes_is_refused_too(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match="a label may be a class or nobody's answer"):
        read_labels(table(tmp_path, [0, 1, word, 2], ".csv"))


def test_the_class_none_never_vanishes(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, ["None", "ring", "None", "ring"], ".csv"), words=AS_IS)[0]
    again = read_labels(write_labels(tmp_path / "again.csv", labels), words=AS_IS)[0]
    assert again.classes == ("None", "ring") and again.fingerprint == labels.fingerprint


def test_an_empty_cell_is_unlabelled_without_a_word(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, ["spiral", None, "round"], ".csv"))[0]
    assert labels.left_out["label is empty"].tolist() == ["b"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["object", "Int64", "float64"])
def test_numbered_classes_with_a_gap_stay_whole_numbers(
    tmp_path: Path, ending: str, kind: str
) -> None:
    labels: object = (
        pd.array([0, 1, None, 2], dtype="Int64") if kind != "object" else ["0", "1", None, "2"]
    )
    values = pd.Series(labels) if kind != "float64" else pd.Series([0.0, 1.0, np.nan, 2.0])
    read = read_labels(table(tmp_path, list(values) if kind == "object" else values, ending))[0]  # type: ignore[arg-type]
    assert read.classes == ("0", "1", "2") and read.ids.tolist() == ["a", "b", "d"]


def test_a_word_in_one_of_several_labels_is_refused_too(tmp_path: Path) -> None:
    path = table(tmp_path, ["ring|merger", "ring|None"], ".csv")
    with pytest.raises(InputError, match="a label may be a class"):
        read_labels(path)
    assert read_labels(path, words=AS_IS)[0].classes == ("None", "merger", "ring")


def test_ids_of_labels_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("thing,label\n007,x\n08,y\n")
    with pytest.raises(InputError, match=r"labels have no id.*--id COLUMN"):
        read_labels(tmp_path / "l.csv")
    assert read_labels(tmp_path / "l.csv", id_column="thing")[0].ids.tolist() == ["007", "08"]


def options() -> dict[str, set[str]]:
    """Options and metavars of every verb."""
    for module in VERBS:
        importlib.import_module(f"gzfeatures.cli.verbs.{module}")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    return {
        name: {
            word
            for one in command.params
            for word in (*one.opts, getattr(one, "metavar", None))
            if word
        }
        for name, command in commands.items()
    }


def test_every_verb_that_reads_labels_can_be_told_what_words_mean() -> None:
    verbs = {verb: words for verb, words in options().items() if words & {"--labels", "--also"}}
    assert verbs.keys() >= {"fit", "predict", "map", "finetune", "doubt", "explain"}
    # a page's own answers are no words of somebody's table, and `find` learns from votes
    del verbs["teach"], verbs["find"]
    # `new` names the files in the settings that it writes, where these words are keys
    del verbs["new"]
    asked = {"--missing-label", "--label-as-is", "--id"}
    assert {verb: asked - words for verb, words in verbs.items() if asked - words} == {}


def test_every_verb_that_reads_a_catalog_can_be_told_its_id_column() -> None:
    verbs = {
        verb: words
        for verb, words in options().items()
        if words & {"CATALOG", "SOURCE", "--catalog", "--counts"}
    }
    assert verbs.keys() >= {
        "check",
        "label",
        "sample",
        "join",
        "cutouts",
        "extract",
        "fit",
        "predict",
        "finetune",
        "map",
    }
    # `new` only names the catalog in the settings that it writes
    assert [verb for verb, words in verbs.items() if "--id" not in words] == ["new"]
