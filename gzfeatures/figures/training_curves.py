"""Write losses and scores of each training epoch as JSON, and draw them as PNG."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gzfeatures.evaluation.metrics import CALIBRATED, LOWER_IS_BETTER
from gzfeatures.files import written_whole

KEPT = ("epoch", "lr", "seconds", "per_class", "confusion", "gain", "gain_error")
"""Keys of an epoch's results that are not drawn as curves."""


def write_curves(folder: Path, history: list[dict[str, Any]]) -> Path:
    """Write `history.json` and `curves.png` of a training; return the path of `curves.png`.

    Parameters
    ----------
    folder : Path
        Folder to write into.
    history : list of dict
        Results of each epoch; all keys except those in `KEPT` are drawn. Losses and errors have one
        plot, other scores another.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with written_whole(folder / "history.json") as temporary:
        temporary.write_text(json.dumps(history, indent=1), "utf-8")
    names = [name for name in history[-1] if name not in KEPT]
    # losses fall and scores rise: draw them in two plots
    falling = ("training_loss", *LOWER_IS_BETTER)
    lower = [name for name in names if name.removeprefix(CALIBRATED) in falling]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, chosen in zip(
        figure.subplots(1, 2), (lower, [n for n in names if n not in lower]), strict=True
    ):
        for name in chosen:
            axes.plot(
                [r["epoch"] for r in history],
                # a training that an earlier version began lacks some metrics at first
                [r.get(name, math.nan) for r in history],
                label=name.replace("_", " "),
                marker=".",
            )
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if chosen:
            axes.legend()
    with written_whole(folder / "curves.png") as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return folder / "curves.png"
