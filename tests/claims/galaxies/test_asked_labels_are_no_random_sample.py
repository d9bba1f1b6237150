"""Promise: what a campaign's labels say of a table comes from galaxies drawn at random alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of
from typer.testing import CliRunner

import gzfeatures.cli.verbs.heads  # noqa: F401  # defines fit
from gzfeatures.cli.console import app
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.asked import read_asked, split_by_asked
from gzfeatures.galaxies.splits.split_file import read_split

N = 200


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A table of 200 galaxies and 120 labels: 24 drawn, the others asked by queue or user."""
    random = np.random.default_rng(0)
    code = np.arange(N) % 3
    table = table_of(random.normal(size=(N, 6)) + 2 * np.eye(6)[code])
    table.write(tmp_path / "table.parquet")
    asked = np.where(np.arange(N) % 5 == 4, "random", np.where(np.arange(N) % 2, "queue", "user"))
    frame = pd.DataFrame(
        {"galaxy_id": table.ids, "label": np.array(["a", "b", "c"])[code], "asked": asked}
    )
    frame = frame.assign(who="me", when="2026-11-29T21:00:00Z", round=np.arange(N) // 5)
    frame[:120].to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def fitted(folder: Path, *more: str) -> tuple[dict[str, Any], str]:
    words = ["fit", folder / "table.parquet", "--labels", folder / "labels.csv", "-H", "logistic"]
    words += ["-o", folder / "heads", "--json", *more]
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


def rewritten(folder: Path, change: Any) -> None:
    frame = pd.read_csv(folder / "labels.csv", keep_default_na=False)
    change(frame).to_csv(folder / "labels.csv", index=False)


def test_only_drawn_galaxies_are_set_aside_and_measured(campaign: Path) -> None:
    said, words = fitted(campaign)
    split = read_split(campaign / "labels.split.csv")
    frame = pd.read_csv(campaign / "labels.csv")
    drawn = frame[frame["asked"] == "random"]
    assert set(split.test) == set(drawn["galaxy_id"])
    assert "24 galaxies were drawn at random" in words and "96 train" in words
    sample = said["random_sample"]["logistic"]
    assert sample["n"] == 24
    shares = drawn["label"].value_counts(normalize=True)
    for name, share in sample["shares"].items():
        assert share["value"] == pytest.approx(shares[name])
        assert share["low"] < shares[name] < share["high"]
    assert sample["accuracy"]["value"] == pytest.approx(said["heads"][0]["accuracy"])
    sets = said["heads"][0]["sets"]
    assert sets["n"] == 24 and sets["crossed"]


def test_below_twenty_drawn_galaxies_nothing_is_measured(campaign: Path) -> None:
    rewritten(campaign, lambda frame: frame[(frame["asked"] != "random") | (frame.index < 99)])
    said, words = fitted(campaign)
    assert "too few: 19 galaxies were drawn at random" in words
    assert said["random_sample"] == {"n": 19, "too_few": True}
    (head,) = said["heads"]
    assert head["accuracy"] is None and head["ece"] is None and "sets" not in head
    assert Path(head["path"]).is_file()


def test_a_galaxy_that_is_drawn_later_leaves_training(campaign: Path) -> None:
    fitted(campaign)
    before = read_split(campaign / "labels.split.csv")
    trained = str(before.train[0])

    def drawn(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(asked=frame["asked"].where(frame["galaxy_id"] != trained, "random"))

    rewritten(campaign, drawn)
    fitted(campaign)
    after = read_split(campaign / "labels.split.csv")
    assert trained in after.test
    assert set(after.train) == set(before.train) - {trained}


def test_galaxies_grouped_with_a_drawn_one_neither_train_nor_test() -> None:
    ids = np.asarray(["a", "b", "c", "d"], dtype=object)
    labels = Labels(ids, ("x", "y"), np.array([0, 1, 0, 1]))
    folder = pd.DataFrame({"galaxy_id": ids, "asked": ["random", "queue", "user", ""]})
    asked = split_by_asked(labels, _asked(folder), {"a": "g", "b": "g"})
    assert list(asked.test) == ["a"] and set(asked.train) | set(asked.validation) == {"c", "d"}


def _asked(frame: pd.DataFrame) -> Any:
    from gzfeatures.galaxies.splits.asked import Asked

    random = (frame["asked"] == "random").to_numpy()
    ids = frame["galaxy_id"].to_numpy(object)
    return Asked(ids[random], ids[~random])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.assign(asked="yes"), "say why a galaxy was labelled"),
        (lambda frame: frame.assign(split="train"), "contradict each other"),
        (lambda frame: frame.assign(asked="random"), "not drawn at random"),
    ],
)
def test_a_column_asked_that_cannot_be_understood_is_refused(
    change: Any, words: str, campaign: Path
) -> None:
    rewritten(campaign, change)
    table, labels = str(campaign / "table.parquet"), str(campaign / "labels.csv")
    result = CliRunner().invoke(app, ["fit", table, "--labels", labels, "-H", "prototype"])
    assert result.exit_code == 1 and words in str(result.exception)


def test_labels_without_the_column_are_no_campaign(campaign: Path) -> None:
    rewritten(campaign, lambda frame: frame.drop(columns="asked"))
    assert read_asked(campaign / "labels.csv") is None
    said, _ = fitted(campaign)
    assert "random_sample" not in said


def test_no_galaxy_is_covered_by_a_threshold_that_it_set_itself() -> None:
    # probabilities are pure noise: in-sample thresholds hold at least 90 %, crossed ones 90 %
    random = np.random.default_rng(1)
    reached, within = [], []
    for _ in range(60):
        p = random.dirichlet(np.ones(3), 40)
        ids = np.asarray([f"g{i}" for i in range(40)], dtype=object)
        predictions = Predictions(ids, p, ("a", "b", "c"))
        labels = Labels(ids, ("a", "b", "c"), random.integers(0, 3, 40))
        sets = Conformal.of(predictions, labels, per_class=False)
        within.append(sets.coverage_report(predictions, labels)["reached"])
        reached.append(sets.crossed_report(predictions, labels)["reached"])
    assert min(within) >= 0.9 and np.mean(reached) == pytest.approx(0.92, abs=0.03)
    assert min(reached) < 0.9
