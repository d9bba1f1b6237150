"""How alike two encoders arrange galaxies: known answers, and no answer for tables without galaxies
in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables_of import table_of
from verbs import gz

from gzfeatures.errors import InputError
from gzfeatures.explore import table_similarity
from gzfeatures.explore.class_differences import class_differences
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.explore.table_similarity import compare_tables, linear_cka, neighbour_overlap
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import as_ids
from gzfeatures.maps import side_by_side
from gzfeatures.maps.map import Map

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


def test_the_class_that_one_encoder_mixes_up_comes_first_and_the_other_is_the_same() -> None:
    draw = np.random.default_rng(5)
    names = as_ids([f"g{k}" for k in range(200)])
    labels = Labels(names, ("spiral", "round", "rare"), np.repeat([0, 1, 2], [96, 96, 8]))
    together = draw.normal(size=(200, 6))
    together[:96, 0] += 8
    apart = together.copy()
    # the second encoder scatters half of the round galaxies among the spirals
    apart[96:144, 0] += 8
    rows = class_differences(table_of(together, ids=names), table_of(apart, ids=names), labels)
    assert rows[0].name == "round" and rows[0].differs
    assert rows[0].difference < -0.2 and rows[0].interval is not None
    assert rows[0].difference == pytest.approx(rows[0].other - rows[0].one)
    rare = next(row for row in rows if row.name == "rare")
    assert rare.interval is None and not rare.differs
    double = table_of(2 * together, ids=names)
    same = class_differences(table_of(together, ids=names), double, labels)
    assert all(row.difference == 0 and row.overlap == 1 for row in same)


def test_classes_of_equal_encoders_differ_in_one_family_of_ten_at_most() -> None:
    wrong = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        names = as_ids([f"g{k}" for k in range(240)])
        codes = draw.integers(0, 4, 240)
        labels = Labels(names, tuple("abcd"), codes)
        centres = draw.normal(size=(4, 5))
        tables = [
            table_of(centres[codes] + draw.normal(size=(240, 5)), ids=names) for _ in range(2)
        ]
        wrong += any(row.differs for row in class_differences(*tables, labels))
    # 10 % of 60 families are 6; 12 or more would have a chance below 1 in 100
    assert wrong < 12, wrong


def test_labels_that_are_no_classes_are_refused_for_differences() -> None:
    names = as_ids(["a", "b"])
    numbers = Labels(names, ("z",), np.array([[0.1], [0.2]]), target="value")
    table = table_of(POINTS[:2], ids=names)
    with pytest.raises(InputError, match="be classes, found value"):
        class_differences(table, table, numbers)


def test_the_verb_names_classes_and_draws_both_maps_the_second_turned_onto_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def project(table: EmbeddingTable, **options: object) -> Map:
        # a map that is the vectors themselves: no UMAP, whose own scatter would hide the alignment
        settings = {"extractor": table.extractor.fingerprint, "n_neighbors": 15, "reach": 1.0}
        space = FeatureSpace.fit(table.matrix)
        return Map(table.ids, table.matrix, settings, {}, space, space.vectors(table.matrix))

    drawn: dict[str, Map] = {}
    draw = side_by_side.write_figure

    def write_figure(path: Path, maps: dict[str, Map], **options: Any) -> Path:
        drawn.update(maps)
        return draw(path, maps, **options)

    monkeypatch.setattr(side_by_side, "project", project)
    monkeypatch.setattr(side_by_side, "write_figure", write_figure)
    turn = np.array([[0.0, 2.0], [-2.0, 0.0]])
    paths = [
        table_of(matrix).write(tmp_path / f"{name}.parquet")
        for name, matrix in (("one", POINTS[:80, :2]), ("other", POINTS[:80, :2] @ turn + 7))
    ]
    labels = tmp_path / "labels.csv"
    labels.write_text("galaxy_id,label\n" + "".join(f"g{k:04d},{'ab'[k % 2]}\n" for k in range(80)))
    figure = tmp_path / "maps.png"
    told = gz("table", "compare", *paths, "--labels", labels, "--figure", figure)
    assert {row["class"] for row in told["classes"]} == {"a", "b"}
    assert told["map_disparity"] == pytest.approx(0, abs=1e-6)
    assert figure.read_bytes().startswith(b"\x89PNG")
    # a map that resembles the other little is no dot beside it
    unrelated = np.random.default_rng(9).normal(size=(80, 2))
    disparity = side_by_side.write_side_by_side(
        table_of(POINTS[:80, :2]), table_of(unrelated), tmp_path / "unlike.png"
    )
    spreads = [np.linalg.norm(chart.coordinates.std(0)) for chart in drawn.values()]
    assert disparity > 0.8 and spreads[0] == pytest.approx(spreads[1], rel=1e-4)


def test_a_table_far_from_zero_has_the_same_neighbours() -> None:
    near = np.random.default_rng(0).normal(size=(300, 512)).astype(np.float32)
    assert neighbour_overlap(near, near + np.float32(1000)) > 0.99
