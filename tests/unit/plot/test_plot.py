"""Plots draw on the caller's axes, or on a new figure, and return the axes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from PIL import Image
from reports import report
from tables_of import table_of

import gzfeatures as gz
from gzfeatures.errors import InputError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.maps.map import Map

CODES = np.arange(60) % 3
TABLE = table_of(np.random.default_rng(0).normal(size=(60, 4)) + CODES[:, None])
LABELS = gz.Labels(TABLE.ids, ("disk", "smooth", "$merger_1$"), CODES)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Figures of pyplot without a screen, closed after each test."""
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture
def ax() -> Axes:
    axes: Axes = pyplot.subplots()[1]
    return axes


def predictions() -> gz.Predictions:
    chances = np.full((60, 3), 0.1)
    chances[np.arange(60), np.where(np.arange(60) % 5, CODES, 0)] = 0.8
    return gz.Predictions(TABLE.ids, chances, LABELS.classes)


def chart() -> Map:
    space = FeatureSpace.fit(TABLE.matrix, components=2)
    places = TABLE.matrix[:, :2].copy()
    return Map(TABLE.ids, places, {}, {}, space, space.vectors(TABLE.matrix))


def test_a_confusion_matrix_is_drawn_from_scores(ax: Axes) -> None:
    scores = gz.evaluate(predictions(), LABELS, intervals=False)
    assert gz.plot.confusion(scores, ax=ax) is ax
    texts = {text.get_text() for text in ax.texts}
    assert {"100", "80", "20"} <= texts
    assert ax.get_ylabel() == "true class (galaxies)"


def test_scores_without_a_confusion_matrix_are_refused(ax: Axes) -> None:
    numbers = gz.Labels(TABLE.ids, ("mass",), np.arange(60.0)[:, None], "value")
    said = gz.Predictions(TABLE.ids, np.arange(60.0)[:, None] + 1, ("mass",), "value")
    with pytest.raises(InputError, match=r"confusion matrix.*one class per galaxy"):
        gz.plot.confusion(gz.evaluate(said, numbers, intervals=False), ax=ax)


def test_a_ranking_names_its_candidates(ax: Axes) -> None:
    comparison = report().comparison
    assert gz.plot.ranking(comparison, ax=ax) is ax
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert len(names) == len(comparison.ranking) == len(ax.containers)
    assert names[0].startswith("1  ") and comparison.ranking[0].backbone in names[0]
    top, bottom = ax.get_ylim()
    assert top > bottom  # the first rank stands on top


def test_reliability_lies_on_the_axes_of_the_caller(ax: Axes) -> None:
    assert gz.plot.reliability(predictions(), LABELS, ax=ax) is ax
    assert ax.get_xlabel() == "stated confidence" and ax.collections


def test_a_map_has_a_mark_and_a_name_for_each_class(ax: Axes) -> None:
    assert gz.plot.map(chart(), LABELS, ax=ax) is ax
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["disk", "smooth", "$merger_1$"]
    ax.figure.canvas.draw()  # a class name with $ is text, no formula
    drawn = sum(len(points.get_offsets()) for points in ax.collections)
    assert drawn == 60
    plain = gz.plot.map(chart())
    assert plain is not ax and plain.get_legend() is None


def test_a_gallery_shows_the_chosen_images_under_their_names(ax: Axes, tmp_path: Path) -> None:
    for number in range(5):
        Image.new("RGB", (20, 20), (200, 10 * number, 0)).save(tmp_path / f"g{number}.png")
    assert gz.plot.gallery(str(tmp_path), ["g3", "g1", "g4"], columns=2, ax=ax) is ax
    assert [text.get_text() for text in ax.texts] == ["g3", "g1", "g4"]
    assert len(ax.images) == 3 and ax.images[0].get_array()[0, 0, 1] == 30
    titled = gz.plot.gallery(str(tmp_path), ["g0"], titles=["round"])
    assert [text.get_text() for text in titled.texts] == ["round"]
    with pytest.raises(InputError, match="title for each of 5"):
        gz.plot.gallery(str(tmp_path), titles=["one"], ax=ax)


def test_without_axes_a_new_figure_of_pyplot_is_made_which_a_notebook_shows() -> None:
    before = pyplot.get_fignums()
    axes = gz.plot.reliability(predictions(), LABELS)
    assert len(pyplot.get_fignums()) == len(before) + 1
    assert axes.figure is pyplot.gcf()
