"""Draw predicted against true numbers, such as redshifts, with residuals below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.metrics import Scores
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.residuals import REDSHIFT_OUTLIER, residuals
from gzfeatures.figures.style import INK, LINE, styled
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import Labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_POINTS = 1500
"""Up to so many galaxies, each is drawn as a point; more are drawn as hexagons of density."""
COLOUR = "#0072b2"


def write_numbers(
    predictions: Predictions, labels: Labels, scores: Scores, path: str | Path
) -> Path:
    """Draw predicted against true numbers, with residuals below, and write the figure to a file.

    Parameters
    ----------
    predictions : Predictions
        Predicted numbers of galaxies.
    labels : Labels
        True numbers of these galaxies.
    scores : Scores
        Scores of these predictions, for the title.
    path : path
        PNG or SVG file to write.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    figure = drawn_numbers(predictions, labels.select(predictions.ids).values[:, 0], scores)
    with written_whole(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
    return path


@styled
def drawn_numbers(
    predictions: Predictions, true: npt.NDArray[np.float64], scores: Scores
) -> Figure:
    """Draw predicted numbers and residuals against true numbers; put the scores in the title."""
    from matplotlib.figure import Figure

    name, redshift = predictions.classes[0], predictions.kind == "redshift"
    figure = Figure(figsize=(5.2, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
    residual = residuals(predictions.values, true, predictions.kind)
    _scatter(above, true, predictions.values)
    _scatter(below, true, residual)
    # draw the diagonal from the smallest to the largest number: correct predictions lie on it
    ends = [min(true.min(), predictions.values.min()), max(true.max(), predictions.values.max())]
    diagonal = np.array(ends)
    above.plot(diagonal, diagonal, color=INK, linewidth=0.8)
    below.axhline(0, color=INK, linewidth=0.8)
    if redshift:
        for sign in (-1, 1):
            bound = diagonal + sign * REDSHIFT_OUTLIER * (1 + diagonal)
            above.plot(diagonal, bound, color=LINE, linewidth=0.8, linestyle="--")
            below.axhline(sign * REDSHIFT_OUTLIER, color=LINE, linewidth=0.8, linestyle="--")
    above.set_ylabel(f"predicted {name}")
    below.set_ylabel("Δz / (1 + z)" if redshift else "predicted − true")
    below.set_xlabel(f"true {name}")
    above.set_title(
        f"{scores.n:,} galaxies: RMSE {scores.rmse:.4g}, bias {scores.bias:+.3g},\n"
        f"σ_NMAD {scores.sigma_nmad:.4g}, {scores.outlier_share:.1%} outliers",
        fontsize=9,
        loc="left",
    )
    for axes in (above, below):
        axes.grid(True)
    return figure


def _scatter(axes: Any, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    """Draw up to 1,500 galaxies as points, more as hexagons coloured by the number of galaxies."""
    if len(x) <= MOST_POINTS:
        axes.plot(x, y, ".", markersize=3, alpha=0.5, color=COLOUR)
    else:
        axes.hexbin(x, y, gridsize=60, bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
