"""Maps: reproducible, true to the table, placed, aligned, kept without pickle, and plain about bad
input."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

from gzfeatures.errors import InputError, MissingFileError, UnknownNameError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.view import View
from gzfeatures.maps import layout, map, quality
from gzfeatures.maps.umap import Map, project

EXTRACTOR = Extractor("resnet18", "resnet18", "w" * 64, "avgpool", 32, View())


def table_of(matrix: np.ndarray, prefix: str = "g", **changes: object) -> EmbeddingTable:
    ids = np.asarray([f"{prefix}{i}" for i in range(len(matrix))], dtype=object)
    extractor = Extractor(**{**vars(EXTRACTOR), "dim": matrix.shape[1], **changes})
    return EmbeddingTable(ids, ids, matrix.astype(np.float32), extractor)


def clumps(n: int = 300, k: int = 4, dim: int = 32, seed: int = 0) -> tuple[EmbeddingTable, Labels]:
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % k
    matrix = rng.normal(size=(k, dim))[codes] * 3 + rng.normal(size=(n, dim))
    table = table_of(matrix)
    return table, Labels(table.ids, tuple(f"class {i}" for i in range(k)), codes, scheme="four")


@pytest.fixture(scope="module")
def made() -> tuple[EmbeddingTable, Labels, Map]:
    table, labels = clumps()
    return table, labels, project(table, labels, stability_seeds=(1,))


def test_one_seed_gives_one_map_and_another_seed_another(
    made: tuple[EmbeddingTable, Labels, Map],
) -> None:
    table, labels, chart = made
    again = project(table, labels)
    np.testing.assert_array_equal(again.coordinates, chart.coordinates)
    assert not np.array_equal(project(table, seed=1).coordinates, chart.coordinates)


def test_two_runs_of_one_seed_write_the_same_bytes(
    made: tuple[EmbeddingTable, Labels, Map], tmp_path: Path
) -> None:
    table, labels, chart = made
    again = project(table, labels, stability_seeds=(1,))
    assert again.quality["seconds"] != chart.quality["seconds"]
    for number, each in enumerate((chart, again)):
        each.write(tmp_path / f"{number}.map.parquet")
        each.write_html(tmp_path / f"{number}.html", labels)
    for suffix in (".map.parquet", ".html"):
        assert (tmp_path / f"0{suffix}").read_bytes() == (tmp_path / f"1{suffix}").read_bytes()
    assert "seconds" not in Map.read(tmp_path / "0.map.parquet").quality


def test_functions_of_umap_are_stored_compiled_for_later_processes(
    made: tuple[EmbeddingTable, Labels, Map],
) -> None:
    from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    for function in (smooth_knn_dist, compute_membership_strengths):
        assert function.signatures and function.stats.cache_path is not None
        stored = Path(function.stats.cache_path).glob(f"*.{function.__name__}-*.nbc")
        assert list(stored)


def test_the_number_of_threads_does_not_change_a_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    graph = sparse.random(200, 200, 0.05, random_state=0, format="csr")
    start = rng.normal(size=(200, 2)).astype(np.float32)
    monkeypatch.setattr(layout, "SHARED_BEYOND", 0)
    found = []
    before = numba.get_num_threads()
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        found.append(layout.laid_out(graph + graph.T, start, 1.58, 0.9, epochs=20, seed=3))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*found)
    assert not np.array_equal(
        found[0], layout.laid_out(graph + graph.T, start, 1.58, 0.9, epochs=20, seed=4)
    )


def test_forces_are_umaps_at_every_distance() -> None:
    a, b = 1.577, 0.895
    square = np.random.default_rng(0).lognormal(0, 8, size=2000).astype(np.float32)
    place = square.view(np.uint32) >> layout.CUT
    pull, push = (force[place] for force in layout.forces(a, b))
    s = square.astype(np.float64)
    np.testing.assert_allclose(pull, -2 * a * b * s ** (b - 1) / (1 + a * s**b), rtol=0.02)
    np.testing.assert_allclose(push, 2 * b / ((0.001 + s) * (1 + a * s**b)), rtol=0.02)


def test_classes_that_are_apart_in_the_table_are_apart_on_the_map(
    made: tuple[EmbeddingTable, Labels, Map],
) -> None:
    _, labels, chart = made
    assert silhouette_score(chart.coordinates, labels.codes) > 0.7
    assert set(chart.quality["silhouette"]) == set(labels.classes)
    assert min(chart.quality["silhouette"].values()) > 0.6


def test_quality_is_that_of_the_definitions(made: tuple[EmbeddingTable, Labels, Map]) -> None:
    table, _, chart = made
    expected = trustworthiness(table.matrix.astype(np.float64), chart.coordinates, n_neighbors=15)
    assert chart.quality["trustworthiness"] == pytest.approx(expected, abs=1e-6)
    squares = ((table.matrix[:, None] - table.matrix[None]) ** 2).sum(-1)
    flat = ((chart.coordinates[:, None] - chart.coordinates[None]) ** 2).sum(-1)
    near, shown = (
        np.argsort(d + np.diag(np.full(len(d), np.inf)), axis=1)[:, :15] for d in (squares, flat)
    )
    kept = np.mean([len(np.intersect1d(a, b)) / 15 for a, b in zip(near, shown, strict=True)])
    assert chart.quality["knn_preservation"] == pytest.approx(kept, abs=2e-3)


def test_a_sample_of_galaxies_estimates_the_quality_of_all() -> None:
    table, _ = clumps(600)
    flat = table.matrix[:, :2]
    whole = quality.neighbourhoods(table.matrix, flat, sample=600)
    some = quality.neighbourhoods(table.matrix, flat, sample=200, seed=3)
    assert some["trustworthiness"] == pytest.approx(whole["trustworthiness"], abs=0.02)
    assert some["quality_sample"] == 200


def test_a_map_that_keeps_every_neighbour_is_perfect() -> None:
    line = np.arange(40, dtype=np.float32)[:, None] ** 1.5
    found = quality.neighbourhoods(line, np.hstack([line, 0 * line]))
    assert found["trustworthiness"] == 1.0 and found["knn_preservation"] == 1.0


def test_stability_compares_seeds(made: tuple[EmbeddingTable, Labels, Map]) -> None:
    chart = made[2]
    found = chart.quality["stability"]
    assert 0 <= found["disparity"] < 0.9 and 0.2 < found["knn_overlap"] <= 1
    same = quality.stability(chart.coordinates, [chart.coordinates[:, ::-1]])
    assert same["disparity"] == pytest.approx(0, abs=1e-6) and same["knn_overlap"] == pytest.approx(
        1, abs=1e-2
    )


def test_parquet_keeps_everything_and_no_pickle(
    made: tuple[EmbeddingTable, Labels, Map], tmp_path: Path
) -> None:
    chart = made[2]
    path = chart.write(tmp_path / "map.parquet")
    back = Map.read(path)
    np.testing.assert_array_equal(back.coordinates, chart.coordinates)
    np.testing.assert_array_equal(back.vectors, chart.vectors)
    np.testing.assert_array_equal(back.ids, chart.ids)
    assert (
        json.loads(json.dumps(chart.settings)) == back.settings
        and chart.lasting_quality == back.quality
    )
    stored = pq.read_table(path)
    assert stored.column_names == ["galaxy_id", "x", "y", "vector"]
    assert set(stored.schema.metadata) == {b"gzfeatures", b"gzfeatures_space"}
    assert (
        back.settings["seed"] == 0
        and back.settings["recall"] == 1.0
        and "umap-learn" in back.settings["versions"]
    )


def test_placed_galaxies_join_those_that_were_mapped() -> None:
    table, _ = clumps(80)
    chart = project(table.select(table.ids[:60]), epochs=30, n_neighbors=8)
    both = chart.joined(chart.place(table.select(table.ids[50:])))
    assert both.ids.tolist() == table.ids.tolist() and both.quality["far"] >= 0
    np.testing.assert_array_equal(both.coordinates[:60], chart.coordinates)
    cube = project(table, dimensions=3, epochs=5)
    with pytest.raises(
        InputError, match="maps cannot be joined; must have the same dimensions, found 3"
    ):
        chart.joined(cube)


def test_mapped_galaxies_are_placed_where_they_are(
    made: tuple[EmbeddingTable, Labels, Map], tmp_path: Path
) -> None:
    table, _, chart = made
    back = Map.read(chart.write(tmp_path / "map.parquet"))
    placed = back.place(table.select(table.ids[::7]))
    np.testing.assert_allclose(placed.coordinates, chart.coordinates[::7], atol=1e-5)
    assert placed.quality == {"far": 0.0}


def test_new_galaxies_land_in_their_own_class() -> None:
    table, labels = clumps(360)
    old, new = table.ids[:280], table.ids[280:]
    chart = project(table.select(old), n_neighbors=10)
    placed = chart.place(table.select(new))
    centres = np.stack([chart.coordinates[labels.codes[:280] == code].mean(0) for code in range(4)])
    nearest = np.linalg.norm(placed.coordinates[:, None] - centres[None], axis=-1).argmin(1)
    assert (nearest == labels.codes[280:]).mean() > 0.95
    assert placed.quality["far"] < 0.2
    stranger = table_of(table.matrix[:5] + 40, prefix="new")
    assert chart.place(stranger).quality["far"] == 1.0


def test_placing_refuses_another_extractor(made: tuple[EmbeddingTable, Labels, Map]) -> None:
    table, _, chart = made
    other = table_of(table.matrix, weights="x" * 64)
    with pytest.raises(InputError, match="different extractors; must be extractor"):
        chart.place(other)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    angle=st.floats(-3, 3), scale=st.floats(0.1, 10), flip=st.booleans(), shift=st.floats(-50, 50)
)
def test_a_turned_mirrored_scaled_shifted_map_is_laid_back(
    angle: float, scale: float, flip: bool, shift: float
) -> None:
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(30, 2)).astype(np.float32)
    ids = np.asarray([f"g{i}" for i in range(30)], dtype=object)
    space = FeatureSpace.fit(xy, components=None)
    one = Map(ids, xy, {}, {}, space, xy)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (xy @ turn * scale * ([-1, 1] if flip else [1, 1]) + shift).astype(np.float32)
    other = Map(ids[5:], moved[5:], {}, {}, space, xy[5:])
    back = other.aligned(one)
    np.testing.assert_allclose(back.coordinates, xy[5:], atol=1e-3)
    assert back.quality["disparity"] == pytest.approx(0, abs=1e-5) and back.quality["shared"] == 25


def test_a_page_holds_other_maps_laid_on_the_first(
    made: tuple[EmbeddingTable, Labels, Map], tmp_path: Path
) -> None:
    chart = made[2]
    turned = Map(
        chart.ids[10:],
        chart.coordinates[10:, ::-1] * 3 + 7,
        {},
        {},
        chart.feature_space,
        chart.vectors[10:],
    )
    text = chart.write_html(tmp_path / "map.html", others={"turned": turned}).read_text(
        encoding="utf-8"
    )
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    places = [
        np.frombuffer(base64.b64decode(one), "<f4").reshape(-1, 3)
        for one in (data["coordinates"], data["layouts"][0]["places"])
    ]
    np.testing.assert_allclose(places[1][10:], places[0][10:], atol=1e-4)
    assert (
        np.isnan(places[1][:10, :2]).all()
        and data["layouts"][0]["name"] == "turned (disparity 0.00)"
    )


def test_maps_that_share_nothing_are_not_aligned(made: tuple[EmbeddingTable, Labels, Map]) -> None:
    chart = made[2]
    few = chart.select(chart.ids[:2])
    with pytest.raises(InputError, match="share three galaxies"):
        few.aligned(chart)
    point = Map(chart.ids, chart.coordinates * 0, {}, {}, chart.feature_space, chart.vectors)
    with pytest.raises(InputError, match="have points that differ"):
        point.aligned(chart)


def test_labels_pull_a_supervised_map_together() -> None:
    rng = np.random.default_rng(0)
    table = table_of(rng.normal(size=(200, 16)))
    labels = Labels(
        table.ids[:150], ("a", "b"), np.arange(150) % 2
    )  # semi-supervised: 50 galaxies have no label
    plain = project(table, labels, epochs=100)
    taught = project(table, labels, supervised=True, epochs=100)
    apart = [silhouette_score(chart.coordinates[:150], labels.codes) for chart in (plain, taught)]
    assert apart[1] > apart[0] + 0.2
    assert taught.settings["supervised"] and not plain.settings["supervised"]


def test_a_cube_has_three_coordinates(tmp_path: Path) -> None:
    table, _ = clumps(80)
    chart = project(table, dimensions=3, epochs=30)
    assert chart.coordinates.shape == (80, 3)
    assert list(Map.read(chart.write(tmp_path / "cube.parquet")).frame.columns) == [
        "galaxy_id",
        "x",
        "y",
        "z",
    ]


def test_cosine_does_not_see_the_length_of_a_vector() -> None:
    table, labels = clumps(120)
    longer = np.random.default_rng(0).uniform(0.2, 5, size=(120, 1))
    stretched = table_of(table.matrix * longer)
    one, other = (project(t, metric="cosine", epochs=50) for t in (table, stretched))
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-4)
    assert silhouette_score(other.coordinates, labels.codes) > 0.5


def test_components_are_the_principal_ones() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 40)) + 100
    space = FeatureSpace.fit(matrix.astype(np.float32), components=3)
    vectors = space.vectors(matrix.astype(np.float32))
    assert space.kept == pytest.approx(1, abs=1e-5)
    cross = np.cov(vectors.T)
    assert np.allclose(cross - np.diag(np.diag(cross)), 0, atol=1e-3 * cross.max())
    assert (np.diff(np.diag(cross)) < 0).all()
    np.testing.assert_allclose(
        np.linalg.norm(vectors[0] - vectors[1]), np.linalg.norm(matrix[0] - matrix[1]), rtol=1e-4
    )
    assert FeatureSpace.fit(matrix.astype(np.float32), components=40).axes is None


def test_some_rows_of_a_large_table_stand_for_all() -> None:
    rng = np.random.default_rng(0)
    matrix = (
        rng.normal(size=(40_000, 3)) * [9, 5, 2] @ rng.normal(size=(3, 20))
        + rng.normal(size=(40_000, 20))
    ).astype(np.float32)
    space = FeatureSpace.fit(matrix, components=3)
    assert space.axes is not None
    _, _, axes = np.linalg.svd(matrix - matrix.mean(0), full_matrices=False)
    assert np.abs(np.sum(space.axes * axes[:3], axis=1)).min() > 0.999
    np.testing.assert_allclose(space.mean, matrix.mean(0), atol=1e-3)


def test_few_galaxies_of_long_vectors_have_the_same_components() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(30, 4)) @ rng.normal(size=(4, 200))).astype(np.float32)
    few, many = (
        FeatureSpace.fit(matrix, components=4),
        FeatureSpace.fit(np.tile(matrix, (10, 1)), components=4),
    )
    np.testing.assert_allclose(few.vectors(matrix), many.vectors(matrix), atol=2e-3)
    assert few.axes is not None and few.axes.shape == (4, 200)


@pytest.mark.parametrize("k", [1, 40])
def test_one_class_and_forty_classes(k: int, tmp_path: Path) -> None:
    table, labels = clumps(160, k=k)
    chart = project(table, labels, epochs=30)
    assert len(chart.quality["silhouette"]) == (0 if k == 1 else 40)
    assert chart.write_html(tmp_path / "map.html", labels).stat().st_size > 10_000


def test_labels_of_other_galaxies_are_left_aside_but_not_if_none_fit() -> None:
    table, labels = clumps(60)
    ids = np.concatenate(
        [labels.ids[:30], np.asarray([f"other{i}" for i in range(30)], dtype=object)]
    )
    chart = project(table, Labels(ids, labels.classes, labels.codes), n_neighbors=5, epochs=20)
    assert len(chart.quality["silhouette"]) == 4
    with pytest.raises(
        InputError, match="no galaxy of the table has a label; must share ids with the table"
    ):
        project(table, Labels(ids[30:], labels.classes, labels.codes[:30]), n_neighbors=5)


def test_copies_of_a_galaxy_do_not_break_a_map() -> None:
    table, _ = clumps(60)
    matrix = np.concatenate([table.matrix, np.repeat(table.matrix[:1], 30, axis=0)])
    assert np.isfinite(project(table_of(matrix), n_neighbors=8, epochs=30).coordinates).all()


def test_a_table_on_a_line_does_not_break_a_map() -> None:
    line = np.linspace(0, 1, 50)[:, None] * np.ones((1, 8))
    assert np.isfinite(project(table_of(line), n_neighbors=5, epochs=30).coordinates).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"n_neighbors": 60},
            r"n_neighbors; must lie in 2…59 for 60 galaxies, found 60; set it lower",
        ),
        ({"n_neighbors": 1}, "n_neighbors; must lie in 2…59"),
        ({"dimensions": 4}, "dimensions of a map; must be 2 or 3, found 4"),
        ({"min_dist": -1.0}, r"min_dist; must lie in \[0, 1\]"),
        ({"epochs": 0}, "epochs of a map; must be at least 1"),
        ({"components": 0}, "principal components; must be at least 1"),
        ({"supervised": True}, "a supervised map; must have labels"),
    ],
)
def test_settings_outside_their_range_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        project(clumps(60)[0], **changes)


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown metric; must be one of euclidean, cosine, found cosin"
    ):
        project(clumps(60)[0], metric="cosin")


def test_a_constant_table_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="embeddings are all equal; must differ between galaxies"):
        project(table_of(np.ones((30, 8))))


def test_a_vector_without_direction_is_refused_under_cosine() -> None:
    matrix = clumps(30)[0].matrix.copy()
    matrix[7] = 0
    with pytest.raises(InputError, match="row 7: embedding has no direction"):
        project(table_of(matrix), metric="cosine")


def test_vectors_of_another_length_are_refused() -> None:
    space = FeatureSpace.fit(clumps(30)[0].matrix)
    with pytest.raises(InputError, match="must have 32 dimensions, found 5"):
        space.vectors(np.zeros((2, 5), dtype=np.float32))
    with pytest.raises(InputError, match="principal axes; must have length 32"):
        FeatureSpace("euclidean", space.mean, np.zeros((2, 5), dtype=np.float32))


def test_a_map_proves_its_shape() -> None:
    xy = np.zeros((3, 2), dtype=np.float32)
    ids = np.asarray(["a", "b", "c"], dtype=object)
    space = FeatureSpace("euclidean", xy[0], None)
    with pytest.raises(InputError, match="duplicate ids"):
        Map(np.asarray(["a", "a", "b"], dtype=object), xy, {}, {}, space, xy)
    with pytest.raises(InputError, match="have 3 rows of two or three coordinates"):
        Map(ids, xy[:2], {}, {}, space, xy)
    with pytest.raises(InputError, match="coordinate of a map; must be finite"):
        Map(ids, xy + np.nan, {}, {}, space, xy)
    with pytest.raises(InputError, match="of 1 ids are not there"):
        Map(ids, xy, {}, {}, space, xy).select(np.asarray(["z"], dtype=object))


def test_files_that_are_no_maps_are_refused(
    made: tuple[EmbeddingTable, Labels, Map], tmp_path: Path
) -> None:
    with pytest.raises(MissingFileError, match="map not found"):
        Map.read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("x")
    table, _, chart = made
    for path in (tmp_path / "text.parquet", table.write(tmp_path / "table.parquet")):
        with pytest.raises(InputError, match="not a map; must be a Parquet file written by"):
            Map.read(path)
    newer = chart.write(tmp_path / "newer.parquet")
    stored = pq.read_table(newer)
    note = json.loads(stored.schema.metadata[b"gzfeatures"]) | {"format": map.FORMAT + 1}
    changed = stored.schema.metadata | {b"gzfeatures": json.dumps(note).encode()}
    pq.write_table(stored.replace_schema_metadata(changed), newer)
    with pytest.raises(InputError, match="map format is newer"):
        Map.read(newer)


def test_a_map_leaves_the_threads_of_other_libraries_as_they_were() -> None:
    program = """
import numpy, torch
from gzfeatures.features.table import EmbeddingTable, Extractor
from gzfeatures.images.view import View
from gzfeatures.maps.umap import project
ids = numpy.array([f"g{i}" for i in range(4200)], dtype=object)
matrix = numpy.random.default_rng(0).normal(size=(4200, 4)).astype("float32")
before = torch.get_num_threads()
extractor = Extractor("synthetic", "none", "none", "none", 4, View())
project(EmbeddingTable(ids, ids, matrix, extractor), epochs=2)
print(before, torch.get_num_threads())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "1"]


def test_a_vector_without_direction_is_named_by_its_row_in_the_table() -> None:
    matrix = np.ones((9001, 2), dtype=np.float32)
    matrix[:, 0] = np.arange(9001)
    space = FeatureSpace.fit(matrix, metric="cosine", components=None)
    matrix[9000] = 0
    with pytest.raises(InputError, match="row 9000: embedding has no direction"):
        space.vectors(matrix)
