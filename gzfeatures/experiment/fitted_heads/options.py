"""Hold the options with which the heads of a run are fitted and scored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gzfeatures.evaluation.candidate import Approach
from gzfeatures.evaluation.conformal import Method
from gzfeatures.progress import SILENT, Progress


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """Hold the options with which heads are fitted and scored.

    Parameters
    ----------
    folder : Path
        Where `<head>.skops`, and of several seeds `<head>-seed<seed>.skops`, go.
    seed : int
        Of a fit for which no seeds are chosen.
    columns : tuple of str
        Catalog columns that heads read beside the vectors.
    jobs : int
        Candidates tried at once when tuning.
    allow_seen : bool
        Score also on test galaxies that a backbone was trained on: such candidates are marked
        contaminated.
    coverage : float
        Share of galaxies, of each class, whose class set is to hold the true class.
    sets_by : {"threshold", "raps"}
        How class sets are formed (see `conformal.Conformal`).
    approach : {"frozen", "fine-tuned"}
        Whether the backbone was trained on galaxies of the run.
    title : str, optional
        What tells the tables from others of the same backbone; default its name and the columns.
    curve : tuple of float
        Validation score after each epoch of the network that was trained on galaxies of the run.
    set_aside : bool
        Test galaxies are a random sample that was set aside, and no other is: class sets and
        familiarity come from them too, and the coverage reported is cross-fitted.
    progress : Progress
        Where trials of tuning are told; nowhere by default.
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
