"""Label files that are taught on keep all else they hold, and their random sample."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from gzfeatures.errors import InputError
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.teaching.campaign import Answer

FURTHER = (
    "1237678598634734123,007,16.123456789012345678,-5.250,True,NA,1.2376785986347341e+18",
    "1237678598634734124,,1e5,+5.250,,,587722952230174721.0",
)
"""Cells that a number could not store as they are written."""


@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz", "LABELS.CSV"])
def test_every_further_cell_stays_as_it_is_written(tmp_path: Path, name: str) -> None:
    text = "galaxy_id,label,specobj,plate,mag,dec,flag,note,dr7objid\n"
    text += f"1,spiral,{FURTHER[0]}\n2,smooth,{FURTHER[1]}\n"
    path = tmp_path / name
    packed = name.endswith("gz")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    for galaxy in ("9", "10"):
        AnswersFile(path).keep({galaxy: Answer("ring", "user", 1, "me", "now")})
    written = path.read_bytes()
    lines = (gzip.decompress(written) if packed else written).decode().splitlines()
    assert lines[1:] == [
        f"1,spiral,,,0,,{FURTHER[0]}",
        f"2,smooth,,,0,,{FURTHER[1]}",
        "9,ring,me,now,1,user,,,,,,,",
        "10,ring,me,now,1,user,,,,,,,",
    ]


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".fits", ".ecsv", "", ".csv.parquet"])
def test_a_table_that_is_no_csv_is_refused_and_stays(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"labels{ending}"
    frame = pd.DataFrame({"galaxy_id": ["1", "2"], "label": ["a", "b"]})
    frame.to_parquet(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"must end in \.csv or \.csv\.gz"):
        AnswersFile(path).keep({"9": Answer("a", "user")})
    assert path.read_bytes() == before
    with pytest.raises(InputError, match=r"must end in \.csv or \.csv\.gz"):
        AnswersFile(tmp_path / f"new{ending}")


@pytest.mark.parametrize(
    "text",
    [
        "# taken with the 1.2 m telescope\ngalaxy_id,label\n1,a\n",
        "galaxy_id,label,z,z\n1,a,.1,.2\n",
        "galaxy_id,label\n1,a\n# to be looked at again\n2,b\n",
        "galaxy_id,label,z,z\n1,a,.1,.1\n",
    ],
)
def test_what_would_be_lost_is_refused_before_the_first_answer(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="must hold nothing that is lost"):
        AnswersFile(path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", b""),
        ("labels.csv.gz", b"galaxy_id,label\n1,spiral\n"),
        ("labels.csv", b"galaxy_id,label,note\n1,spiral," + b"x" * 200_000 + b"\n"),
    ],
    ids=["empty", "no gzip", "huge cell"],
)
def test_a_damaged_file_is_named_and_stays(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: label file cannot be read"):
        AnswersFile(path)
    assert path.read_bytes() == content


def test_a_galaxy_of_the_random_sample_stays_in_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    one, other = AnswersFile(path), AnswersFile(path)
    one.keep({"7": Answer("ring", "random", 0), "8": Answer("ring", "queue", 0)})
    # the other page was loaded before galaxy 7 was asked about, and calls it a choice of its user
    other.keep({"7": Answer("bar", "user", 3), "8": Answer("bar", "user", 3)})
    answers = AnswersFile(path).answers
    assert answers["7"] == Answer("bar", "random", 3) and answers["8"].asked == "user"
    # a galaxy whose answer was taken back stays in the sample, and no other galaxy enters it
    other.keep({"7": None, "8": None})
    other.keep({"9": Answer("bar", "user", 4)})
    other.keep({"7": Answer("bar", "queue", 4), "8": Answer("bar", "queue", 4)})
    asked = {name: answer.asked for name, answer in AnswersFile(path).answers.items()}
    assert asked == {"9": "user", "7": "random", "8": "queue"}


def test_a_file_of_several_classes_per_galaxy_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("galaxy_id,label\n1,disk\n2,disk|barred\n")
    with pytest.raises(InputError, match=r"galaxy 2: .*one class per galaxy.* found disk\|barred"):
        AnswersFile(path)
    assert path.read_text().endswith("disk|barred\n")
