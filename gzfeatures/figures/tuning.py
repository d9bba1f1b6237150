"""Draw the scores of all parameter combinations that were tried to find the best for a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gzfeatures.errors import InputError
from gzfeatures.files import written_whole


def draw_trials(trials: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw the cross-validation score of every tried combination of parameters, best on top.

    Each marker shape is one round (rung) of successive halving.

    Parameters
    ----------
    trials : sequence of mapping
        Results of the search, from `Head.trials`.
    path : path
        PNG or SVG file to write.

    Raises
    ------
    InputError
        `trials` is empty, because the head was fitted without a search.
    OutputError
        The file cannot be written.
    """
    from matplotlib.figure import Figure

    if not trials:
        raise InputError("no trials to draw", remedy="fit the head with tune=True")
    path = Path(path)
    names = [
        ", ".join(f"{key}={value}" for key, value in trial["parameters"].items())
        for trial in trials
    ]
    # change the sign of a loss, because a lower loss is better: so the best combination of
    # parameters is always on top
    sign = 1 if "accuracy" in trials[0]["metric"] else -1
    # sort by the last round (rung) that a combination reached, then by score: the search scores
    # only the better combinations again in the next rung, with more galaxies
    latest = {
        name: (trial["rung"], sign * trial["score"])
        for name, trial in zip(names, trials, strict=True)
    }
    place = {name: y for y, name in enumerate(sorted(latest, key=lambda name: latest[name]))}
    figure = Figure(figsize=(6.4, 1.0 + 0.24 * len(place)), layout="constrained")
    axes = figure.subplots()
    for rung in sorted({trial["rung"] for trial in trials}):
        of_rung = [
            (name, trial)
            for name, trial in zip(names, trials, strict=True)
            if trial["rung"] == rung
        ]
        axes.errorbar(
            [trial["score"] for _, trial in of_rung],
            [place[name] for name, _ in of_rung],
            xerr=[trial["deviation"] for _, trial in of_rung],
            fmt="osD^v"[rung],
            color=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#1b1f24")[rung],
            capsize=2,
            label=f"{of_rung[0][1]['rows']:,} galaxies",
        )
    axes.set_yticks(list(place.values()), list(place))
    axes.set_xlabel(f"{trials[0]['metric']} in cross-validation inside train")
    axes.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    with written_whole(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
    return path
