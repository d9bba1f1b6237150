"""Scores whose interval is unknown are drawn without error bars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gzfeatures.figures.label_curve import LabelCurve, label_curves
from gzfeatures.paper.ranking_plot import RankingLine, draw_ranking


def drawn(container: Any) -> list[list[float]]:
    """Ends of the error bars that can be seen, along the axis of the scores."""
    _, _, (lines,) = container.lines
    whole = [each for each in lines.get_segments() if len(each) and np.isfinite(each).all()]
    along = 0 if container.has_xerr else 1
    return [np.round(segment[:, along], 6).tolist() for segment in whole]


def test_a_curve_shows_bars_where_an_interval_is_known() -> None:
    points = [(100, 0.5, math.nan, math.nan), (300, 0.6, 0.55, 0.65)]
    figure = label_curves([LabelCurve("svm", "frozen", points)], "accuracy")
    assert [drawn(each) for each in figure.axes[0].containers] == [[[0.55, 0.65]]]


def test_a_ranking_shows_bars_where_an_interval_is_known() -> None:
    lines = [
        RankingLine("svm", "frozen", 0.6, 0.55, 0.65, True),
        RankingLine("ridge", "frozen", 0.5, math.nan, math.nan, True),
    ]
    figure = draw_ranking(lines, "R²", 4.0)
    assert [drawn(each) for each in figure.axes[0].containers] == [[[0.55, 0.65]], []]
