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
    """Simulate images and votes of galaxies, and run a whole experiment on them without a download.

    Parameters
    ----------
    output : str or Path
        Folder for all files of the demo.
    galaxies : int
        Number of galaxies to simulate.
    store : Store, str or Path, optional
        Folder in which embeddings are stored; default the user's own.
    tracker : Tracker, optional
        Object that records runs, such as `tracking.Tracking()`; with None, nothing is recorded.
    again : bool
        Train and compute embeddings again, even if the folder has results.
    progress : Progress or bool
        Shows messages and progress bars; by default nothing is shown. True: in the terminal.

    Returns
    -------
    Run
        The finished run, with its report, embedding table and map.

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
        Images, labels, and catalog with votes; with labels, no catalog is needed. For a file that
        is not given, the experiment file has a place in which the user writes its name.
    scheme : str, optional
        Class scheme that turns the catalog's votes into classes; default zhu-5class.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The experiment file.

    Raises
    ------
    MissingFileError, InputError, OutputError
        A named file is missing; a scheme is given, but no catalog, or labels too; or the
        experiment file cannot be written.

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
        # do not test whether web addresses exist: only files on this machine can be tested
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
    # read the new file once, so that an unknown class scheme or an illegal name is an error now,
    # and not only when the experiment is run
    load(file)
    return file


def compare(
    runs: Place | Sequence[Place],
    metric: str | None = None,
    *,
    say: Callable[[str], object] | None = None,
) -> Comparison:
    """Rank networks and heads of finished runs with one split; test whether scores differ.

    Parameters
    ----------
    runs : str, Path, or sequence of them
        Run folders, or experiment files (TOML) of finished runs.
    metric : str, optional
        Metric for the ranking and the tests; default accuracy, or RMSE for vote fractions.
    say : callable, optional
        Function that prints a line; called with what the scores assume.

    Returns
    -------
    Comparison
        `ranking` with confidence intervals, `tests` between pairs, and `winner`.

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
        Upgrade a database of an older MLflow, after making a copy.
    progress : Progress or bool
        Shows messages; by default nothing is shown. True: in the terminal.

    Returns
    -------
    dict
        `folder`, `tracking_uri`, `runs` (number of MLflow runs that the folder has there) and
        `recorded` (how many of them this call recorded).

    Raises
    ------
    MissingFileError
        The folder has no run.
    InputError
        The file of unrecorded results cannot be read.
    OutputError
        MLflow is still not available; results that this call could record stay recorded.

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
        # the list of unrecorded runs is an input and is also overwritten: allow this here, because
        # the list was written by the run and not by the user
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
    """Serve MLflow's web pages with recorded runs on 127.0.0.1 until the program is interrupted.

    Parameters
    ----------
    port : int
        Port on 127.0.0.1.
    tracking_uri : str, optional
        MLflow tracking address; default `$MLFLOW_TRACKING_URI`, or mlruns/.
    upgrade : bool
        Upgrade a database of an older MLflow, after making a copy.
    progress : Progress or bool
        Shows the address of the page; by default nothing is shown. True: in the terminal.

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
