"""Promise: a galaxy that was set aside once is never trained on later, whatever labels are
added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of
from typer.testing import CliRunner
from verbs import gz

from gzfeatures.cli.console import app
from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.related_galaxies import Grouping
from gzfeatures.galaxies.splits.split import PARTS, Split
from gzfeatures.galaxies.splits.split_file import continued, read_split


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A table of 300 galaxies, of which 120 have labels."""
    random = np.random.default_rng(0)
    code = np.arange(300) % 3
    table = table_of(random.normal(size=(300, 8)) + 3 * np.eye(8)[code])
    table.write(tmp_path / "table.parquet")
    frame = pd.DataFrame({"galaxy_id": table.ids, "label": np.array(["a", "b", "c"])[code]})
    frame.to_csv(tmp_path / "all.csv", index=False)
    frame[:120].to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def fitted(desk: Path, *more: object) -> str:
    words = [
        "fit",
        desk / "table.parquet",
        "--labels",
        desk / "labels.csv",
        "-H",
        "prototype",
        "-o",
        desk / "heads",
    ]
    result = CliRunner().invoke(app, [*map(str, words), *map(str, more)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stderr


def test_labels_are_added_and_nobody_changes_sides(desk: Path) -> None:
    said = fitted(desk)
    first = read_split(desk / "labels.split.csv")
    assert "has no split" in said and f"kept in {desk / 'labels.split.csv'}" in said
    pd.read_csv(desk / "all.csv")[:200].to_csv(desk / "labels.csv", index=False)
    said = fitted(desk, "--seed", 7)
    second = read_split(desk / "labels.split.csv")
    assert "120 galaxies stay" in said and "80 new ones were drawn" in said
    for part in PARTS:
        assert set(getattr(first, part)) <= set(getattr(second, part))
    new = [len(getattr(second, part)) - len(getattr(first, part)) for part in PARTS]
    assert new == pytest.approx([56, 8, 16], abs=2)  # drawn among themselves, in the same shares
    labels = pd.read_csv(desk / "labels.csv", index_col="galaxy_id")["label"]
    fresh = [name for name in second.test if name not in set(first.test)]
    assert labels[fresh].value_counts().between(4, 7).all()  # and stratified
    assert "split is read from" in fitted(desk, "--seed", 9)
    assert read_split(desk / "labels.split.csv").fingerprint == second.fingerprint


def test_fewer_labels_forget_nobody(desk: Path) -> None:
    fitted(desk)
    first = read_split(desk / "labels.split.csv")
    everything = pd.read_csv(desk / "all.csv")
    everything[60:150].to_csv(desk / "labels.csv", index=False)
    fitted(desk)
    everything[:150].to_csv(desk / "labels.csv", index=False)
    fitted(desk)
    again = read_split(desk / "labels.split.csv")
    assert all(set(getattr(first, part)) <= set(getattr(again, part)) for part in PARTS)


def test_a_column_of_the_labels_is_gone_on_with(desk: Path) -> None:
    frame = pd.read_csv(desk / "all.csv")[:200].assign(split="")
    frame.loc[:99, "split"] = np.tile(["train", "train", "train", "validation", "test"], 20)
    frame.to_csv(desk / "labels.csv", index=False)
    assert "100 galaxies stay" in fitted(desk)
    split = read_split(desk / "labels.split.csv")
    side = dict(zip(split.ids, np.array(PARTS)[split.sides(split.ids)], strict=True))
    assert all(
        side[name] == part
        for name, part in zip(frame["galaxy_id"][:100], frame["split"][:100], strict=True)
    )
    assert len(split.ids) == 200
    frame.loc[frame["galaxy_id"] == split.test[0], "split"] = "train"
    frame.to_csv(desk / "labels.csv", index=False)
    with pytest.raises(
        InputError, match=r"1 galaxies have another part in the column split.*remove the kept file"
    ):
        fitted(desk)


def test_a_file_of_that_name_that_is_no_kept_split_is_not_replaced(desk: Path) -> None:
    own = "galaxy_id,split,notes\ng0001,train,mine\n"
    (desk / "labels.split.csv").write_text(own)
    with pytest.raises(
        InputError, match=r"not a split that is kept beside labels.*rename the file"
    ):
        fitted(desk)
    assert (desk / "labels.split.csv").read_text() == own


def names(*texts: str) -> np.ndarray:
    return np.array(texts, dtype=object)


def test_a_group_that_joins_two_sides_is_tested_on() -> None:
    before = Split(names("a", "b", "c", "d"), names("e"), names("f"))
    labels = Labels(
        names("a", "b", "c", "d", "e", "f", "new", "pair"), ("x",), np.zeros(8, dtype=np.int64)
    )
    grouping = Grouping().joined(
        "are alike", {"a": "1", "new": "1", "e": "1", "b": "2", "pair": "2"}
    )
    found = continued(labels, grouping, column=before)
    assert set(found.split.test) == {"f", "a", "e", "new"} and set(found.moved) == {"a", "e"}
    assert {"b", "pair", "c", "d"} == set(found.split.train)


def test_it_is_said_who_was_moved(desk: Path) -> None:
    fitted(desk)
    split = read_split(desk / "labels.split.csv")
    labels = pd.read_csv(desk / "labels.csv").assign(group=lambda frame: frame["galaxy_id"])
    labels.loc[labels["galaxy_id"].isin([split.train[0], split.test[0]]), "group"] = "one galaxy"
    labels.to_csv(desk / "labels.csv", index=False)
    said = fitted(desk)
    assert "1 galaxies went from train or validation to test" in said and split.train[0] in said
    assert split.train[0] in read_split(desk / "labels.split.csv").test


def test_a_network_and_a_head_share_the_split_that_was_kept(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from blobs import draw

    (tmp_path / "images").mkdir()
    pictures = draw(tmp_path / "images", 40)
    frame = pd.DataFrame({"galaxy_id": sorted(path.stem for path in pictures.glob("*.png"))})
    frame["label"] = ["round" if int(name[1:]) % 2 else "long" for name in frame["galaxy_id"]]
    frame.to_csv(tmp_path / "labels.csv", index=False)
    gz("finetune", pictures, "--labels", tmp_path / "labels.csv", "--network", "engel", "--view",
       "size=16",
       "--epochs", 1, "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}",
       "-o", tmp_path / "checkpoint")  # fmt: skip
    first = (tmp_path / "labels.split.csv").read_bytes()
    gz("extract", pictures, "--backbone", tmp_path / "checkpoint", "-o", tmp_path / "table.parquet")
    # the network has seen its training galaxies, and is scored on those it set aside
    gz("fit", tmp_path / "table.parquet", "--labels", tmp_path / "labels.csv", "-H", "prototype",
       "--seed", 3, "-o",
       tmp_path / "heads")  # fmt: skip
    assert (tmp_path / "labels.split.csv").read_bytes() == first
