"""Draw the confusion matrix, the ranking and the calibration of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gzfeatures.errors import InputError
from gzfeatures.evaluation.comparison import Comparison
from gzfeatures.evaluation.metrics import Scores
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.reliability import reliability as reliability_bins
from gzfeatures.experiment.run import Run
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.plot.axes import axes_for
from gzfeatures.report.figures import Point, draw_confusion, draw_ranking, draw_reliability
from gzfeatures.report.ranking_table import interval_of
from gzfeatures.verbs.inputs import Place, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion(scores: Scores, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix, in percent of the galaxies of each true class (by volunteers).

    Parameters
    ----------
    scores : Scores
        Of `gz.evaluate`, one class per galaxy.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes
        What was drawn on.

    Raises
    ------
    InputError
        The scores are of vote fractions, of several labels or of a number.

    Examples
    --------
    >>> confusion(gz.evaluate(predictions, labels))  # doctest: +SKIP
    """
    if scores.confusion is None:
        raise InputError("confusion matrix", rule="be of one class per galaxy", found=scores.kind)
    side = 1.6 + 0.34 * max(len(scores.classes), 4)
    with axes_for(ax, side + 0.3, side) as axes:
        draw_confusion(axes, scores.confusion, scores.classes)
    return axes


def ranking(run: Run | Comparison, *, ax: Axes | None = None) -> Axes:
    """Draw each method's score with its confidence interval, one line per rank.

    Parameters
    ----------
    run : Run or Comparison
        Of `gz.run`, `gz.demo` or `gz.compare`.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes
        What was drawn on.

    Examples
    --------
    >>> ranking(gz.compare("runs/demo"))  # doctest: +SKIP
    """
    comparison = run.report.comparison if isinstance(run, Run) else run
    metric = comparison.metric
    points = [
        Point(row.rank, row.approach, 0.0, row.metrics[metric], *interval_of(row, metric))
        for row in comparison.ranking
    ]
    with axes_for(ax, 6.4, 0.8 + 0.24 * len(points)) as axes:
        draw_ranking(axes, points, metric.replace("_", " "))
        # a report lists the names of methods in a table; here write the names beside their ranks
        names = [
            f"{row.rank}  {row.backbone}" + (f", {row.head}" if row.head else "")
            for row in comparison.ranking
        ]
        axes.set_yticks([row.rank for row in comparison.ranking], names)
        axes.set(ylabel="")
    return axes


def reliability(
    predictions: Predictions, labels: Labels | Place, *, ax: Axes | None = None
) -> Axes:
    """Draw the share of correct predictions against their predicted probability.

    Parameters
    ----------
    predictions : Predictions
        Class probabilities of galaxies that were not trained on.
    labels : Labels, str or Path
        Their classes.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    Axes
        What was drawn on.

    Raises
    ------
    LeakError, InputError
        A galaxy was trained on, or has no label; there is not one class per galaxy.

    Examples
    --------
    >>> reliability(predictions, "labels.csv")  # doctest: +SKIP
    """
    bins = reliability_bins(predictions, labels_of(labels))
    with axes_for(ax, 2.9, 3.1) as axes:
        draw_reliability(axes, bins)
    return axes
