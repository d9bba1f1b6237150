from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzfeatures.errors import InputError, OutputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.asked import read_asked
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.galaxies.splits.related_galaxies import known_keys
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.splits.split_file import known_of
from gzfeatures.ids import as_ids

steady = settings(derandomize=True, deadline=None, max_examples=30)
BIG = 588017605758025732


def test_classes_split_and_groups_come_back(tmp_path: Path) -> None:
    labels = Labels(
        as_ids([BIG + row for row in range(20)]), ("spiral", "edge-on", "unused"), np.arange(20) % 2
    )
    groups = dict.fromkeys(labels.ids[:2], "pair")
    split = Split.draw(labels, (0.5, 0.25, 0.25), groups=groups, seed=1)
    path = write_labels(tmp_path / "deep" / "labels.csv", labels, split)
    assert path.read_text().splitlines()[0] == "galaxy_id,label,split,group"
    read, read_split = read_labels(path)
    assert read.fingerprint == labels.fingerprint and read.ids.tolist() == labels.ids.tolist()
    assert (
        read_split is not None
        and read_split.fingerprint == split.fingerprint
        and read_split.groups == groups
    )


def test_without_split_the_columns_are_two(tmp_path: Path) -> None:
    labels = Labels(as_ids("ab"), ("x", "y"), np.array([0, 1]))
    path = write_labels(tmp_path / "labels.csv", labels)
    assert path.read_text() == "galaxy_id,label\na,x\nb,y\n"
    assert read_labels(path)[1] is None
    assert (
        write_labels(path, labels, groups={"a": "g"}).read_text()
        == "galaxy_id,label,group\na,x,g\nb,y,\n"
    )


def test_ids_that_a_spreadsheet_would_run_are_guarded_and_come_back(tmp_path: Path) -> None:
    names = ["=1+1", "-7", "+x", "@sum", "'quoted", "''twice", "plain", "'=1"]
    labels = Labels(as_ids(names), ("a", "b"), np.arange(8) % 2)
    path = write_labels(tmp_path / "labels.csv", labels, groups={"=1+1": "-group", "-7": "-group"})
    assert not any(line.startswith(("=", "+", "-g", "@")) for line in path.read_text().splitlines())
    assert "\n-7," in path.read_text()  # a number is no formula
    assert read_labels(path)[0].ids.tolist() == names
    (tmp_path / "own.csv").write_text("galaxy_id,label\n'tis,a\nb,b\n")
    assert read_labels(tmp_path / "own.csv")[0].ids.tolist() == ["'tis", "b"]


@steady
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=10))
def test_several_labels_come_back(
    tmp_path_factory: pytest.TempPathFactory, flags: list[tuple[bool, bool, bool]]
) -> None:
    labels = Labels(
        as_ids([f"g{row}" for row in range(len(flags))]),
        ("a", "b", "c"),
        np.array(flags),
        "multi-label",
    )
    path = write_labels(tmp_path_factory.mktemp("labels") / "labels.csv", labels)
    read, _ = read_labels(path)
    # the file does not name a class without galaxies
    assert set(read.classes) == {name for name, number in labels.counts.items() if number}
    assert read.target == "multi-label" and not read.left_out
    assert read.ordered(labels.classes).fingerprint == labels.fingerprint


def test_several_labels_come_back_where_no_galaxy_has_two(tmp_path: Path) -> None:
    flags = np.array([[True, False], [False, True], [False, False]])
    labels = Labels(as_ids("xyz"), ("a", "b"), flags, "multi-label", soft=np.full((3, 2), 0.5))
    path = write_labels(tmp_path / "labels.csv", labels)
    assert path.read_text().splitlines()[1:] == ["x,a|,0.5,0.5", "y,b|,0.5,0.5", "z,|,0.5,0.5"]
    read, _ = read_labels(path)
    assert read.target == "multi-label" and read.fingerprint == labels.fingerprint
    # with two classes of one galaxy, or from an earlier version, a galaxy of no class is empty
    path.write_text("galaxy_id,label\nx,a|b\ny,b\nz,\n")
    assert read_labels(path)[0].values.tolist() == [[True, True], [False, True], [False, False]]


def test_several_labels_of_no_galaxy_come_back_without_classes(tmp_path: Path) -> None:
    labels = Labels(as_ids("xy"), ("a", "b"), np.zeros((2, 2), dtype=bool), "multi-label")
    read, _ = read_labels(write_labels(tmp_path / "labels.csv", labels))
    assert (read.target, read.classes, read.soft) == ("multi-label", (), None)
    assert read.ids.tolist() == ["x", "y"] and read.ordered(labels.classes).values.dtype == bool


def test_fractions_come_back_to_the_last_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((5, 3))
    values[2, 1] = np.nan
    labels = Labels(as_ids("abcde"), ("smooth", "disk", "star"), values, "fractions")
    split = Split(labels.ids[:3], labels.ids[3:4], labels.ids[4:])
    read, read_split = read_labels(write_labels(tmp_path / "labels.csv", labels, split))
    assert read.target == "fractions" and read.classes == labels.classes
    np.testing.assert_array_equal(read.values, values)
    assert read_split is not None and read_split.fingerprint == split.fingerprint


def test_vote_fractions_travel_with_the_classes(tmp_path: Path) -> None:
    votes = np.random.default_rng(0).dirichlet(np.ones(3), 6)
    labels = Labels(as_ids("abcdef"), ("spiral", "edge-on", "unused"), np.arange(6) % 2, soft=votes)
    path = write_labels(tmp_path / "labels.csv", labels, groups={"a": "g"})
    read, _ = read_labels(path)
    assert (
        read.classes == ("edge-on", "spiral", "unused") and read.fingerprint == labels.fingerprint
    )
    again = read.ordered(labels.classes)
    np.testing.assert_array_equal(again.soft, votes)
    np.testing.assert_array_equal(again.codes, labels.codes)
    path.write_text("galaxy_id,label,votes x\na,x,0.5\nb,y,0.5\n")
    assert read_labels(path)[0].soft is None  # a class has no votes: these columns are not ours
    path.write_text("galaxy_id,label,votes x,votes y\na,x,0.5,0.5\nb,y,1.5,0\n")
    with pytest.raises(
        InputError, match=r"galaxy b, column votes x: vote fraction out of range.*found 1.5"
    ):
        read_labels(path)


def test_a_file_of_ones_own_with_gaps(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "GalaxyID,label,split\n1,spiral,train\n2,,train\n3,round,test\n4,round,\n"
    )
    labels, split = read_labels(tmp_path / "own.csv")
    assert labels.ids.tolist() == ["1", "3", "4"] and labels.left_out[
        "label is empty"
    ].tolist() == ["2"]
    assert split is not None and split.train.tolist() == ["1"] and split.test.tolist() == ["3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,label\n1,a\n", "labels have no id; must have a column galaxy_id, found x, label"),
        ("galaxy_id,kind\n1,a\n", "labels are missing; must have a column label, found kind"),
        ("galaxy_id,label\n1,a\n1,b\n", "labels: 1 duplicate ids"),
        (
            "galaxy_id,label,split\n1,a,train\n2,a,val\n",
            "galaxy 2: unknown part of the split; must be one of train, validation, test, "
            "found val",
        ),
        (
            "galaxy_id,smooth\n1,1.5\n",
            r"galaxy 1, column smooth: vote fraction out of range; must lie in \[0, 1\], found 1.5",
        ),
        (
            "galaxy_id,bar,spiral\n1,0.5,0.2\n2,0.4,unknown\n",
            "column spiral: column is text, but some of its cells are numbers; .* 1 of 2 cells are "
            "no number, the first in row 1: 'unknown'; empty or correct",
        ),
        (
            "galaxy_id,name,Redshift\n1,M 31,0.1\n",
            "labels are missing; must have a column label, .*; say --target Redshift to predict",
        ),
        (
            "galaxy_id,label,votes x,votes y\n1,x,0.5,n.d.\n2,y,0.2,0.8\n",
            "column votes y: vote fractions are text; .* the first in row 1: 'n.d.'",
        ),
        (
            "galaxy_id,Label,bar\n1,x,0.5\n",
            "labels are missing; must have a column label, in lower case, found Label; rename",
        ),
        ("galaxy_id,label\n,a\n", "id is missing"),
        ("galaxy_id,label,split\n1,a,\n2,b,\n", "split has no training galaxies"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / "bad.csv")


def test_ids_words_and_redshifts_beside_vote_fractions_are_no_answers(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "galaxy_id,objid,name,bar,spiral,z,z_phot\n1,7,M 31,0.5,0.2,0.03,0.1\n2,8,M 33,0.4,,0.05,\n"
    )
    labels, _ = read_labels(tmp_path / "own.csv")
    assert labels.target == "fractions" and labels.classes == ("bar", "spiral")
    np.testing.assert_array_equal(labels.values, [[0.5, 0.2], [0.4, np.nan]])


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    flags, codes = np.ones((2, 2), dtype=bool), np.array([0, 1])
    for name in ("x|y", "", " x", "x\t"):
        several = Labels(as_ids("ab"), (name, "z"), flags, "multi-label")
        one = Labels(as_ids("ab"), (name, "z"), codes)
        for labels in (several, one):
            with pytest.raises(InputError, match=r"class name; must not hold '\|', nor be empty"):
                write_labels(tmp_path / "labels.csv", labels)
    for name in ("split", "group", "galaxy_id", "label", "Redshift"):
        answers = Labels(as_ids("ab"), ("smooth", name), flags * 0.5, "fractions")
        with pytest.raises(InputError, match=f"must mean nothing else .*, found {name}; choose"):
            write_labels(tmp_path / "labels.csv", answers)
    number = Labels(as_ids("ab"), ("group",), np.array([[1.5], [2.5]]), "value")
    with pytest.raises(InputError, match=r"must mean nothing else .*, found group"):
        write_labels(tmp_path / "labels.csv", number)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_labels(
            tmp_path / "file" / "labels.csv", Labels(as_ids("ab"), ("x",), np.array([0, 0]))
        )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_empty_group_is_no_common_group(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"labels.{ending}"
    columns = {
        "galaxy_id": ["a", "b", "c", "d", "e"],
        "label": ["x", "y", "x", "y", "x"],
        "split": ["train", "train", "train", "validation", "test"],
        "group": ["g", "g", "", "", " "],
    }
    frame = pd.DataFrame(columns)
    frame.to_csv(file, index=False) if ending == "csv" else frame.to_parquet(file)
    split = read_labels(file)[1]
    assert split is not None and split.groups == {"a": "g", "b": "g"}


def test_the_id_column_that_a_user_names_wins_over_usual_names(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    rows = ["1,3,disk,random,g", "2,1,smooth,queue,g", "3,2,merger,queue,"]
    file.write_text("\n".join(["id,gal_number,label,asked,group", *rows]) + "\n")
    ids = read_labels(file, id_column="gal_number")[0].ids.tolist()
    assert ids == ["3", "1", "2"] and read_labels(file)[0].ids.tolist() == ["1", "2", "3"]
    asked = read_asked(file, id_column="gal_number")
    assert asked is not None and asked.random.tolist() == ["3"]
    groups = known_of(file, as_ids("123"), 3, id_column="gal_number").groups
    assert set(groups) == {"1", "3"}
    # a file that gzfeatures wrote keeps its own id column, whatever the catalog's is called
    written = write_labels(tmp_path / "w.csv", Labels(as_ids("ab"), ("x",), np.array([0, 0])))
    assert read_labels(written, id_column="gal_number")[0].ids.tolist() == ["a", "b"]


def test_names_and_codes_beside_fractions_are_no_fractions(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("galaxy_id,name,code,bar\n1,M31,00123,0.2\n2,1234,00124,0.7\n")
    assert read_labels(tmp_path / "l.csv")[0].classes == ("bar",)


@pytest.mark.parametrize("name", ["objid", "Label"])
def test_an_answer_that_would_be_read_as_something_else_is_not_written(
    name: str, tmp_path: Path
) -> None:
    labels = Labels(as_ids(["1", "2"]), (name, "b"), np.full((2, 2), 0.5), target="fractions")
    with pytest.raises(InputError, match=f"found {name}"):
        write_labels(tmp_path / "l.csv", labels)


def test_the_fraction_of_a_further_answer_is_unknown_whatever_the_type() -> None:
    labels = Labels(as_ids(["1", "2"]), ("a", "b"), np.eye(2, dtype=int), target="fractions")
    assert np.isnan(labels.ordered(("a", "b", "c")).values[:, 2]).all()


def test_masked_keys_of_groups_are_missing_keys() -> None:
    assert known_keys([np.ma.masked, "b"]).tolist() == [None, "b"]
