"""A new experiment file runs as it is written, and says all keys it could have."""

from __future__ import annotations

from pathlib import Path

import pytest

import gzfeatures as gz
from gzfeatures.errors import InputError, MissingFileError, OutputError
from gzfeatures.experiment.config import Experiment, load
from gzfeatures.experiment.settings.key_reference import key_table

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / 'my "images" é').mkdir()
    (tmp_path / "labels.csv").write_text("galaxy_id,label\na,x\nb,y\n")
    return tmp_path


def test_labels_alone_suffice_and_take_the_place_of_the_catalog(place: Path) -> None:
    images = place / 'my "images" é'
    read = load(gz.new(place / "my run.toml", images, place / "labels.csv"))
    assert read.galaxies.labels == read.galaxies.catalog == place / "labels.csv"
    assert (read.galaxies.images, read.name) == (images, "my-run")
    assert [head.name for head in read.heads] == ["svm", "xgboost", "logistic"]
    # the folder can move with the file
    text = (place / "my run.toml").read_text()
    assert str(place) not in text


def test_a_catalog_of_votes_is_labelled_by_a_scheme(place: Path) -> None:
    file = gz.new(place / "e.toml", catalog=place / "labels.csv", scheme="gz2-4class")
    read = load(file)
    assert (read.galaxies.scheme, read.galaxies.labels) == ("gz2-4class", None)
    assert "# EDIT" in file.read_text()


def test_what_cannot_run_is_refused_and_no_file_of_the_user_replaced(place: Path) -> None:
    file = place / "e.toml"
    with pytest.raises(MissingFileError, match="labels not found"):
        gz.new(file, labels=place / "none.csv")
    with pytest.raises(InputError, match="scheme of labels"):
        gz.new(file, labels=place / "labels.csv", scheme="zhu-5class")
    assert not file.exists()
    file.write_text("mine")
    with pytest.raises(OutputError, match="overwrite=True"):
        gz.new(file)
    assert file.read_text() == "mine"


def test_the_page_of_the_keys_is_that_of_their_definition() -> None:
    page = (ROOT / "docs" / "experiment-keys.md").read_text()
    table = key_table(Experiment)
    assert page.endswith(table)
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) > 70 and all(len(row[3].rstrip(" |")) > 10 for row in rows)
