"""Every two encoders of a run: which are compared, by which galaxies, and under which names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from reports import labelled, report
from tables_of import table_of

from gzfeatures.explore.encoder_pairs import EncoderPair, encoder_pairs
from gzfeatures.ids import as_ids
from gzfeatures.report import drawings
from gzfeatures.report.report import Report

NAMES = as_ids([f"g{k}" for k in range(90)])
LABELS = labelled(90, classes=("a", "b", "c"), ids=list(NAMES))


def _written(folder: Path, stem: str, matrix: np.ndarray, backbone: str, weights: str) -> Path:
    table = table_of(matrix, ids=list(NAMES))
    extractor = dataclasses.replace(table.extractor, backbone=backbone, weights=weights)
    return dataclasses.replace(table, extractor=extractor).write(folder / f"{stem}.parquet")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncoderPair, ...]:
    folder = tmp_path_factory.mktemp("tables")
    draw = np.random.default_rng(0)
    alike = draw.normal(size=(90, 6))
    # the last encoder sees class c, which the others do not
    sharp = alike.copy()
    sharp[2::3, 0] += 20
    tables = [
        _written(folder, "00-x", alike, "x", "random:0"),
        _written(folder, "again", alike, "x", "random:0"),
        _written(folder, "01-x", 2 * alike, "x", "random:1"),
        _written(folder, "02-y", sharp, "<y>", "random:2"),
    ]
    return encoder_pairs(tables, LABELS, NAMES[:75])


def test_each_two_different_extractors_are_compared_once_by_the_galaxies_given(
    pairs: tuple[EncoderPair, ...],
) -> None:
    assert [(pair.one, pair.other) for pair in pairs] == [
        ("x (00-x)", "x (01-x)"),
        ("x (00-x)", "<y>"),
        ("x (01-x)", "<y>"),
    ]
    assert {pair.similarity.rows for pair in pairs} == {75}
    assert pairs[0].similarity.neighbour_overlap == 1 and not pairs[0].different
    assert pairs[1].different[0].name == "c" and pairs[1].different[0].difference > 0.3


def test_one_encoder_or_a_handful_of_galaxies_is_not_compared(tmp_path: Path) -> None:
    table = _written(tmp_path, "t", np.eye(90), "x", "random:0")
    other = _written(tmp_path, "u", np.eye(90), "y", "random:1")
    assert encoder_pairs([table], LABELS, NAMES) == ()
    assert encoder_pairs([table, other], LABELS, NAMES[:20]) == ()


def test_the_report_shows_every_pair_as_text_and_as_json(
    pairs: tuple[EncoderPair, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # figures take seconds, and show no encoders
    monkeypatch.setattr(drawings, "draw", lambda report: {})
    made: Report = dataclasses.replace(report(), encoders=pairs)
    page = made.write(tmp_path).read_text()
    assert "Encoders side by side" in page and "&lt;y&gt;" in page and "<y>" not in page
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["encoders"][1]["classes"][0]["class"] == "c"
    assert "Encoders side by side" not in report().write(tmp_path / "none").read_text()
