"""Run the demo, write experiment files, compare finished runs, and record them in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gzfeatures import outputs
from gzfeatures.errors import InputError, OutputError
from gzfeatures.evaluation.comparison import Comparison
from gzfeatures.experiment import demo as demo_survey
from gzfeatures.experiment.config import load
from gzfeatures.experiment.folder import PAIRINGS
from gzfeatures.experiment.run import Run, compare_runs, run
from gzfeatures.experiment.settings.new_file import experiment_text
from gzfeatures.experiment.steps.session import Tracker
from gzfeatures.features.backbones import RECORD as CHECKPOINT
from gzfeatures.features.store import Store
from gzfeatures.files import require_file, written_whole
from gzfeatures.progress import Progress, handed
from gzfeatures.report.report import UNRECORDED
from gzfeatures.verbs.inputs import Place


def demo(
    output: Place = "runs/demo",
    *,
    galaxies: int = 1000,
    store: Store | Place | None = None,
    tracker: Tracker | None = None,
    again: bool = False,
    progress: Progress | bool = False,
) -> Run:
    """Simulate a survey of galaxies, and run a whole experiment on it without a download.

    Parameters
    ----------
    output : str or Path
        Folder for all files of the demo.
    galaxies : int
        Number of galaxies to draw.
    store : Store, str or Path, optional
        Where vectors are kept; default the user's own.
    tracker : Tracker, optional
        Where runs are recorded, such as `tracking.Tracking()`; None records nothing.
    again : bool
        Train and extract again, even if the folder holds results.
    progress : Progress or bool
        Where lines and bars go; nowhere by default. True is the terminal.

    Returns
    -------
    Run
        Its report, table and map.

    Raises
    ------
    OutputError
        The folder cannot be written.

    Examples
    --------
    >>> demo("demo/", progress=True).report.headline  # doctest: +SKIP
    """
    folder = Path(output)
    settings = demo_survey.experiment(folder / "survey", galaxies, progress=handed(progress))
    return run(
        settings, folder=folder, store=store, tracker=tracker, again=again, progress=progress
    )


def new(
    experiment: Place,
    images: Place | None = None,
    labels: Place | None = None,
    catalog: Place | None = None,
    *,
    scheme: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a commented experiment file (TOML) that `gzfeatures run` can execute.

    Parameters
    ----------
    experiment : str or Path
        File to write (TOML).
    images, labels, catalog : str or Path, optional
        Images, labels (no catalog is needed beside them), and catalog with votes; a missing one is
        left to be edited.
    scheme : str, optional
        Class scheme of the catalog's votes; default zhu-5class.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingFileError, InputError, OutputError
        A named file is missing, a scheme goes with labels, or the file cannot be written.

    Examples
    --------
    >>> new("mine.toml", "images/", "labels.csv")  # doctest: +SKIP
    """
    file = Path(experiment)
    if file.exists() and not overwrite:
        raise OutputError(
            "experiment file is there", where=file, remedy="overwrite=True replaces it"
        )
    given = [None if each is None else Path(each) for each in (images, labels, catalog)]
    for what, place in zip(("images", "labels", "catalog"), given, strict=True):
        # skip web addresses: they are no local files, whose existence can be tested
        if place is not None and ":/" not in str(place):
            require_file(place, what)
    if scheme is not None and (labels is not None or catalog is None):
        raise InputError(
            "scheme of labels",
            rule="be given with a catalog of votes, and without labels",
            found=scheme,
        )
    text = experiment_text(file, given[0], given[1], given[2], scheme)
    with written_whole(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
    # read the file again, so that an unknown class scheme or an illegal name is refused now and not
    # when the experiment is run
    load(file)
    return file


def compare(
    runs: Place | Sequence[Place],
    metric: str | None = None,
    *,
    say: Callable[[str], object] | None = None,
) -> Comparison:
    """Rank the networks and heads of finished runs that share a split, with intervals and tests.

    Parameters
    ----------
    runs : str, Path, or sequence of them
        Run folders, or experiment files (TOML) of finished runs.
    metric : str, optional
        Metric for the ranking and the tests; default accuracy, or RMSE of vote fractions.
    say : callable, optional
        Takes lines on what the scores assume.

    Returns
    -------
    Comparison
        `ranking`, `tests`, `winner`.

    Raises
    ------
    MissingFileError
        A run is not finished.
    InputError
        The runs do not share one split.

    Examples
    --------
    >>> compare(["runs/one", "runs/two"], "macro_f1")  # doctest: +SKIP
    """
    places = [runs] if isinstance(runs, str | Path) else list(runs)
    return compare_runs([Path(place) for place in places], metric, say)


def record(
    folder: Place,
    tracking_uri: str | None = None,
    *,
    upgrade: bool = False,
    progress: Progress | bool = False,
) -> dict[str, Any]:
    """Record a finished run or training in MLflow, if MLflow was not available when it ended.

    Parameters
    ----------
    folder : str or Path
        Run folder, or a checkpoint folder of `finetune`.
    tracking_uri : str, optional
        MLflow tracking address; default `$MLFLOW_TRACKING_URI`, or mlruns/.
    upgrade : bool
        Bring a database of an older MLflow up to date, after a copy.
    progress : Progress or bool
        Where lines go; nowhere by default. True is the terminal.

    Returns
    -------
    dict
        `folder`, `tracking_uri`, `runs` (how many runs of it are recorded there) and `recorded`
        (how many of them now).

    Raises
    ------
    MissingFileError
        The folder holds no run.
    InputError
        What waits there cannot be read.
    OutputError
        It cannot be recorded now either; what was recorded until then is kept.

    Examples
    --------
    >>> record("runs/demo")["recorded"]  # doctest: +SKIP
    """
    from gzfeatures.tracking import Tracking
    from gzfeatures.tracking.later.recorder import record_waiting
    from gzfeatures.tracking.later.waiting import WaitingRun

    place, teller = Path(folder), handed(progress)
    if not (place / CHECKPOINT).exists():
        require_file(place / PAIRINGS, "candidates of a finished run")
    counts = {"runs": 0, "recorded": 0}
    address = None
    if (place / UNRECORDED).exists():
        before = WaitingRun.read(place)
        tracking = Tracking(tracking_uri, upgrade=upgrade, progress=teller)
        # the list of unrecorded runs is both read and replaced: allow this, because the list
        # belongs to the run's own files
        with outputs.guarded("run", files=[place / UNRECORDED], overwrite=True):
            after, address = record_waiting(place, tracking), tracking.uri
        earlier = {each.run for each in before.records}
        recorded = sum(each.run not in earlier for each in after.records)
        counts = {"runs": after.number, "recorded": recorded}
        teller.say(f"recorded in {address}")
    else:
        teller.say(f"nothing waits in {place}: its runs were recorded when it ended")
    return {"folder": str(place), "tracking_uri": address, **counts}


def ui(
    port: int = 5000,
    *,
    tracking_uri: str | None = None,
    upgrade: bool = False,
    progress: Progress | bool = False,
) -> None:
    """Serve the MLflow pages with recorded runs on 127.0.0.1 until the program is interrupted.

    Parameters
    ----------
    port : int
        Port on 127.0.0.1.
    tracking_uri : str, optional
        MLflow tracking address; default `$MLFLOW_TRACKING_URI`, or mlruns/.
    upgrade : bool
        Upgrade a database of an older MLflow, after making a copy.
    progress : Progress or bool
        Where the address is told; nowhere by default. True is the terminal.

    Raises
    ------
    OutputError
        The database is of another version of MLflow, or the port is taken.

    Examples
    --------
    >>> ui(5001, progress=True)  # doctest: +SKIP
    """
    from gzfeatures.tracking import Tracking

    teller = handed(progress)
    tracking = Tracking(tracking_uri, upgrade=upgrade, progress=teller)
    tracking.ui(port, teller.say)
