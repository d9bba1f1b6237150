"""Promise: how classes are listed or spelled does not decide who is tested on, nor how many classes
there are."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of
from verbs import gz

import gzfeatures as gz_python
from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.galaxies.splits.split_file import read_split

IDS = np.array([f"g{row:03}" for row in range(90)], dtype=object)


def test_the_order_of_class_names_does_not_change_a_split() -> None:
    names = np.array(["spiral", "edge-on", "smooth"], dtype=object)[np.arange(90) % 3]
    groups = {name: str(row // 4) for row, name in enumerate(IDS[:40])}
    drawn = {
        Split.draw(
            Labels(IDS, order, np.array([order.index(name) for name in names])),
            groups=groups,
            only_train=IDS[80:],
        ).fingerprint
        for order in permutations(("spiral", "edge-on", "smooth", "unused"))
    }
    assert len(drawn) == 1


def test_the_lines_of_python_and_the_commands_test_on_the_same_galaxies(tmp_path: Path) -> None:
    scheme = gz_python.SCHEMES["zhu-5class"]
    assert list(scheme.classes) != sorted(scheme.classes)
    random = np.random.default_rng(0)
    labels = Labels(IDS, tuple(scheme.classes), random.integers(0, 5, len(IDS)))
    digests = [f"{row // 2 if row < 30 else row:064x}" for row in range(len(IDS))]
    table = table_of(random.normal(size=(len(IDS), 6)), digests, list(IDS))
    python = Split.draw(
        labels, sizes=(0.7, 0.1, 0.2), groups=table.groups, only_train=table.seen_ids, seed=0
    )
    table.write(tmp_path / "table.parquet")
    write_labels(tmp_path / "labels.csv", labels)
    gz(
        "fit",
        tmp_path / "table.parquet",
        "--labels",
        tmp_path / "labels.csv",
        "-H",
        "prototype",
        "-o",
        tmp_path / "h",
    )
    assert read_split(tmp_path / "labels.split.csv").fingerprint == python.fingerprint


def test_a_blank_behind_a_name_makes_no_class(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("galaxy_id,label\n1,spiral\n2,spiral \n3,\tsmooth\n4,smooth\n5, \n")
    labels, _ = read_labels(path)
    assert labels.classes == ("smooth", "spiral") and labels.counts == {"smooth": 2, "spiral": 2}
    assert labels.left_out["label is empty"].tolist() == ["5"]
    path.write_text("galaxy_id,label\n1,bar|ring \n2,bar |ring\n3,\n")
    assert read_labels(path)[0].classes == ("bar", "ring")


@pytest.mark.parametrize("other", ["Spiral", "SPIRAL", "spiral  arm", "Spiral Arm"])
def test_names_that_differ_by_case_or_blanks_only_are_asked_about(
    tmp_path: Path, other: str
) -> None:
    path = tmp_path / "labels.csv"
    one = "spiral arm" if "rm" in other else "spiral"
    pd.DataFrame({"galaxy_id": [1, 2, 3], "label": [one, other, one]}).to_csv(path, index=False)
    with pytest.raises(
        InputError, match=r"classes differ by case or blanks only.*of 2 galaxies.*write one class"
    ):
        read_labels(path)
