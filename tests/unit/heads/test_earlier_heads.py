"""Heads and a table that an earlier version wrote, kept as they are in `earlier/`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gzfeatures as gz

EARLIER = Path(__file__).parent / "earlier"
PROBABILITIES = json.loads((EARLIER / "probabilities.json").read_text("utf-8"))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_head_of_an_earlier_version_predicts_what_it_did(name: str) -> None:
    table = gz.EmbeddingTable.read(EARLIER / "table.parquet")
    predictions = gz.Head.read(EARLIER / f"{name}.skops").predict(table)
    np.testing.assert_allclose(predictions.probabilities, PROBABILITIES[name], atol=2e-5)


def test_written_again_it_has_the_names_of_this_version(tmp_path: Path) -> None:
    head = gz.Head.read(EARLIER / "perceptron.skops")
    again = gz.Head.read(head.write(tmp_path / "again.skops"))
    assert b"heads.pipelines" not in (tmp_path / "again.skops").read_bytes()
    table = gz.EmbeddingTable.read(EARLIER / "table.parquet")
    np.testing.assert_array_equal(
        again.predict(table).probabilities, head.predict(table).probabilities
    )
