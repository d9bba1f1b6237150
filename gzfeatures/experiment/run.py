"""Run an experiment: train networks, fit heads, score and compare them, write a report.

All results are in the run's folder: `experiment.json` (settings), `labels.csv` (labels and split),
`networks/` (checkpoints), `tables/`, `heads/`, `predictions/`, `report.html`, `map.html`. A second
run in the same folder reads the networks and embedding tables whose inputs have not changed, and
computes everything else again. Heads are always fitted again, which takes seconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gzfeatures import brief, outputs
from gzfeatures.errors import NETWORK, InputError, require_packages
from gzfeatures.evaluation.candidate import Candidate, assumptions
from gzfeatures.evaluation.comparison import Comparison, compare
from gzfeatures.evaluation.metrics import jsonable
from gzfeatures.experiment import config as configs
from gzfeatures.experiment import sample as cohorts
from gzfeatures.experiment.config import SETTINGS, Experiment
from gzfeatures.experiment.figures import FILES as MAP_FILES
from gzfeatures.experiment.folder import LABELS, PAIRINGS, read_candidates, write_candidates
from gzfeatures.experiment.label_sizes import LabelSizes
from gzfeatures.experiment.sample import LabelledSample
from gzfeatures.experiment.steps.outcome import best_table, explainable
from gzfeatures.experiment.steps.plan import planned_tables, starting_weights, weight_files
from gzfeatures.experiment.steps.session import RunSession, Tracker, every_network
from gzfeatures.explore.encoder_pairs import EncoderPair, encoder_pairs
from gzfeatures.features.backbones import backbone, is_foreign
from gzfeatures.features.store import Store
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.features.weights import record_of_file
from gzfeatures.files import written_whole
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.images.picture_cache import GIGABYTES, PictureCache
from gzfeatures.progress import Progress, handed
from gzfeatures.report.report import FILES as REPORT_FILES
from gzfeatures.report.report import UNRECORDED, Report


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Store the results of a finished run of an experiment, with the paths of its files.

    Parameters
    ----------
    report : Report
        Ranking and tests, with the predictions and scores of all networks and heads.
    folder : Path
        The run's folder.
    table, map : Path or None
        Embedding table that the best head on a single table reads, and a map of this table.
    tracking_uri : str or None
        Address of the database in which runs are recorded.
    seconds : float
        Duration of the whole run.
    label_sizes : LabelSizes, optional
        Learning curve over numbers of labels, if the experiment has the setting `sizes`.
    """

    report: Report
    folder: Path
    table: Path | None
    map: Path | None
    tracking_uri: str | None
    seconds: float
    label_sizes: LabelSizes | None = None

    def __repr__(self) -> str:
        """Return the run's folder, number of scored networks and heads, and seconds, in a line."""
        candidates = brief.count(len(self.report.comparison.ranking), "candidate")
        return brief.line("Run", str(self.folder), candidates, f"{self.seconds:.0f} s")

    def _repr_html_(self) -> str:
        """Return a summary for a notebook as HTML: result, ranking, and paths of the pages."""
        facts = {
            "result": self.report.headline,
            "report": self.folder / "report.html",
            "map": self.map,
            "recorded in": self.tracking_uri,
        }
        return brief.html(repr(self), facts, self.report.comparison.to_html())

    def asdict(self) -> dict[str, Any]:
        """Return the run's results as JSON values: ranked networks and heads, paths of files."""
        return {
            "pairings": [_flat(row) for row in self.report.comparison.ranking],
            "table": self.table,
            "map": self.map,
            "report": self.folder / "report.html",
            "folder": self.folder,
            "tracking_uri": self.tracking_uri,
            "seconds": round(self.seconds, 1),
        }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in row.items() if not isinstance(value, (list, tuple, dict))}
    cleaned: dict[str, Any] = jsonable(flat)
    return cleaned


def run(
    experiment: Experiment | str | Path,
    *,
    folder: str | Path | None = None,
    store: Store | str | Path | None = None,
    tracker: Tracker | None = None,
    again: bool = False,
    overwrite: bool = False,
    progress: Progress | bool = False,
    pixel_gb: float | None = None,
) -> Run:
    """Run an experiment: train networks, fit heads, score and compare them, write a report.

    Parameters
    ----------
    experiment : Experiment, str or Path
        Settings, or the path of an experiment file, or the folder of an earlier run.
    folder : str or Path, optional
        Folder for the results; by default `runs/<name>`.
    store : Store, str or Path, optional
        Cache of embeddings on disk; by default that in the user's cache folder.
    tracker : Tracker, optional
        Database in which to record the run, such as `tracking.later.recorder.Recorder.at(…)`, whose
        errors do not stop the run; None records nothing.
    again : bool
        Whether to train and extract again even if the folder has results for the same inputs.
    overwrite : bool
        Whether to replace files in the folder that were not written by a run, or were changed
        since. Input files are never replaced.
    progress : Progress or bool
        Object that shows messages and progress bars; True shows them on the terminal. Shows
        nothing by default.
    pixel_gb : float, optional
        Largest size, in gigabytes, of a cache of decoded images in `user_folders.scratch()` during
        the run, so that each image is decoded once. 0 means no cache; 8 by default.

    Raises
    ------
    OutputError
        A file to write is an input, or may not be replaced.
    NotFirstProcess
        Several processes trained a network together, and this is not the first one, which continues
        alone.
    GzError
        A step failed; the results of finished steps stay in the folder and are used by the next
        run.

    Examples
    --------
    >>> run("experiment.toml", progress=True).report.headline  # doctest: +SKIP
    """
    settings = experiment if isinstance(experiment, Experiment) else configs.load(experiment)
    training = ("lightning",) if settings.networks else ()
    require_packages("an experiment", *NETWORK, *training)
    run_folder = Path(folder) if folder is not None else Path("runs") / settings.name
    config_files = (
        [Path(experiment)]
        if isinstance(experiment, (str, Path)) and Path(experiment).is_file()
        else []
    )
    # check before hours of training, not afterwards, that every output file may be written
    written = [
        run_folder / name
        for name in (*REPORT_FILES, *MAP_FILES, PAIRINGS, LABELS, SETTINGS, UNRECORDED)
    ]
    if _settings_of(run_folder) == settings:
        # a settings file with equal settings is not written again, so it is no reason to refuse:
        # take it off the list of files to write
        written.remove(run_folder / SETTINGS)
    with outputs.guarded(
        "run",
        inputs=[*config_files, *settings.inputs],
        files=written,
        folders=[run_folder],
        overwrite=overwrite,
        progress=handed(progress) if progress else None,
    ):
        if run_folder / SETTINGS in written:
            with written_whole(run_folder / SETTINGS) as temporary:
                temporary.write_text(settings.model_dump_json(indent=1), encoding="utf-8")
        vectors = Store.default() if store is None else Store.at(store)
        limit = GIGABYTES if pixel_gb is None else pixel_gb
        with PictureCache(int(limit * 1e9)) as cache:
            place = RunPlace(run_folder, vectors, cache)
            return _run(settings, place, tracker, again, handed(progress))


def _settings_of(place: Path) -> Experiment | None:
    """Read the settings of the last run in a folder; None if they cannot be read."""
    try:
        return configs.load(place) if (place / SETTINGS).exists() else None
    except InputError:
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class RunPlace:
    """Hold a run's folder, its store of embeddings, and its cache of decoded pixels."""

    folder: Path
    store: Store
    cache: PictureCache


def _run(
    settings: Experiment,
    where: RunPlace,
    tracker: Tracker | None,
    again: bool,
    progress: Progress,
) -> Run:
    """Run the steps of an experiment; each step writes files that a later run can use again."""
    start = time.perf_counter()
    _require_weights(settings, progress)
    place = where.folder
    group = _gathered(settings, where, progress)
    session = RunSession(settings, group, place, where.store, tracker, again, progress)
    # train networks first: a trained network is also a backbone, whose table is extracted below
    trained = every_network(session)
    columns = [
        *planned_tables(settings),
        *(outcome.column for outcome in trained if outcome.column),
    ]
    outcomes, tables = list(trained), []
    for number, column in enumerate(columns):
        # one table after the other: a survey's tables are too large to be in memory together
        table, vectors = session.table(number, column)
        tables.append(table)
        outcomes += session.with_heads(table, vectors)
    outcomes += session.joined(tables)

    report = session.report(outcomes)
    # rank before drawing: curves, map and explanations show only the best networks and heads
    ranked = explainable(report, outcomes)
    pairs = encoder_pairs([table.path for table in tables], group.labels, group.split.test)
    report = dataclasses.replace(report, encoders=pairs).with_draws(session.curves(trained, ranked))
    sizes = session.label_sizes(tables)
    if sizes is not None:
        report = dataclasses.replace(report, curves=sizes.curves_by_name(), draws=frozenset())
    # a later process can compare runs, or write the report again, from these files
    write_candidates(place, report.candidates)
    explanations = session.explanations(ranked)
    page, pictures = session.map(ranked)
    report.write(place, images=group.images, showcases=[*pictures, *explanations])
    address = session.record(report, outcomes)
    seconds = time.perf_counter() - start
    return Run(report, place, best_table(ranked), page, address, seconds, sizes)


def _gathered(settings: Experiment, where: RunPlace, progress: Progress) -> LabelledSample:
    """Load the galaxies of an experiment, and write labels and split to the run's folder."""
    # list galaxies that a backbone was trained on: a new split must not put them into the test part
    records = []
    if not settings.allow_seen:
        names = [name for name in starting_weights(settings) if not is_foreign(name)]
        records = [backbone(name).trained_on for name in names]
        # weights from a file: the checkpoint folder in which it lies lists the galaxies
        records += [record_of_file(file) for file in weight_files(settings)]
    group = cohorts.load_sample(
        settings.galaxies,
        settings.seed,
        where.folder,
        TrainedOn.joined(records),
        progress,
        where.cache,
    )
    where.cache.say(progress)
    write_labels(where.folder / LABELS, group.labels, group.split)
    return group


def _require_weights(settings: Experiment, progress: Progress) -> None:
    """Refuse missing weights of backbones before any training, without loading a network."""
    from gzfeatures.networks.extraction.spec import extractor_of

    for choice in settings.backbones:
        weights, layer = choice.own_weights, choice.layer
        extractor_of(choice.backbone(), weights=weights, layer=layer, progress=progress)


def compare_runs(
    places: Sequence[Path],
    metric: str | None = None,
    say: Callable[[str], object] | None = None,
) -> Comparison:
    """Rank the networks and heads of several finished runs together.

    Parameters
    ----------
    places : sequence of Path
        Folders of runs, or experiment files; for a file, the folder is `runs/<name>`.
    metric : str, optional
        Metric to rank and to test by; by default accuracy, or RMSE for vote fractions and numbers.
    say : callable, optional
        Function that is called with each note on what the scores assume.

    Raises
    ------
    MissingFileError
        A run is not finished.
    InputError
        The runs do not share one split.
    """
    candidates: list[Candidate] = []
    for place in places:
        more, labels, _ = read_candidates(_folder_of(place))
        candidates += more
    if say is not None:
        for note in assumptions(candidates):
            say(f"note: {note}")
    return compare(candidates, labels, metric=metric)


def compared_encoders(places: Sequence[Path]) -> tuple[EncoderPair, ...]:
    """Return how similar the embeddings of the test galaxies are, for every two backbones of runs.

    Parameters
    ----------
    places : sequence of Path
        Folders of runs, or experiment files, as for `compare_runs`. A run whose embedding tables
        were deleted adds no backbone.

    Raises
    ------
    MissingFileError, InputError
        A run is not finished, or a table is damaged.
    """
    folders = [_folder_of(place) for place in places]
    tables = [path for folder in folders for path in sorted((folder / "tables").glob("*.parquet"))]
    _, labels, split = read_candidates(folders[0])
    return encoder_pairs(tables, labels, split.test)


def _folder_of(place: Path) -> Path:
    """Return a run's folder, given that folder or the experiment file of the run."""
    return Path("runs") / configs.load(place).name if place.is_file() else place
