"""Neighbours: exact or of stated recall, never oneself; odd galaxies, and pages that show them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tables_of
from PIL import Image

from gzfeatures.errors import InputError, MissingFileError, UnknownNameError
from gzfeatures.explore.anomalies import MEASURES, anomalies
from gzfeatures.explore.neighbours import nearest, similar
from gzfeatures.explore.prototypes import prototypes
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.figures.gallery import Gallery, Picture, tiles
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.view import View

HOSTILE = '<img src=x onerror=alert(1)>"&'


def table_of(matrix: np.ndarray) -> EmbeddingTable:
    return tables_of.table_of(matrix, ids=[f"g{i}" for i in range(len(matrix))])


def cloud(n: int = 400, dim: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def test_nearest_is_exact() -> None:
    points = cloud()
    truth = np.argsort(
        ((points[:, None] - points[None]) ** 2).sum(-1) + np.diag(np.full(400, np.inf)), axis=1
    )[:, :7]
    found = nearest(points, None, 7)
    np.testing.assert_array_equal(found.rows, truth)
    np.testing.assert_allclose(
        found.distances[:, 0], np.linalg.norm(points - points[truth[:, 0]], axis=1), rtol=1e-5
    )
    assert found.recall == 1.0


def test_nobody_is_their_own_neighbour_even_among_copies() -> None:
    points = np.repeat(cloud(10), 6, axis=0)
    found = nearest(points, None, 4)
    assert (found.rows != np.arange(60)[:, None]).all()
    assert (found.rows // 6 == (np.arange(60) // 6)[:, None]).all()


def test_the_approximate_index_states_its_recall() -> None:
    points = cloud(4000)
    found = nearest(points, None, 10, exact_up_to=1000)
    exact = nearest(points, None, 10)
    hits = np.mean(
        [len(np.intersect1d(a, b)) / 10 for a, b in zip(found.rows, exact.rows, strict=True)]
    )
    assert found.recall == pytest.approx(hits, abs=0.03) and 0.9 < found.recall < 1
    assert (found.rows != np.arange(4000)[:, None]).all()
    same = nearest(
        points[:, :6], points[:50, :6], 3, exact_up_to=1000
    )  # queries that are in the reference
    np.testing.assert_array_equal(same.rows[:, 0], np.arange(50))


def test_the_approximate_index_looks_further_where_cells_are_small() -> None:
    rng = np.random.default_rng(0)
    points = (
        1000 * rng.normal(size=(400, 8)).repeat(5, axis=0) + rng.normal(size=(2000, 8))
    ).astype(np.float32)
    found = nearest(points, None, 400, exact_up_to=0)
    assert found.rows.min() >= 0 and all(len(set(row)) == 400 for row in found.rows[::100])
    twice = nearest(points, None, 400, exact_up_to=0)
    np.testing.assert_array_equal(found.rows, twice.rows)


@pytest.mark.parametrize("k", [0, 400])
def test_more_neighbours_than_galaxies_are_refused(k: int) -> None:
    with pytest.raises(
        InputError, match=r"number of neighbours; must lie in 1…399 for 400 galaxies"
    ):
        nearest(cloud(), None, k)


def test_similar_names_the_nearest_and_not_the_galaxy_itself() -> None:
    matrix = cloud()
    matrix[5], matrix[6] = matrix[0] + 0.01, matrix[0] + 0.02
    found = similar(table_of(matrix), ["g0", "g9"], 3)
    assert found.columns.tolist() == ["galaxy_id", "query", "rank", "distance"]
    mine = found[found["query"] == "g0"]
    assert mine["galaxy_id"].tolist()[:2] == ["g5", "g6"] and mine["rank"].tolist() == [1, 2, 3]
    assert "g9" not in found[found["query"] == "g9"]["galaxy_id"].tolist()
    assert found.attrs["recall"] == 1.0


def test_similar_by_direction_does_not_see_length() -> None:
    matrix = cloud()
    matrix[5] = matrix[0] * 9
    assert similar(table_of(matrix), ["g0"], 1, metric="cosine")["galaxy_id"][0] == "g5"
    assert similar(table_of(matrix), ["g0"], 1)["galaxy_id"][0] != "g5"


def test_similar_refuses_unknown_ids_and_too_many_neighbours() -> None:
    with pytest.raises(InputError, match="embedding table: 1 of 1 ids are not there, found nobody"):
        similar(table_of(cloud()), ["nobody"])
    with pytest.raises(InputError, match="number of neighbours; must lie in 1…399"):
        similar(table_of(cloud()), ["g0"], 400)


def test_planted_strangers_are_the_oddest() -> None:
    matrix = cloud(500)
    matrix[[7, 70, 370]] += 8
    found = anomalies(table_of(matrix))
    assert set(found["galaxy_id"][:3]) == {"g7", "g70", "g370"}
    assert found["rank"].tolist() == list(range(1, 501)) and found["score"].is_monotonic_decreasing
    assert {"galaxy_id", "score", *MEASURES} <= set(found.columns)
    again = anomalies(table_of(matrix))
    assert found.equals(again)


def test_the_outlier_factor_is_that_of_scikit_learn() -> None:
    from sklearn.neighbors import LocalOutlierFactor

    matrix = cloud(300)
    expected = -LocalOutlierFactor(n_neighbors=15).fit(matrix).negative_outlier_factor_
    found = (
        anomalies(table_of(matrix), components=None)
        .set_index("galaxy_id")
        .loc[[f"g{i}" for i in range(300)]]
    )
    np.testing.assert_allclose(found["outlier_factor"], expected, rtol=1e-4)


def test_copies_leave_the_measures_finite() -> None:
    found = anomalies(table_of(np.concatenate([cloud(50), np.zeros((30, 24))])))
    assert np.isfinite(found[list(MEASURES)].to_numpy()).all()


def test_prototypes_are_central_members_of_their_class() -> None:
    matrix = cloud(90)
    matrix[30:60] += 6
    matrix[5], matrix[35] = np.median(matrix[:30], axis=0), np.median(matrix[30:60], axis=0)
    table = table_of(matrix)
    labels = Labels(table.ids[:61], ("round", "spiral", "rare"), np.repeat([0, 1, 2], [30, 30, 1]))
    found = prototypes(table, labels, 3)
    assert found["class"].tolist() == ["round"] * 3 + ["spiral"] * 3 + ["rare"]
    assert found.groupby("class")["galaxy_id"].first().to_dict() == {
        "round": "g5",
        "spiral": "g35",
        "rare": "g60",
    }
    with pytest.raises(InputError, match="prototypes per class; must be at least 1"):
        prototypes(table, labels, 0)
    with pytest.raises(InputError, match="no galaxy has a label and a vector"):
        prototypes(table, Labels(np.asarray(["x"], dtype=object), ("a",), np.array([0])))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 255, 0))):
        Image.new("RGB", (32, 32), colour).save(root / f"{name}.png")
    (root / "broken.png").write_bytes(b"x")
    return root


SECTIONS = {
    "like <b>a</b>": [("a", "asked"), ("b", "1.5"), ("a", "again")],
    "odd": [(HOSTILE, "x"), ("broken", "\n\x07")],
}


def showcase(folder: Path, title: str = "Galaxies") -> Gallery:
    return Gallery(
        title,
        "",
        {heading: tiles(folder, shown, View(size=64)) for heading, shown in SECTIONS.items()},
        side=64,
    )


def test_a_showcase_page_is_text_and_pictures_only(folder: Path, tmp_path: Path) -> None:
    text = showcase(folder, "</title><b>").write(tmp_path / "s.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 3 and text.count("no image") == 2
    assert "<img src=x" not in text and "&lt;img src=x onerror=alert(1)&gt;&#34;&amp;" in text
    assert "&lt;/title&gt;&lt;b&gt;" in text and "like &lt;b&gt;a&lt;/b&gt;" in text
    assert "default-src 'none'" in text and not re.search(r"https?:", text)


def test_a_showcase_sheet_shows_each_galaxy_in_its_place(folder: Path, tmp_path: Path) -> None:
    with Image.open(showcase(folder).write(tmp_path / "s.png", columns=3)) as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (2 * 30 + 2 * (64 + 30) + 6, 3 * 70 + 6, 3)
    assert sheet[62, 38].tolist() == [255, 0, 0] and sheet[62, 108].tolist() == [0, 255, 0]
    assert sheet[62, 178].tolist() == [255, 0, 0] and sheet[186, 38].tolist() == [0, 0, 0]


def test_a_wide_picture_keeps_its_shape_and_pushes_the_next_one_down(tmp_path: Path) -> None:
    wide, square = Image.new("RGB", (60, 20), (0, 0, 255)), Image.new("RGB", (20, 20), (255, 0, 0))
    shown = Gallery("", "", {"h": [Picture("w", "", wide), Picture("s", "", square)]}, side=64)
    with Image.open(shown.write(tmp_path / "s.png", columns=3)) as opened:
        sheet = np.asarray(opened)
    assert sheet[62, 10].tolist() == sheet[62, 190].tolist() == [0, 0, 255]
    assert sheet[62 + 94, 38].tolist() == [255, 0, 0]


def test_a_showcase_refuses_what_it_cannot_show(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"showcase; must end in .html or .png, found .gif"):
        showcase(folder).write(tmp_path / "s.gif")
    with pytest.raises(InputError, match="nothing: showcase; must have a picture to show"):
        Gallery("nothing", "", {"none": []})
    with pytest.raises(MissingFileError, match="not found"):
        showcase(tmp_path / "nowhere")


@pytest.mark.parametrize("dim", [24, 200])
def test_the_graph_finds_copies_and_clumps_and_is_the_same_twice(dim: int) -> None:
    rng = np.random.default_rng(0)
    points = (cloud(3000, 12) @ rng.normal(size=(12, dim))).astype(np.float32)
    points[:40] = points[0]
    points[100:140] = points[100] + 1e-3 * rng.normal(size=(40, dim)).astype(np.float32)
    found, twice = (nearest(points, None, 10, exact_up_to=0) for _ in range(2))
    exact = nearest(points, None, 10)
    assert (found.rows[:40] < 40).all() and not found.distances[:40].any()
    assert ((found.rows[100:140] >= 100) & (found.rows[100:140] < 140)).all()
    assert np.mean(found.distances <= exact.distances[:, -1:] * (1 + 1e-6)) > 0.98
    np.testing.assert_array_equal(found.rows, twice.rows)


def test_embeddings_that_few_directions_do_not_hold_are_compared_whole() -> None:
    points = cloud(1500, 300)  # equal variance along every axis: 128 components hold under half
    assert nearest(points, None, 5, exact_up_to=0).recall > 0.9


def test_exact_neighbours_are_exact_where_single_precision_rounds_them_away() -> None:
    points = cloud(600, 8)
    points[300:] += 1e4  # two far clumps: a product of single numbers is off by a unit
    near = nearest(points, None, 6)
    wide = points.astype(np.float64)
    truth = np.sort(np.linalg.norm(wide[:, None] - wide[None], axis=2), axis=1)[:, 1:7]
    np.testing.assert_allclose(near.distances, truth, rtol=1e-4)


def test_an_unknown_metric_is_refused_and_not_taken_for_cosine() -> None:
    with pytest.raises(UnknownNameError, match="metric"):
        similar(table_of(np.eye(12, dtype=np.float32)), ["g0"], 2, metric="manhattan")
