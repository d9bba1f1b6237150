"""Figures of maps: they show what they say, repeat to the byte, and take class names as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.figures.palette import class_mark, on_paper
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.maps.figures import write_figure
from gzfeatures.maps.umap import Map


@pytest.fixture(scope="module")
def chart() -> Map:
    rng = np.random.default_rng(0)
    xy = np.concatenate(
        [rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + np.array([14, 0])]
    ).astype(np.float32)
    ids = np.asarray([f"g{i}" for i in range(120)], dtype=object)
    return Map(ids, xy, {}, {}, FeatureSpace.fit(xy, components=None), xy)


@pytest.fixture(scope="module")
def labels(chart: Map) -> Labels:
    return Labels(
        chart.ids[:110], ("a $b <c>", "d_{e"), (np.arange(110) >= 60).astype(np.int64), scheme="two"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for i in range(0, 120, 2):
        Image.new("RGB", (32, 32), (255, 0, 255) if i < 60 else (0, 255, 255)).save(
            root / f"g{i}.png"
        )
    (root / "g1.png").write_bytes(b"broken")
    return root


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", ["points", "density"])
def test_every_class_is_drawn_in_its_colour(
    chart: Map, labels: Labels, tmp_path: Path, kind: str
) -> None:
    seen = pixels_of(write_figure(tmp_path / "map.png", chart, kind, labels=labels)).reshape(-1, 3)
    for code in range(2):
        wanted = on_paper(class_mark(code)[0])
        rgb = [int(wanted[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(seen - rgb).max(1) < 6).any()


def test_a_figure_is_as_wide_as_the_column(chart: Map, tmp_path: Path) -> None:
    assert pixels_of(write_figure(tmp_path / "a.png", chart)).shape[1] == 1050
    assert pixels_of(write_figure(tmp_path / "b.png", chart, width="page")).shape[1] == 2130


def test_several_maps_stand_side_by_side(chart: Map, labels: Labels, tmp_path: Path) -> None:
    few = chart.select(chart.ids[:60])
    pixels = pixels_of(
        write_figure(tmp_path / "two.svg.png", {"a": chart, "$b": few}, labels=labels, width="page")
    )
    wanted = [int(on_paper(class_mark(1)[0])[i : i + 2], 16) for i in (1, 3, 5)]
    second = np.argwhere(np.abs(pixels[: -len(pixels) // 5] - wanted).max(-1) < 6)[:, 1]
    assert pixels.shape[1] == 2130 and len(second) and second.max() < pixels.shape[1] / 2


def test_galaxies_stand_on_their_side_of_the_map(
    chart: Map, labels: Labels, folder: Path, tmp_path: Path
) -> None:
    path = write_figure(
        tmp_path / "map.png", chart, "images", labels=labels, images=folder, cells=12
    )
    pixels = pixels_of(path)
    left = np.argwhere(np.abs(pixels - [255, 0, 255]).max(-1) < 20)[:, 1]
    right = np.argwhere(np.abs(pixels - [0, 255, 255]).max(-1) < 20)[:, 1]
    assert len(left) > 500 and len(right) > 500 and left.max() < right.min()


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_vector_figures_repeat_to_the_byte(
    chart: Map, labels: Labels, tmp_path: Path, ending: str
) -> None:
    one, two = (
        write_figure(tmp_path / f"{name}.{ending}", chart, labels=labels).read_bytes()
        for name in "ab"
    )
    assert one == two
    if ending == "svg":
        assert b"a $b &lt;c&gt;" in one and b"d_{e" in one


def test_figures_that_cannot_be_drawn_are_refused(
    chart: Map, labels: Labels, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UnknownNameError, match="unknown kind of figure; must be one of points, images, density"
    ):
        write_figure(tmp_path / "m.png", chart, "heat")
    with pytest.raises(
        UnknownNameError, match="unknown width of a figure; must be one of column, page"
    ):
        write_figure(tmp_path / "m.png", chart, width="wide")
    with pytest.raises(InputError, match=r"figure; must end in .png, .pdf, .svg, found .gif"):
        write_figure(tmp_path / "m.gif", chart)
    with pytest.raises(InputError, match="densities of classes; must have labels"):
        write_figure(tmp_path / "m.png", chart, "density")
    with pytest.raises(InputError, match="a figure of galaxies; must have images"):
        write_figure(tmp_path / "m.png", chart, "images")
    with pytest.raises(InputError, match="cells of a figure; must be at least 1"):
        write_figure(tmp_path / "m.png", chart, "images", images=folder, cells=0)
    with pytest.raises(InputError, match="no galaxy of the map has a label"):
        write_figure(
            tmp_path / "m.png",
            chart,
            labels=Labels(np.asarray(["x"], dtype=object), ("a",), np.array([0])),
        )
