"""Collect the options with which a run fits and scores heads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gzfeatures.evaluation.candidate import Approach
from gzfeatures.evaluation.conformal import Method
from gzfeatures.progress import SILENT, Progress


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """Collect the options of fitting and scoring heads, such as folder, seed and coverage.

    Parameters
    ----------
    folder : Path
        Where `<head>.skops`, and of several seeds `<head>-seed<seed>.skops`, go.
    seed : int
        Seed of each fit without seeds of its own.
    columns : tuple of str
        Catalog columns that heads read beside the vectors.
    jobs : int
        Parameter settings tried at the same time when a head is tuned.
    allow_seen : bool
        Score also on test galaxies that a backbone was trained on: such candidates are marked
        contaminated.
    coverage : float
        Share of galaxies, of each class, whose conformal set shall contain the true class.
    sets_by : {"threshold", "raps"}
        How conformal sets are formed (see `conformal.Conformal`).
    approach : {"frozen", "fine-tuned"}
        Whether the backbone was trained on galaxies of the run.
    title : str, optional
        Name of the head's inputs in reports; default the names of backbones and columns.
    curve : tuple of float
        Validation score after each epoch of the network that was trained on galaxies of the run.
    set_aside : bool
        Test galaxies are a random sample, and no other sample was set aside: conformal sets and
        familiarity come from the test galaxies too, and the reported coverage is cross-fitted.
    progress : Progress
        Shows the trials of tuning; nothing by default.
    """

    folder: Path
    seed: int = 0
    columns: tuple[str, ...] = ()
    jobs: int = 1
    allow_seen: bool = False
    coverage: float = 0.9
    sets_by: Method = "threshold"
    approach: Approach = "frozen"
    title: str | None = None
    curve: tuple[float, ...] = ()
    set_aside: bool = False
    progress: Progress = SILENT
