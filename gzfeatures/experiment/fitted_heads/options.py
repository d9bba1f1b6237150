"""Collect the options with which a run fits and scores heads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gzfeatures.evaluation.candidate import Approach
from gzfeatures.evaluation.conformal_sets import Method
from gzfeatures.progress import SILENT, Progress


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """Collect the options of fitting and scoring heads, such as folder, seed and coverage.

    Parameters
    ----------
    folder : Path
        Folder for the heads' files: `<head>.skops`, or `<head>-seed<seed>.skops` for a head with
        several seeds.
    seed : int
        Seed of heads without seeds of their own.
    columns : tuple of str
        Catalog columns that heads read in addition to embeddings.
    jobs : int
        Number of parameter settings tried at the same time when a head is tuned.
    allow_seen : bool
        Whether to score test galaxies that a backbone was trained on too; such heads are marked as
        contaminated.
    coverage : float
        Share of each class's galaxies whose class set must contain the true class.
    sets_by : {"threshold", "raps"}
        Method that decides which classes are in a set (see `conformal_sets.Conformal`).
    approach : {"frozen", "fine-tuned"}
        Whether the backbone is used as it is, or was trained on galaxies of the run.
    title : str, optional
        Name of the head's inputs in reports; by default the names of backbones and columns.
    curve : tuple of float
        Validation score after each epoch of the backbone's training, if the run trained it.
    set_aside : bool
        Whether the test galaxies also calibrate class sets and familiarity, because no other
        galaxies were drawn at random. Coverage is then measured by calibrating on one half and
        testing on the other.
    progress : Progress
        Object that shows the progress of tuning; shows nothing by default.
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
