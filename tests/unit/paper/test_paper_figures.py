"""Figures for a paper: printed width, letters, fonts, numbers beside them, and what they refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from PIL import Image
from pypdf import PdfReader
from reports import finished, labelled, report
from unit.figures.test_palette import least_distance

from gzfeatures.errors import InputError, MissingFileError, UnknownNameError
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.maps.umap import Map
from gzfeatures.paper.drawing import paper_figure
from gzfeatures.paper.figure import FigureOptions, PaperFigure
from gzfeatures.paper.finished_run import FinishedRun, read_run
from gzfeatures.paper.journals import JOURNALS
from gzfeatures.paper.kinds import KINDS

CURVES = {
    "mobilenet-v2 + svm": [(10, 0.5, 0.4, 0.6), (100, 0.7, 0.6, 0.8)],
    "resnet18": [(10, 0.4, float("nan"), float("nan")), (100, 0.6, 0.5, 0.7)],
}
CLASSES = ("a_b $x^2$", "<b>bold</b>", "100 %", "~{c}", "é")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run whose classes look like markup, with a map and learning curves."""
    folder = tmp_path_factory.mktemp("paper") / "run"
    made = finished(folder, report(labelled(classes=CLASSES), curves=CURVES))
    tested = made.split.test
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(len(tested), 2)).astype(np.float32)
    chart = Map(
        tested,
        xy,
        {"backbone": "mobilenet-v2"},
        {"trustworthiness": 0.987, "knn_preservation": 0.5},
        FeatureSpace.fit(xy, components=None),
        xy,
    )
    chart.write(folder / "map.parquet")
    (folder / "images").mkdir()
    for name in tested:
        Image.new("RGB", (40, 40), (90, 20, 160)).save(folder / "images" / f"{name}.png")
    return read_run(folder)


@pytest.fixture(scope="module")
def drawn(run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PaperFigure]:
    """Each kind at the width of a column, written as PDF too."""
    folder = tmp_path_factory.mktemp("figures")
    figures = {}
    for kind in KINDS:
        options = FigureOptions("mnras", count=2 if kind == "gallery" else 12)
        figures[kind] = paper_figure(run, kind, options)
        figures[kind].write(folder / f"{kind}.pdf")
    figures["folder"] = folder  # type: ignore[assignment]
    return figures


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_as_wide_as_the_column_and_its_letters_are_embedded(
    drawn: dict[str, PaperFigure], kind: str
) -> None:
    folder = drawn["folder"]
    page = PdfReader(f"{folder}/{kind}.pdf").pages[0]
    assert float(page.mediabox.width) / 72 * 25.4 == pytest.approx(84, abs=0.05)
    fonts = page["/Resources"]["/Font"].get_object()
    assert fonts
    for font in fonts.values():
        inner = font.get_object()["/DescendantFonts"][0].get_object()
        assert font.get_object()["/Subtype"] != "/Type3"
        assert "/FontFile2" in inner["/FontDescriptor"].get_object()
    # points of a map and pictures are pixels, everything else is vectors
    images = list(page["/Resources"].get("/XObject", {}).values())
    pixels = [x for x in images if x.get_object()["/Subtype"] == "/Image"]
    assert bool(pixels) == (kind in ("map", "gallery"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_letter_is_below_6_points_and_none_leaves_the_figure(
    drawn: dict[str, PaperFigure], kind: str
) -> None:
    figure = drawn[kind].figure
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
    shown = [text for text in texts if text.get_visible() and text.get_window_extent().width > 0]
    assert shown and min(text.get_fontsize() for text in shown) >= 6
    # ticks beyond the axis are not drawn, so ask for what is
    box = figure.get_tightbbox()
    assert box.x0 > -0.03 and box.x1 < figure.get_figwidth() + 0.03


def data_colours(figure: Figure) -> set[str]:
    """Colours in which a figure shows data: those that are no grey, white or nearly clear."""
    found = []
    for axes in figure.axes:
        found += [to_rgba(line.get_color()) for line in axes.lines]
        found += [rgba for each in axes.collections for rgba in each.get_facecolor()]
        found += [patch.get_facecolor() for patch in axes.patches]
    seen = {to_hex(rgba) for rgba in found if np.ptp(rgba[:3]) > 0.1 and rgba[3] > 0.3}
    return {"#" + each.lstrip("#") for each in seen}


@pytest.mark.parametrize("kind", KINDS)
def test_colours_that_a_figure_shows_stay_apart_for_colour_blind_readers(
    drawn: dict[str, PaperFigure], kind: str
) -> None:
    colours = sorted(data_colours(drawn[kind].figure))
    # one colour means nothing by itself; a confusion matrix and a gallery show their numbers
    least = {"ranking": 3, "map": len(CLASSES), "learning-curve": 2, "reliability": 1}
    assert len(colours) >= least.get(kind, 0)
    assert len(colours) < 2 or least_distance(colours) > 0.06
    assert least_distance(["#00a000", "#a06000"]) < 0.06, "green and brown would be refused"


def test_numbers_beside_a_figure_have_n_interval_and_method(
    run: FinishedRun, drawn: dict[str, PaperFigure]
) -> None:
    folder = drawn["folder"]
    ranking = pd.read_csv(f"{folder}/ranking.csv")
    assert len(ranking) == len(run.report.candidates)
    assert ranking["value"].tolist() == sorted(ranking["value"], reverse=True)
    assert (ranking["low"] < ranking["value"]).all() and (ranking["n"] == 120).all()
    assert (ranking["method"] == "Clopper & Pearson 1934").all()
    confusion = pd.read_csv(f"{folder}/confusion.csv")
    assert confusion["n"].sum() == 120 and set(confusion["actual"]) == set(CLASSES)
    for kind in ("confusion", "reliability", "learning-curve"):
        columns = set(pd.read_csv(f"{folder}/{kind}.csv").columns)
        assert {"n", "low", "high", "level", "method"} <= columns
    assert len(pd.read_csv(f"{folder}/map.csv")) == 120


def test_captions_say_what_is_shown(drawn: dict[str, PaperFigure]) -> None:
    assert "4 candidates on the same 120 test galaxies" in drawn["ranking"].caption
    assert "90% intervals (Clopper & Pearson 1934)" in drawn["ranking"].caption
    assert "no fair sample" in drawn["gallery"].caption


def test_extremes_of_several_samples_are_called_no_intervals(
    drawn: dict[str, PaperFigure], tmp_path: Path
) -> None:
    rows = drawn["learning-curve"].numbers.set_index("candidate")
    head, network = rows.loc["mobilenet-v2 + svm"], rows.loc["resnet18"]
    assert head["level"].isna().all() and (head["method"] == "").all()
    assert (network["level"] == 0.9).all() and (network["method"] != "").all()
    caption = drawn["learning-curve"].caption
    assert "Bars of heads hold the scores of all samples" in caption
    assert caption.endswith("bars of networks are 90% intervals.")
    # a run over `sizes` fits each head once: its bars are intervals over the test galaxies
    finished(tmp_path, report(curves=CURVES), sizes=[10, 100])
    figure = paper_figure(read_run(tmp_path), "learning-curve")
    assert figure.caption.endswith("labelled galaxies, with 90% intervals.")
    assert (figure.numbers["level"] == 0.9).all() and (figure.numbers["method"] != "").all()


def test_labels_without_votes_are_not_called_those_of_volunteers(
    run: FinishedRun, drawn: dict[str, PaperFigure], tmp_path: Path
) -> None:
    for kind in ("confusion", "gallery"):
        assert "the volunteers' class" in drawn[kind].caption
    finished(tmp_path / "run", report(dataclasses.replace(labelled(), soft=None)))
    told = read_run(tmp_path / "run")
    shown = paper_figure(told, "confusion")
    texts = {text.get_text() for text in shown.figure.findobj(matplotlib.text.Text)}
    assert "label (galaxies)" in texts and not any("volunteers" in text for text in texts)
    options = FigureOptions("mnras", count=2, images=run.folder / "images")
    for figure in (shown, paper_figure(told, "gallery", options)):
        assert "the class of the label" in figure.caption
        assert "volunteers" not in figure.caption


def test_a_dagger_stands_in_the_figure_and_is_explained(tmp_path: Path) -> None:
    from reports import pairings

    from gzfeatures.evaluation.comparison import compare
    from gzfeatures.report.report import Report

    fair = report()
    seen = pairings(fair.labels, fair.split, contaminated=True)
    finished(tmp_path, Report("gz2", seen, compare(seen, fair.labels), fair.labels, fair.split))
    figure = paper_figure(read_run(tmp_path), "ranking")
    texts = [text.get_text() for text in figure.figure.findobj(matplotlib.text.Text)]
    assert any("†" in text for text in texts)
    assert "†: not a fair hold-out" in figure.caption


def test_the_same_figure_is_the_same_bytes(run: FinishedRun, tmp_path: Path) -> None:
    for ending in (".pdf", ".svg", ".png"):
        first, second = (
            paper_figure(run, "ranking").write(tmp_path / f"{name}{ending}")[0].read_bytes()
            for name in "ab"
        )
        assert first == second


def test_what_cannot_be_drawn_is_refused(run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="nature"):
        FigureOptions("nature")
    with pytest.raises(UnknownNameError, match="kind of figure"):
        paper_figure(run, "pie")
    with pytest.raises(InputError, match="rank of a candidate; must be 1 to 4, found 5"):
        paper_figure(run, "confusion", FigureOptions(rank=5))
    with pytest.raises(InputError, match=r"end in \.pdf, \.svg, \.eps, \.png"):
        paper_figure(run, "ranking").write(tmp_path / "figure.gif")
    with pytest.raises(MissingFileError, match="report of a finished run"):
        read_run(tmp_path)
    finished(tmp_path / "bare")
    bare = read_run(tmp_path / "bare")
    with pytest.raises(InputError, match="learning curve of a run; must have been measured"):
        paper_figure(bare, "learning-curve")
    with pytest.raises(MissingFileError, match="map of a run"):
        paper_figure(bare, "map")


def test_many_classes_need_the_width_of_a_page(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(12))
    finished(tmp_path, report(labelled(classes=names)))
    run = read_run(tmp_path)
    with pytest.raises(InputError, match=r"at most 8 classes, found 12; .*--width page"):
        paper_figure(run, "confusion")
    wide = paper_figure(run, "confusion", FigureOptions(width="page"))
    assert wide.figure.get_figwidth() == pytest.approx(JOURNALS["aastex"].page / 25.4)
