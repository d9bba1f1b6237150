"""Duplicates: planted pairs are found, and by chance about as many as are allowed."""

from __future__ import annotations

import numpy as np
import pytest
import tables_of

from gzfeatures.errors import InputError
from gzfeatures.explore.duplicates import duplicates
from gzfeatures.explore.neighbours import nearest
from gzfeatures.features.table import EmbeddingTable


def table_of(matrix: np.ndarray, digests: np.ndarray | None = None) -> EmbeddingTable:
    return tables_of.table_of(matrix, digests, [f"g{i}" for i in range(len(matrix))])


def cloud(n: int = 400, dim: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize("dim", [4, 12, 40])
def test_planted_duplicates_are_found_in_flat_and_in_deep_tables(dim: int) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(1000, dim)) @ rng.normal(size=(dim, 64))
    planted = rng.permutation(1000)[:100].reshape(50, 2)
    near = nearest(matrix.astype(np.float32), None, 1).distances.mean()
    matrix[planted[:, 1]] = (
        matrix[planted[:, 0]] + rng.normal(size=(50, 64)) * 0.1 * near / 8
    )  # noisier
    found = duplicates(table_of(matrix))
    truth = {frozenset((f"g{a}", f"g{b}")) for a, b in planted}
    pairs = {frozenset(pair) for pair in zip(found["galaxy_id"], found["twin"], strict=True)}
    assert len(truth & pairs) / len(truth) >= 0.9
    assert len(truth & pairs) / len(pairs) >= 0.9
    assert (
        0.5 * dim < found.attrs["dimension"] < 1.3 * dim
    )  # deep tables look flatter than they are


def test_about_as_many_pairs_as_allowed_pass_by_chance() -> None:
    counts = [
        len(duplicates(table_of(cloud(500, dim=6, seed=seed)), chance=10)) for seed in range(8)
    ]
    assert 2 < np.mean(counts) < 20


def test_copies_of_bytes_are_twins_whatever_their_vectors_and_sets_share_a_group() -> None:
    matrix = cloud(60)
    digests = np.asarray([f"d{i}" for i in range(60)], dtype=object)
    digests[[3, 8, 40]] = "same"
    found = duplicates(table_of(matrix, digests))
    assert found["same_image"].all() and len(found) == 2 and found["group"].tolist() == [0, 0]
    assert set(found["galaxy_id"]) | set(found["twin"]) == {"g3", "g8", "g40"}


def test_a_table_without_twins_gives_none() -> None:
    assert len(duplicates(table_of(cloud(200, dim=40)))) == 0
    with pytest.raises(
        InputError, match=r"chance and scale of twins; must be > 0 and at least 3, found \(0, 10\)"
    ):
        duplicates(table_of(cloud()), chance=0)


def test_rows_whose_image_is_not_known_are_no_copies_of_each_other() -> None:
    digests = np.full(200, "0" * 64, dtype=object)
    digests[[3, 90, 150]] = "a" * 64
    found = duplicates(table_of(cloud(200, dim=40), digests))
    pairs = set(zip(found["galaxy_id"], found["twin"], strict=True))
    assert pairs == {("g3", "g90"), ("g90", "g150")}
    assert found["same_image"].all() and found["group"].tolist() == [0, 0]
    matrix = cloud(200, dim=40)
    matrix[7] = matrix[8]
    twins = duplicates(table_of(matrix, np.full(200, "0" * 64, dtype=object)))
    assert len(twins) == 1 and not twins["same_image"].any()


def test_duplicates_are_the_same_pairs_by_graph_and_by_every_distance() -> None:
    rng = np.random.default_rng(0)
    points = (cloud(3000, 10) @ rng.normal(size=(10, 160))).astype(np.float32)
    points[:50] = points[50:100] + 1e-3 * rng.normal(size=(50, 160)).astype(np.float32)
    exact, found = (duplicates(table_of(points), exact_up_to=n) for n in (5000, 0))
    pairs = [set(zip(frame["galaxy_id"], frame["twin"], strict=True)) for frame in (exact, found)]
    assert pairs[0] == pairs[1] and len(pairs[0]) >= 50


def test_duplicates_along_the_graph_find_planted_copies_clumps_and_twins() -> None:
    rng = np.random.default_rng(3)
    points = (cloud(4000, 10, seed=3) @ rng.normal(size=(10, 160))).astype(np.float32)
    points[:30] = points[30:60]
    points[100:108] = points[100] + 1e-3 * rng.normal(size=(8, 160)).astype(np.float32)
    points[200:230] = points[230:260] + 1e-3 * rng.normal(size=(30, 160)).astype(np.float32)
    # order rows at random, so that planted ones do not follow each other
    order = rng.permutation(4000)
    exact, found = (duplicates(table_of(points[order]), exact_up_to=n) for n in (5000, 0))
    pairs = [set(zip(frame["galaxy_id"], frame["twin"], strict=True)) for frame in (exact, found)]
    assert pairs[0] == pairs[1] and len(pairs[0]) >= 30 + 28 + 30
    np.testing.assert_allclose(found["distance"], exact["distance"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("share", "copies"), [(0.4, 2), (0.8, 2), (0.9, 3)])
def test_copies_are_found_where_most_galaxies_have_several(share: float, copies: int) -> None:
    rng = np.random.default_rng(5)
    base = cloud(500, dim=10)
    many = int(share * len(base))
    noisy = [base[:many] + 2e-3 * rng.normal(size=(many, 10)) for _ in range(copies)]
    found = duplicates(table_of(np.vstack([base, *noisy]).astype(np.float32)))
    assert 5 < found.attrs["dimension"] < 13  # that of the galaxies, not of the noise of copies
    # every copy, and nothing else, is in a group with its galaxy
    members = np.unique(np.concatenate([found["galaxy_id"], found["twin"]]))
    groups = found["group"].nunique()
    assert len(members) == many * (copies + 1) and groups == many
