"""Draw how well embeddings, and how well morphology, predict nuisances such as redshift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gzfeatures.audit.findings import figure_name
from gzfeatures.audit.probes.probe import Probe
from gzfeatures.figures.style import INK, LINE, axes_of, short, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY, BLUE, ORANGE = "#8a93a0", "#0072b2", "#d55e00"


@styled
def ladder(judged: Sequence[tuple[Probe, bool]]) -> Figure:
    """Draw how well each nuisance is predicted: by morphology alone, and with embeddings added.

    A line joins the two scores of a nuisance.

    Parameters
    ----------
    judged : sequence of (Probe, bool)
        Scores of at least one nuisance, each with whether embeddings know the nuisance: its line
        then has another colour and a square.
    """
    figure, axes = axes_of(6.4, 0.9 + 0.42 * len(judged))
    for place, (probe, is_known) in enumerate(judged):
        # draw a score below 0 (worse than predicting the mean) at 0, which means no knowledge
        morphology, apparent, both = (
            max(value, 0.0) for value in (probe.morphology, probe.apparent, probe.both)
        )
        colour, marker = (ORANGE, "s") if is_known else (BLUE, "o")
        axes.plot([morphology, both], [place, place], color=LINE, linewidth=1.2, zorder=1)
        axes.plot([apparent, both], [place, place], color=colour, linewidth=3, zorder=2)
        axes.plot(morphology, place, "|", color=INK, markersize=11, zorder=3)
        axes.plot(apparent, place, "D", color=GREY, markersize=4, zorder=3)
        axes.plot(both, place, marker, color=colour, markersize=6, zorder=4)
        axes.annotate(
            f"{probe.beyond:+.2f}",
            (max(morphology, both, apparent), place),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    names = [f"{short(probe.name, 20)}, {figure_name(probe)}" for probe, _ in judged]
    axes.set_yticks(range(len(judged)), names)
    axes.set_ylim(len(judged) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.1)
    axes.set_xlabel("figure of a linear probe, galaxies it was not fitted on")
    axes.grid(axis="x")
    return figure
