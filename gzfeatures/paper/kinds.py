"""Draw paper figures of a finished run, such as ranking or map, with numbers and captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from gzfeatures.brief import percent
from gzfeatures.errors import InputError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.reliability import reliability
from gzfeatures.evaluation.statistics.interval_methods import INTERVAL_METHODS
from gzfeatures.evaluation.statistics.proportions import wilson
from gzfeatures.figures.label_curve import LabelCurve, label_curves
from gzfeatures.files import require_file
from gzfeatures.images.image_set import ImageSet
from gzfeatures.paper.figure import FigureOptions, PaperFigure
from gzfeatures.paper.finished_run import FinishedRun
from gzfeatures.paper.gallery_plot import draw_gallery
from gzfeatures.paper.ranking_plot import RankingLine, draw_ranking
from gzfeatures.report import examples
from gzfeatures.report import figures as report_figures
from gzfeatures.report.drawings import truth_of
from gzfeatures.report.titles import DAGGER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gzfeatures.report.report import Report

Drawer: TypeAlias = Callable[[FinishedRun, FigureOptions], PaperFigure]

COLUMN_CLASSES = 8
"""With more classes, the numbers in a confusion matrix of column width would be too small to read.
"""


def _resized(figure: Figure, width: float, height: float) -> Figure:
    """Set a figure's printed size in inches, and return the figure."""
    figure.set_size_inches(width, height)
    return figure


def _title(run: FinishedRun, candidate: Candidate) -> str:
    return run.report.title(candidate) + " †" * candidate.contaminated


def _contamination(candidates: Sequence[Candidate]) -> str:
    """Return a sentence that explains the mark †; "" if no compared model has the mark."""
    return f" †: {DAGGER}." if any(each.contaminated for each in candidates) else ""


def _given_class(run: FinishedRun) -> str:
    """Return what a caption calls the true class: given by volunteers, or by labels of any kind."""
    return "the class of the label" if run.report.labels.soft is None else "the volunteers' class"


def _require_classes(run: FinishedRun, kind: str) -> None:
    if run.report.labels.target != "classes":
        raise InputError(
            f"{kind} of a run",
            where=run.folder,
            rule="be of one class per galaxy",
            found=run.report.labels.target,
        )


def _ranking(run: FinishedRun, options: FigureOptions) -> PaperFigure:
    """Draw the score of each network or head, with its interval, best first."""
    report = run.report
    metric, level = report.comparison.metric, report.comparison.level
    method = INTERVAL_METHODS.get(metric, "")
    rows, lines = [], []
    for row, candidate in report.ranked:
        low, high = row.interval(metric) or (np.nan, np.nan)
        value = row.metrics[metric]
        rows.append(
            {
                "rank": row.rank,
                "candidate": report.title(candidate),
                "approach": row.approach,
                "metric": metric,
                "value": value,
                "low": low,
                "high": high,
                "level": level,
                "method": method,
                "n": len(candidate.predictions),
                "tied": row.tied,
                "dagger": candidate.contaminated,
            }
        )
        name = _title(run, candidate)
        lines.append(RankingLine(name, row.approach, value, low, high, row.tied))
    drawn = lines[: options.count]
    title = report.metrics[metric]
    figure = draw_ranking(drawn, title, options.inches)
    shown = [candidate for _, candidate in report.ranked[: options.count]]
    part = "" if len(drawn) == len(lines) else f" The best {len(drawn)} of {len(lines)} are shown."
    caption = (
        f"{title[0].upper()}{title[1:]} of {len(lines)} candidates on the same "
        f"{rows[0]['n']:,} test galaxies, with {percent(level)} intervals ({method}). Filled "
        "marks: not told apart from the first when all pairs are tested as one family at "
        f"{percent(level)}."
        f"{part}{_contamination(shown)}"
    )
    return PaperFigure(figure, pd.DataFrame(rows), caption)


def _confusion(run: FinishedRun, options: FigureOptions) -> PaperFigure:
    """Draw the confusion matrix of the network or head with the chosen rank."""
    _require_classes(run, "confusion matrix")
    _, candidate = run.candidate(options.rank)
    classes, matrix = candidate.predictions.classes, candidate.scores.confusion
    if matrix is None:
        raise InputError("confusion matrix of a run", where=run.folder, rule="be of classes")
    if len(classes) > COLUMN_CLASSES and options.width == "column":
        raise InputError(
            "confusion matrix at a column's width",
            where=run.folder,
            rule=f"have at most {COLUMN_CLASSES} classes",
            found=len(classes),
            remedy="draw it at the page's width: --width page",
        )
    level = run.report.comparison.level
    rows = []
    for actual, counts in zip(classes, matrix.tolist(), strict=True):
        total = sum(counts)
        for predicted, count in zip(classes, counts, strict=True):
            share = count / total if total else np.nan
            low, high = wilson(share, total, level) if total else (np.nan, np.nan)
            rows.append([actual, predicted, count, total, share, low, high, level, "Wilson 1927"])
    columns = ["actual", "predicted", "n", "of", "share", "low", "high", "level", "method"]
    drawn = report_figures.confusion(matrix, classes, truth_of(run.report))
    figure = _resized(drawn, options.inches, 0.92 * options.inches)
    caption = (
        f"Confusion matrix of {_title(run, candidate)} on {int(matrix.sum()):,} test galaxies, in "
        f"per cent of the galaxies of each row; a row is {_given_class(run)}, with the number of "
        f"its galaxies, a column the predicted class.{_contamination([candidate])}"
    )
    return PaperFigure(figure, pd.DataFrame(rows, columns=columns), caption)


def _reliability(run: FinishedRun, options: FigureOptions) -> PaperFigure:
    """Draw how often a network or head is correct against the probability it predicts."""
    _require_classes(run, "reliability diagram")
    _, candidate = run.candidate(options.rank)
    bins = reliability(candidate.predictions, run.report.labels)
    before: Sequence[Mapping[str, float]] = candidate.calibration.get("before", {}).get("bins", ())
    side = min(options.inches, 3.6)
    figure = _resized(report_figures.reliability(bins, before), options.inches, side)
    rows = pd.DataFrame([row.asdict() for row in bins])
    limits = rows.pop("interval").tolist()
    rows["low"], rows["high"] = np.asarray(limits).T
    rows["level"], rows["method"] = 0.9, "Wilson 1927"
    crosses = " Crosses are the same before calibration." if before else ""
    caption = (
        f"Reliability of {_title(run, candidate)} on {len(candidate.predictions):,} test galaxies: "
        "share of right predictions against the stated probability of the most probable class, "
        "with 90% intervals (Wilson 1927). Perfect calibration is the dashed line; the area of a "
        f"dot grows with its number of galaxies.{crosses}{_contamination([candidate])}"
    )
    return PaperFigure(figure, rows, caption)


def _learning_curve(run: FinishedRun, options: FigureOptions) -> PaperFigure:
    """Draw the score of each network or head against the number of labelled galaxies."""
    report = run.report
    if not report.curves:
        raise InputError(
            "learning curve of a run",
            where=run.folder,
            rule="have been measured",
            remedy="run it with sizes, e.g. --set 'sizes=[100,300,1000]'",
        )
    metric, level = report.comparison.metric, report.comparison.level
    approach_of = {candidate.name: candidate.approach for candidate in report.candidates}
    curves = [LabelCurve(name, approach_of[name], points) for name, points in report.curves.items()]
    rows = []
    for curve in curves:
        # the ends of a curve of heads on several samples are the extremes of all, no interval
        is_drawn = curve.name in report.draws
        how = (np.nan, "") if is_drawn else (level, INTERVAL_METHODS.get(metric, ""))
        rows += [[curve.name, curve.approach, metric, *point, *how] for point in curve.points]
    columns = ["candidate", "approach", "metric", "labels", "value", "low", "high", "level"]
    figure = label_curves(curves, report.metrics[metric])
    height = 0.75 * min(options.inches, 4.0) + 0.14 * len(curves)
    tested = len(report.candidates[0].predictions)
    numbers = pd.DataFrame(rows, columns=[*columns, "method"]).assign(n=tested)
    caption = (
        f"{report.metrics[metric].capitalize()} on {tested:,} test galaxies against the number of "
        f"labelled galaxies{_bars(report, level)}"
    )
    return PaperFigure(_resized(figure, options.inches, height), numbers, caption)


def _bars(report: Report, level: float) -> str:
    """Return the end of a learning curve's caption, which says what its error bars are."""
    if not report.draws:
        return f", with {percent(level)} intervals."
    heads = (
        ". Bars of heads hold the scores of all samples of as many galaxies, and are no interval"
    )
    alone = report.draws >= set(report.curves)
    return heads + ("." if alone else f"; bars of networks are {percent(level)} intervals.")


def _map(run: FinishedRun, options: FigureOptions) -> PaperFigure:
    """Draw the UMAP of the run's galaxies, coloured by class if the labels are classes."""
    from gzfeatures.maps.figures import draw_figure
    from gzfeatures.maps.map import Map

    chart = Map.read(require_file(run.folder / "map.parquet", "map of a run"))
    labels = run.report.labels if run.report.labels.target == "classes" else None
    figure = draw_figure(chart, labels=labels, inches=options.inches)
    numbers = chart.frame.copy()
    if labels is not None:
        of_galaxy = dict(zip(labels.ids, labels.names, strict=True))
        numbers["class"] = [of_galaxy.get(name) for name in chart.ids]
    quality = chart.quality
    caption = (
        f"Map (UMAP) of {len(chart):,} galaxies by their embeddings from "
        f"{chart.settings['backbone']}. Trustworthiness {quality['trustworthiness']:.3f}; "
        f"{quality['knn_preservation']:.0%} of the nearest neighbours of a galaxy are kept. "
        "Distances between groups and sizes of groups mean nothing by themselves."
    )
    return PaperFigure(figure, numbers, caption)


def _gallery(run: FinishedRun, options: FigureOptions) -> PaperFigure:
    """Draw the most certain correct galaxies of each class, and the most certain mistakes."""
    _require_classes(run, "gallery")
    _, candidate = run.candidate(options.rank)
    predictions, labels = candidate.predictions, run.report.labels
    images = options.images
    if images is None:
        images = ImageSet.of(run.settings.galaxies.images, reading=run.settings.galaxies.how)
    images = images if isinstance(images, ImageSet) else ImageSet.of(images)
    ids = np.concatenate(
        [
            examples.successes(predictions, labels, options.count),
            examples.mistakes(predictions, labels, options.count),
        ]
    )
    galaxies = examples.examples(ids, labels, [(options.rank, candidate.name, predictions)])
    figure = draw_gallery(galaxies, images, predictions.classes, options.inches, options.count)
    rows = [
        {
            "galaxy_id": each.id,
            "actual": each.actual,
            "predicted": each.guesses[0].predicted,
            "probability": each.guesses[0].probability,
            "vote_fraction": each.votes,
        }
        for each in galaxies
    ]
    caption = (
        f"Test galaxies as {_title(run, candidate)} classifies them: of each class those that it "
        "has right with the highest probability, and in the last row its most certain mistakes, "
        f"with the predicted class and, behind it, {_given_class(run)}. These are extremes, no "
        f"fair sample.{_contamination([candidate])}"
    )
    return PaperFigure(figure, pd.DataFrame(rows), caption)


KINDS: dict[str, Drawer] = {
    "ranking": _ranking,
    "confusion": _confusion,
    "map": _map,
    "reliability": _reliability,
    "learning-curve": _learning_curve,
    "gallery": _gallery,
}
"""Kind of figure → function that draws such a figure of a run."""
