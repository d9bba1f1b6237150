"""How alike two encoders arrange galaxies: known answers, and no answer for tables without galaxies
in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables_of import table_of
from verbs import gz

from gzfeatures.errors import InputError
from gzfeatures.explore import table_similarity
from gzfeatures.explore.table_similarity import compare_tables, linear_cka, neighbour_overlap

POINTS = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)


def test_a_turned_and_scaled_table_is_the_same_and_an_unrelated_one_is_not() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0].astype(np.float32)
    turned, other = 3 * POINTS @ turn + 5, np.random.default_rng(2).normal(size=(200, 8))
    assert neighbour_overlap(POINTS, turned) == 1
    assert linear_cka(POINTS, turned) == pytest.approx(1, abs=1e-5)
    unrelated = other.astype(np.float32)
    assert neighbour_overlap(POINTS, unrelated) == pytest.approx(10 / 199, abs=0.03)
    assert abs(linear_cka(POINTS, unrelated)) < 0.05


def test_alignment_of_few_galaxies_and_long_vectors_is_not_one_by_chance() -> None:
    draw = np.random.default_rng(3)
    tables = [draw.normal(size=(20, 500)).astype(np.float32) for _ in range(2)]
    plain = [table - table.mean(0) for table in tables]
    kernels = [table @ table.T for table in plain]
    biased = (kernels[0] * kernels[1]).sum() / np.prod([np.linalg.norm(k) for k in kernels])
    assert biased > 0.9
    assert abs(linear_cka(*tables)) < 0.3


def test_a_galaxy_with_copies_is_not_its_own_neighbour() -> None:
    copied = np.repeat(POINTS[:5], 4, axis=0)
    assert neighbour_overlap(copied, 2 * copied, k=3) == 1


def test_galaxies_are_matched_by_id_and_drawn_alike_for_every_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"g{k}" for k in range(200)]
    one = table_of(POINTS, ids=names)
    order = np.random.default_rng(4).permutation(200)
    other = table_of(2 * POINTS[order], ids=[names[k] for k in order])
    found = compare_tables(one, other)
    assert (found.rows, found.neighbour_overlap) == (200, 1) and found.cka > 0.999
    monkeypatch.setattr(table_similarity, "MOST_ROWS", 60)
    drawn = compare_tables(one, other)
    assert (drawn.rows, drawn.shared, drawn.neighbour_overlap) == (60, 200, 1)
    with pytest.raises(InputError, match="be more than 10, found 0"):
        compare_tables(one, table_of(POINTS, ids=[f"h{k}" for k in range(200)]))
    with pytest.raises(InputError, match="have vectors that differ"):
        compare_tables(one, table_of(np.ones_like(POINTS), ids=names))


def test_the_verb_compares_two_tables(tmp_path: Path) -> None:
    paths = [
        table_of(factor * POINTS).write(tmp_path / f"{factor}.parquet") for factor in (1.0, 2.0)
    ]
    told = gz("table", "compare", *paths, "--neighbours", 5)
    assert (told["rows"], told["neighbour_overlap"]) == (200, 1)
    assert told["chance"] == pytest.approx(5 / 199)
