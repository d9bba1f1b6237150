"""Promise: a catalog column from which the label follows is said aloud, before its scores are
believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables_of import table_of
from typer.testing import CliRunner
from verbs import app

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.heads.label_leaks import telling_columns

N = 300


@pytest.fixture
def catalog() -> Catalog:
    random = np.random.default_rng(0)
    label = np.arange(N) % 3
    frame = {
        "galaxy_id": [f"g{row:04d}" for row in range(N)],
        "code": label * 7.0,
        "half": np.where(label == 2, 1.0, 0.0) + random.normal(0, 0.01, N),
        "rest": np.where(label == 1, 1.0, 0.0) + random.normal(0, 0.01, N),
        "redshift": random.uniform(0, 0.2, N) + 0.02 * label,
        "magnitude": random.normal(-20, 1, N),
        "t01_smooth_or_features_a01_smooth_debiased": random.uniform(0, 1, N),
    }
    return Catalog.of(pd.DataFrame(frame))


def told(catalog: Catalog, *columns: str) -> list[str]:
    labels = Labels(catalog.ids, ("a", "b", "c"), np.arange(N) % 3)
    return telling_columns(catalog, columns, labels, catalog.ids[:200])


def the_one(lines: list[str]) -> str:
    assert len(lines) == 1, lines
    return lines[0]


def test_a_copied_label_and_a_vote_are_named_and_a_redshift_is_not(catalog: Catalog) -> None:
    assert told(catalog, "redshift", "magnitude") == []
    line = the_one(told(catalog, "redshift", "code"))
    assert "column code tells the label of 100.0% of the training galaxies by itself" in line
    line = the_one(told(catalog, "redshift", "t01_smooth_or_features_a01_smooth_debiased"))
    assert "a01_smooth_debiased defines the label: it is a vote" in line


def test_columns_that_tell_the_label_together_are_named_together(catalog: Catalog) -> None:
    line = the_one(told(catalog, "half", "rest"))
    assert line.startswith("column half and rest tells the label")


def test_fit_says_it_aloud(catalog: Catalog, tmp_path: Path) -> None:
    table_of(np.random.default_rng(1).normal(size=(N, 4))).write(tmp_path / "table.parquet")
    catalog.frame.to_csv(tmp_path / "catalog.csv", index=False)
    label = np.array(["a", "b", "c"])[np.arange(N) % 3]
    pd.DataFrame({"galaxy_id": catalog.ids, "label": label}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    words = ["fit", tmp_path / "table.parquet", "--labels", tmp_path / "labels.csv", "-H",
             "prototype",
             "--catalog", tmp_path / "catalog.csv", "--column", "code", "-o",
             tmp_path / "heads"]  # fmt: skip
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output
    assert "warning: column code tells the label of 100.0%" in result.stderr


def test_each_of_several_columns_that_tell_the_label_is_named(catalog: Catalog) -> None:
    copied = catalog.frame.assign(copy=5 - 3.0 * catalog.frame["code"])
    lines = told(Catalog.of(copied), "code", "copy", "magnitude")
    assert [line.split()[1] for line in lines] == ["code", "copy"]


@pytest.mark.parametrize("gap", [np.nan, -999.0, -9999.0])
def test_a_column_without_numbers_is_not_the_number_to_be_predicted(
    catalog: Catalog, gap: float
) -> None:
    mass = np.arange(N, dtype=np.float64)[:, None]
    labels = Labels(catalog.ids, ("mass",), mass, "value")
    frame = catalog.frame.assign(empty=gap, one=gap, copy=mass[:, 0])
    frame.loc[3, "one"] = 3.0
    frame.loc[5:40, "copy"] = gap
    known = Catalog.of(frame)
    assert telling_columns(known, ["empty", "one", "magnitude"], labels, known.ids) == []
    lines = telling_columns(known, ["empty", "copy"], labels, known.ids)
    assert lines == ["column copy is the number to be predicted"]


def test_an_infinite_number_or_a_sentinel_is_missing_as_for_the_head(catalog: Catalog) -> None:
    frame = catalog.frame.assign(noise=np.where(np.arange(N) < 9, np.inf, 1.0), empty=-999.0)
    assert told(Catalog.of(frame), "noise", "empty", "magnitude") == []


@pytest.mark.parametrize("unit", [1e-60, 1e-26, 1e41, 1e300])
def test_a_copied_label_is_found_in_any_unit(catalog: Catalog, unit: float) -> None:
    frame = catalog.frame.assign(power=(catalog.frame["code"] + 1) * unit)
    assert the_one(told(Catalog.of(frame), "power")).startswith("column power tells the label")
