"""Galaxies to label next are uncertain, unlabelled and unlike each other."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.view import View
from gzfeatures.teaching.queries import query_next

CLASSES = ("edge-on", "round", "spiral")


def survey(n: int) -> tuple[EmbeddingTable, Labels]:
    rng = np.random.default_rng(0)
    codes = rng.choice(3, n)
    ids = np.asarray([f"g{i}" for i in range(n)], dtype=object)
    extractor = Extractor("resnet18", "resnet18", "w" * 64, "avgpool", 20, View())
    matrix = rng.normal(size=(n, 20)).astype(np.float32)
    return EmbeddingTable(ids, ids, matrix, extractor), Labels(ids, CLASSES, codes)


def test_proposals_are_uncertain_open_and_unlike_each_other() -> None:
    table, labels = survey(400)
    known = labels.select(labels.ids[:100])
    p = np.full((400, 3), 0.05)
    p[:, 0] = 0.9
    p[200:240] = [0.5, 0.5, 0.0]
    matrix = table.matrix.copy()
    matrix[200:230] = (
        matrix[200] + np.random.default_rng(0).normal(size=(30, 20)) * 1e-3
    )  # thirty times one galaxy
    table = EmbeddingTable(table.ids, table.ids, matrix, table.extractor)
    found = query_next(Predictions(table.ids, p, CLASSES), table, 10, labels=known, pool=4)
    rows = [int(name[1:]) for name in found["galaxy_id"]]
    assert all(200 <= row < 240 for row in rows)
    assert sum(row < 230 for row in rows) == 1
    assert found["rank"].tolist() == list(range(1, 11)) and (found["margin"] == 0).all()
    plain = query_next(Predictions(table.ids, p, CLASSES), table, 5, pool=1)
    assert plain["galaxy_id"].tolist() == [f"g{i}" for i in range(200, 205)]


def test_proposals_refuse_empty_wishes() -> None:
    table, labels = survey(50)
    p = Predictions(table.ids, np.full((50, 3), 1 / 3), CLASSES)
    with pytest.raises(InputError, match="galaxies to label next; must be at least 1"):
        query_next(p, table, 0)
    with pytest.raises(InputError, match="include one without a label"):
        query_next(p, table, labels=labels)
    with pytest.raises(InputError, match="have at least two classes"):
        query_next(Predictions(table.ids, np.ones((50, 1)), ("a",)), table)
    with pytest.raises(InputError, match="ids are not there"):
        query_next(p, table.select(table.ids[:10]))


@pytest.mark.parametrize("kind", ["fractions", "multi-label"])
def test_answers_to_different_questions_have_no_margin(kind: str) -> None:
    table, _ = survey(50)
    p = np.random.default_rng(0).random((50, 3))
    with pytest.raises(InputError, match=f"must give each galaxy one class, found {kind}"):
        query_next(Predictions(table.ids, p, CLASSES, kind=kind), table, 5)
