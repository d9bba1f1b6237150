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
        Scores from `gz.evaluate`, of predictions of one class for each galaxy.
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    Axes
        Axes with the drawing.

    Raises
    ------
    InputError
        The scores are those of predicted vote fractions, numbers, or several labels a galaxy.

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
    """Draw the score and confidence interval of each network or head, best on top.

    Parameters
    ----------
    run : Run or Comparison
        Result of `gz.run`, `gz.demo` or `gz.compare`.
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    Axes
        Axes with the drawing.

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
        # write the names of networks and heads beside their ranks: `draw_ranking` writes only
        # ranks, because the report has the names in a table beside the figure
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
        True classes of these galaxies.
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    Axes
        Axes with the drawing.

    Raises
    ------
    LeakError, InputError
        A galaxy was trained on or has no label; or the labels are not one class for each galaxy.

    Examples
    --------
    >>> reliability(predictions, "labels.csv")  # doctest: +SKIP
    """
    bins = reliability_bins(predictions, labels_of(labels))
    with axes_for(ax, 2.9, 3.1) as axes:
        draw_reliability(axes, bins)
    return axes
