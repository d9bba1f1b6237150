"""Truth values and class sets in predictions files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions

HEAD = "galaxy_id,predicted_class,s,d"


def read(folder: Path, column: str, *cells: str) -> Predictions:
    """Predictions of a CSV file with one more column (or several)."""
    rows = [f"{number},s,.9,.1,{cell}" for number, cell in enumerate(cells, 1)]
    (folder / "p.csv").write_text("\n".join([f"{HEAD},{column}", *rows, ""]), encoding="utf-8")
    return Predictions.read(folder / "p.csv")


@pytest.mark.parametrize(
    "cells",
    [("True", "False"), ("true", "false"), ("1", "0"), ("1.0", "0.0"), ("T", "F"), ("TRUE", "0")],
)
def test_every_way_to_write_true_and_false_is_read(tmp_path: Path, cells: tuple[str, str]) -> None:
    seen = read(tmp_path, "trained_on", *cells, cells[1]).seen
    assert seen is not None and seen.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("cells", "row", "found"),
    [
        (("True", "False", ""), 3, "an empty cell"),
        (("True", "", "False"), 2, "an empty cell"),
        (("", "", ""), 1, "an empty cell"),
        (("1", "0", "2"), 3, "2"),
        (("1", "nan", "0"), 2, "nan"),
        (("yes", "no", "no"), 1, "yes"),
    ],
)
def test_a_gap_is_no_galaxy_kept_out_of_training(
    tmp_path: Path, cells: tuple[str, ...], row: int, found: str
) -> None:
    with pytest.raises(
        InputError,
        match=rf"p.csv, row {row} \(galaxy {row}\): trained_on; must be true or false in every "
        f"row, found {found}",
    ):
        read(tmp_path, "trained_on", *cells)


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_a_gap_of_a_parquet_file_is_refused(tmp_path: Path, gap: object) -> None:
    frame = pd.DataFrame(
        {"galaxy_id": ["1", "2"], "predicted_class": "s", "s": 0.9, "d": 0.1}
    ).assign(trained_on=pd.array([False, gap], dtype="boolean" if gap is pd.NA else object))
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"row 2 \(galaxy 2\): trained_on.*an empty cell"):
        Predictions.read(tmp_path / "p.parquet")


def test_an_undefined_flag_of_a_fits_file_is_refused(tmp_path: Path) -> None:
    """FITS writes T, F, or a zero byte for an unknown value, which astropy reads as False."""
    path = tmp_path / "p.fits"
    names = {"galaxy_id": ["1", "2"], "predicted_class": ["s", "s"]}
    table = Table({**names, "s": [0.9, 0.9], "d": [0.1, 0.1], "trained_on": [True, False]})
    table.write(path)
    seen = Predictions.read(path).seen
    assert seen is not None and seen.tolist() == [True, False]
    content = bytearray(path.read_bytes())
    rows = 2880 * (len(content) // 2880 - 1)  # the table's rows are in the last block
    width = len(content[rows:].rstrip(b"\0")) // 2
    assert content[rows + 2 * width - 1 : rows + 2 * width] == b"F"
    content[rows + 2 * width - 1] = 0
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"row 2 \(galaxy 2\): trained_on.*an empty cell"):
        Predictions.read(path)


def test_an_absent_class_set_is_no_empty_one(tmp_path: Path) -> None:
    held = read(tmp_path, "class_set,empty_because", "s|d,", ",unfamiliar", ",no class fits")
    assert held.sets is not None and held.unfamiliar is not None
    assert held.sets.tolist() == [[True, True], [False, False], [False, False]]
    assert held.unfamiliar.tolist() == [False, True, False]
    absent = r"row 2 \(galaxy 2\): class set is absent; must name classes, or be empty for a reason"
    with pytest.raises(InputError, match=absent):
        read(tmp_path, "class_set,empty_because", "s,", ",", ",unfamiliar")
    with pytest.raises(InputError, match=absent):
        read(tmp_path, "class_set", "s", "")
    frame = pd.read_csv(tmp_path / "p.csv").assign(galaxy_id=["1", "2"], class_set=["s", None])
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError, match=absent):
        Predictions.read(tmp_path / "p.parquet")


def test_a_class_set_names_classes_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown class; must be among s, d, found ring"):
        read(tmp_path, "class_set", "s", "d|ring")


@pytest.mark.parametrize("text", ["", "near"])
def test_a_familiarity_that_is_no_number_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"p.csv: familiarity_p|familiarity_p; must lie"):
        read(tmp_path, "familiarity_p", "0.5", text)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits"])
def test_a_name_with_the_joining_character_is_not_joined(tmp_path: Path, ending: str) -> None:
    ids, p = np.array(["a", "b"], dtype=object), np.array([[0.9, 0.1], [0.2, 0.8]])
    path, names = tmp_path / f"p{ending}", ("a|b", "c")
    for kind, sets in (("classes", p > 0.5), ("multi-label", None)):
        with pytest.raises(InputError, match=r"name of a class contains \|.*found a\|b; rename"):
            Predictions(ids, p, names, kind, sets=sets).write(path)
    # a single predicted class is not joined with another one
    assert Predictions.read(Predictions(ids, p, names).write(path)).classes == names


@pytest.mark.parametrize("name", ["lo" * 45, "a\nb", "it's" * 15])
def test_fits_refuses_names_that_its_header_cannot_hold(tmp_path: Path, name: str) -> None:
    ids, p = np.array(["a", "b"], dtype=object), np.full((2, 2), 0.5)
    with pytest.raises(InputError, match="FITS cannot hold this text"):
        Predictions(ids, p, (name, "c")).write(tmp_path / "p.fits")
