"""Figures: what they draw, that text stays text, and that they are legible without colour."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gzfeatures.errors import OutputError
from gzfeatures.figures import style
from gzfeatures.report import figures
from gzfeatures.report.figures import Point

HOSTILE = '<script>alert(1)</script> $\\frac{a}{b}$ & "x" \''
POINTS = [
    Point(1, "fine-tuned", 846.0, 0.95, 0.94, 0.96),
    Point(2, "end-to-end", 822.0, 0.949, 0.93, 0.96),
    Point(3, "frozen", 0.9, 0.80, 0.78, 0.82),
]


def texts(axes: object) -> list[str]:
    return [t.get_text() for t in axes.texts]


def test_confusion_matrix_shows_percentages_of_each_actual_class() -> None:
    matrix = np.array([[9, 1, 0], [0, 399, 1], [0, 0, 0]])
    axes = figures.confusion(matrix, ("a", "b", "c")).axes[0]
    assert texts(axes) == ["90", "10", "100", "·"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a (10)", "b (400)", "c (0)"]
    assert axes.yaxis_inverted()


def test_bars_show_precision_and_recall_and_a_dash_where_a_class_has_none() -> None:
    figure = figures.per_class(np.array([0.5, 0.25]), np.array([1.0, np.nan]), ("a", "b"))
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.5, 0.25, 1.0, 0.0]
    assert texts(figure.axes[0]) == ["0.50", "0.25", "1.00", "–"]
    assert {bar.get_hatch() for bar in bars[:2]} == {None}
    assert {bar.get_hatch() for bar in bars[2:]} == {"////"}


def test_reliability_is_the_share_that_is_right_at_each_stated_confidence() -> None:
    rows = [{"stated": 0.3, "reached": 0.0, "n": 1}, {"stated": 0.9, "reached": 0.75, "n": 4}]
    (axes,) = figures.reliability([row | {"interval": [0.0, 0.9]} for row in rows]).axes
    bars, dots = axes.collections
    assert [bar.tolist() for bar in bars.get_segments()] == [
        [[0.3, 0.0], [0.3, 0.9]],
        [[0.9, 0.0], [0.9, 0.9]],
    ]
    np.testing.assert_allclose(dots.get_offsets(), [[0.3, 0.0], [0.9, 0.75]])
    assert dots.get_sizes()[1] > dots.get_sizes()[0]


def test_reliability_shows_what_calibration_mended() -> None:
    rows = [{"stated": 0.6, "reached": 0.6, "interval": [0.5, 0.7], "n": 40}]
    (axes,) = figures.reliability(rows, [{"stated": 0.9, "reached": 0.6}]).axes
    crosses = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "x"]
    assert crosses == [[[0.9, 0.6]]]
    assert not [
        line for line in figures.reliability(rows).axes[0].lines if line.get_marker() == "x"
    ]


def test_abstention_shows_each_road_without_the_first_handful() -> None:
    coverage = np.linspace(0.01, 1, 100)
    (axes,) = figures.abstention(
        {"frozen": {"coverage": coverage, "accuracy": 1 - 0.2 * coverage}}
    ).axes
    (line,) = axes.lines
    assert line.get_label() == "frozen" and line.get_xdata().min() >= 0.02
    assert line.get_ydata()[-1] == pytest.approx(0.8)


def test_slices_show_each_road_and_the_ceiling() -> None:
    low = {"low": 0.0, "high": 0.5, "accuracy": 0.6, "interval": [0.5, 0.7], "ceiling": 0.65}
    high = {"low": 0.5, "high": 1.0, "accuracy": 0.9, "interval": [0.85, 0.95], "ceiling": 0.97}
    axes = figures.accuracy_by_panels(
        {"frozen": [low, high], "end-to-end": [low, high]}, "agreement"
    ).axes[0]
    np.testing.assert_allclose(axes.containers[0].lines[0].get_xydata(), [[0.25, 0.6], [0.75, 0.9]])
    np.testing.assert_allclose(axes.containers[0].lines[2][0].get_segments()[1][:, 1], [0.85, 0.95])
    dashes = [line.get_ydata().tolist() for line in axes.lines if line.get_color() == style.INK]
    assert dashes == [[0.65, 0.65], [0.97, 0.97]]


def test_ranking_has_the_first_on_top_with_its_interval() -> None:
    axes = figures.ranking(POINTS, "accuracy").axes[0]
    assert axes.yaxis_inverted()
    first = axes.containers[0]
    assert first.lines[0].get_xydata().tolist() == [[0.95, 1.0]]
    np.testing.assert_allclose(first.lines[2][0].get_segments()[0][:, 0], [0.94, 0.96])


def test_cost_has_ticks_in_words_and_labels_that_do_not_overlap() -> None:
    figure = figures.cost(POINTS, "accuracy")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()][:3] == ["1 s", "3 s", "10 s"]
    boxes = [t.get_window_extent() for t in axes.texts]
    assert sorted(texts(axes)) == ["1", "2", "3"]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_pairings_that_took_no_time_are_not_in_the_plot_of_cost() -> None:
    axes = figures.cost([*POINTS, Point(4, "frozen", 0.0, 0.5, 0.4, 0.6)], "accuracy").axes[0]
    assert len(axes.containers) == 3


def test_learning_curves_are_drawn_as_given_and_named_at_their_end() -> None:
    curve = [(50, 0.4, 0.3, 0.5), (1000, 0.7, 0.68, 0.72)]
    axes = figures.learning({"resnet18": curve}, {"resnet18": "end-to-end"}, "accuracy").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[50, 0.4], [1000, 0.7]])
    assert texts(axes) == ["resnet18"]


def test_roads_differ_without_colour() -> None:
    markers, colours, lines = zip(*style.MARKS.values(), strict=True)
    for distinct in (markers, colours, lines):
        assert len(set(distinct)) == 3


@pytest.mark.parametrize("name", [HOSTILE, "a" * 300, "Ωmega ünï", "渦巻銀河 🌀", "$unclosed"])
def test_svg_is_well_formed_and_its_text_is_text(name: str) -> None:
    drawn = style.svg(figures.confusion(np.eye(2, dtype=np.int64), (name, "b")), "confusion")
    root = ElementTree.fromstring(drawn)
    found = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(name[:20] in text for text in found)
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


def test_svg_takes_the_ink_of_its_page() -> None:
    drawn = style.svg(figures.cost(POINTS, "accuracy"), "cost")
    assert "currentColor" in drawn
    assert "var(--line)" in drawn
    assert style.INK not in drawn
    assert style.LINE not in drawn


def test_references_inside_two_drawings_of_a_page_are_apart() -> None:
    def targets(name: str) -> set[str]:
        root = ElementTree.fromstring(style.svg(figures.cost(POINTS, "accuracy"), name))
        clips = root.iter("{http://www.w3.org/2000/svg}clipPath")
        return {node.attrib["id"] for node in clips}

    assert targets("one")
    assert not targets("one") & targets("two")


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        style.write_png(figures.cost(POINTS, "accuracy"), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    drawings = [style.svg(figures.cost(POINTS, "accuracy"), "cost") for _ in range(2)]
    assert drawings[0] == drawings[1]


def test_a_name_in_another_script_costs_no_picture(tmp_path: Path) -> None:
    path = style.write_png(
        figures.confusion(np.eye(2, dtype=np.int64), ("渦巻", "b")), tmp_path / "a.png"
    )
    with Image.open(path) as image:
        image.verify()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        style.write_png(figures.cost(POINTS, "accuracy"), tmp_path / "file" / "cost.png")
