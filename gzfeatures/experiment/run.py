"""Run an experiment: train, extract, fit, score, compare, draw and record.

A run folder holds everything a run made: `experiment.json` (settings), `labels.csv` (labels and
split), `networks/` (checkpoints), `tables/`, `heads/`, `predictions/`, `report.html`, `map.html`.
Running again goes on from what is there: a network or table is taken as it is when nothing it
depends on has changed; heads are fitted anew, they take seconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from gzfeatures import outputs
from gzfeatures.errors import InputError
from gzfeatures.evaluation.candidate import Approach, Candidate, assumptions
from gzfeatures.evaluation.comparison import Comparison, compare
from gzfeatures.evaluation.metrics import jsonable
from gzfeatures.experiment import config as configs
from gzfeatures.experiment import sample as cohorts
from gzfeatures.experiment.approaches import (
    extract_table,
    join_members,
    network_curve,
    train_network,
)
from gzfeatures.experiment.candidates import FitOptions, files_of, fit_heads, learning_curves
from gzfeatures.experiment.config import (
    SETTINGS,
    Experiment,
    FrozenBackbone,
    HeadChoice,
    NetworkChoice,
)
from gzfeatures.experiment.figures import FILES as MAP_FILES
from gzfeatures.experiment.figures import Classifier, draw_map, explain_pairing
from gzfeatures.experiment.folder import LABELS, PAIRINGS, read_pairings, slug, write_pairings
from gzfeatures.experiment.label_sizes import LabelSizes, measure, place_of
from gzfeatures.experiment.provenance import surroundings
from gzfeatures.experiment.sample import LabelledSample
from gzfeatures.experiment.trained_networks import ensemble_name
from gzfeatures.features.backbones import BACKBONES, backbone
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.figures.gallery import Gallery
from gzfeatures.files import written_whole
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.progress import Progress, handed
from gzfeatures.report.figures import Curve
from gzfeatures.report.report import FILES as REPORT_FILES
from gzfeatures.report.report import Report
from gzfeatures.report.worst_errors import FILES as ERROR_FILES

if TYPE_CHECKING:
    from gzfeatures.networks.training.checkpoint import Watch


class Tracker(Protocol):
    """Define how runs are recorded; `gzfeatures.tracking.Tracking` implements it."""

    uri: str

    def training(self, experiment: str, name: str) -> AbstractContextManager[Watch]:
        """Open the record of a training, which is called with the history after every epoch."""
        ...

    def record_candidate(
        self, experiment: str, candidate: Candidate, artifacts: Sequence[Path], live: Any = None
    ) -> str:
        """Record one candidate, as a new run or in the run of its training; return the run's id."""
        ...

    def comparison(self, experiment: str, report: Report, folder: Path) -> str:
        """Record the comparison of all candidates; return the id of its run."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Hold the results of a finished run.

    Parameters
    ----------
    report : Report
        Ranking, tests, and everything behind them.
    folder : Path
        Where everything lies.
    table, map : Path or None
        Embedding table of the best candidate on a table, and the map of it.
    tracking_uri : str or None
        Where the runs are recorded.
    seconds : float
        Wall clock of the whole run.
    label_sizes : LabelSizes, optional
        Learning curve over labels, where the experiment has sizes.
    """

    report: Report
    folder: Path
    table: Path | None
    map: Path | None
    tracking_uri: str | None
    seconds: float
    label_sizes: LabelSizes | None = None

    def asdict(self) -> dict[str, Any]:
        """Return the results as JSON values, ranked candidates first."""
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
    store: Store | None = None,
    tracker: Tracker | None = None,
    again: bool = False,
    overwrite: bool = False,
    progress: Progress | bool = False,
) -> Run:
    """Run an experiment: train, extract, fit, score, compare, draw, record.

    Parameters
    ----------
    experiment : Experiment, str or Path
        Settings; or the file, or the folder of an earlier run, to read them from.
    folder : str or Path, optional
        Run folder; default `runs/<name>`.
    store : Store, optional
        Where vectors are kept; default the user's own.
    tracker : Tracker, optional
        Where runs are recorded; None records nothing.
    again : bool
        Train and extract anew, whatever the folder holds.
    overwrite : bool
        Replace files in the folder that no run wrote there, or that were changed since; an input
        never.
    progress : Progress or bool
        Where lines and bars of all steps go; nowhere by default. True is the terminal.

    Raises
    ------
    OutputError
        A file of the folder is an input, or may not be replaced.
    NotFirstProcess
        Several processes trained a network together, and this is not the one to go on.
    GzError
        A step's own error; what was finished before it stays in the folder and is used by the next
        call.
    """
    settings = experiment if isinstance(experiment, Experiment) else configs.load(experiment)
    run_folder = Path(folder) if folder is not None else Path("runs") / settings.name
    config_files = (
        [Path(experiment)]
        if isinstance(experiment, (str, Path)) and Path(experiment).is_file()
        else []
    )
    # check every output file before hours of training, not afterwards
    written = [
        run_folder / name for name in (*REPORT_FILES, *MAP_FILES, PAIRINGS, LABELS, SETTINGS)
    ]
    if _settings_of(run_folder) == settings:
        # equal settings are not written again, so this file may belong to anyone
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
        return _run(
            settings, run_folder, store or Store.default(), tracker, again, handed(progress)
        )


def _settings_of(place: Path) -> Experiment | None:
    """Read the settings of the last run in a folder; None without readable settings."""
    try:
        return configs.load(place) if (place / SETTINGS).exists() else None
    except InputError:
        return None


def _run(
    settings: Experiment,
    place: Path,
    store: Store,
    tracker: Tracker | None,
    again: bool,
    progress: Progress,
) -> Run:
    """Run all steps of an experiment; each step writes files that a later run can use again."""
    start = time.perf_counter()
    _require_weights(settings, progress)
    group = _gathered(settings, place, progress)
    session = _Session(settings, group, place, store, tracker, again, progress)
    # train networks first, because they are backbones of later tables
    trained = _every_network(session)
    columns = [*_untrained(settings), *(outcome.column for outcome in trained if outcome.column)]
    outcomes, tables = list(trained), []
    for number, column in enumerate(columns):
        # hold one table in memory at a time, because the tables of a survey are large
        table, vectors = session.table(number, column)
        tables.append(table)
        outcomes += session.with_heads(table, vectors)
    outcomes += session.joined(tables)

    report = session.report(outcomes)
    # rank first, because curves, map and explanations show the best candidates
    ranked = _explainable(report, outcomes)
    report = dataclasses.replace(report, curves=session.curves(trained, ranked))
    sizes = session.label_sizes(tables)
    if sizes is not None:
        report = dataclasses.replace(report, curves=sizes.curves_by_name())
    # from these files, a later process can compare or report the run again
    write_pairings(place, report.candidates)
    explanations = session.explanations(ranked)
    page, pictures = session.map(ranked)
    report.write(place, images=group.images, showcases=[*pictures, *explanations])
    address = session.record(report, outcomes)
    seconds = time.perf_counter() - start
    return Run(report, place, _best_table(ranked), page, address, seconds, sizes)


def _every_network(session: _Session) -> list[_Outcome]:
    """Train every network with every seed, and join the members of each ensemble."""
    from gzfeatures.networks.training.members import require_mean

    for network in session.settings.networks:
        # refuse other targets before the first member is trained
        if network.members > 1:
            require_mean(network.options.get("target") or session.group.labels.target)
    outcomes: list[_Outcome] = []
    # the seeds of a network follow one another, so the ensemble comes directly after its members
    for training in _trainings(session.settings):
        outcomes.append(session.trained(training))
        if training.network.members > 1 and training.last:
            outcomes.append(session.joined_members(training, outcomes[-training.network.members :]))
    return outcomes


def _gathered(settings: Experiment, place: Path, progress: Progress) -> LabelledSample:
    """Load the galaxies, and write their labels and split."""
    # a new split puts galaxies that a backbone was trained on into the training part
    records = []
    if not settings.allow_seen:
        records = [backbone(name).trained_on for name in _starts(settings)]
    group = cohorts.load_sample(
        settings.galaxies, settings.seed, place, TrainedOn.joined(records), progress
    )
    write_labels(place / LABELS, group.labels, group.split)
    return group


@dataclasses.dataclass(frozen=True)
class _Session:
    """Hold what the steps of one run have in common, and the steps themselves."""

    settings: Experiment
    group: LabelledSample
    place: Path
    store: Store
    tracker: Tracker | None
    again: bool
    progress: Progress

    @property
    def fitting_split(self) -> Split:
        """Return the split on whose training galaxies heads are fitted."""
        return self.group.split if self.settings.heads_on == "all" else self.group.scored_split

    def trained(self, training: _Training) -> _Outcome:
        """Train one network with one seed, score it, and record it during the training."""
        settings, network, seed = self.settings, training.network, training.seed
        checkpoint = self.place / "networks" / training.folder
        named = network.name + training.apart
        recorded = self.tracker.training(settings.name, named) if self.tracker else nullcontext()
        # the run appears in MLflow after the first epoch, not after the last one
        with recorded as live:
            candidate = train_network(
                network,
                self.group,
                checkpoint,
                settings,
                seed=seed,
                again=self.again,
                watch=live,
                progress=self.progress,
            )
        candidate = dataclasses.replace(candidate, backbone=candidate.backbone + training.apart)
        curve: Curve | None = None
        # one seed is enough for a learning curve, which needs a training for each size
        if network.learning_curve and training.first:
            curve = network_curve(
                network,
                self.group,
                checkpoint,
                settings,
                seed=seed,
                whole=candidate,
                progress=self.progress,
            )
        column = None
        # the trained network becomes a backbone, and heads on it are fine-tuned candidates
        if network.as_backbone:
            spent = candidate.seconds["train"]
            column = _Column.of(network, checkpoint, settings.heads, seed, spent)
            column = dataclasses.replace(column, apart=training.apart)
        files = [checkpoint / name for name in ("curves.png", "history.json", *ERROR_FILES)]
        files = [*(path for path in files if path.exists()), checkpoint]
        return _Outcome(candidate, files, Classifier(str(checkpoint)), live, column, curve)

    def joined_members(self, last: _Training, members: Sequence[_Outcome]) -> _Outcome:
        """Join the members of an ensemble into one network, and score it."""
        network, settings = last.network, self.settings
        folder = self.place / "networks" / f"{last.stem}-x{network.members}"
        places = [member.artifacts[-1] for member in members]
        spent = sum(member.candidate.seconds["train"] for member in members)
        candidate = join_members(
            network,
            self.group,
            folder,
            settings,
            members=places,
            seconds=spent,
            progress=self.progress,
        )
        candidate = dataclasses.replace(candidate, backbone=candidate.backbone + last.apart)
        column = None
        if network.as_backbone:
            column = _Column.of(network, folder, settings.heads, candidate.seed, spent)
            name = ensemble_name(network.name, network.members)
            column = dataclasses.replace(column, name=name, apart=last.apart)
        files = [path for name in ERROR_FILES if (path := folder / name).exists()]
        return _Outcome(candidate, [*files, folder], Classifier(str(folder)), None, column)

    def table(self, number: int, column: _Column) -> tuple[_TimedTable, EmbeddingTable]:
        """Extract the embedding table of one backbone."""
        name = f"{number:02d}-{slug(Path(column.choice.name).name)}.parquet"
        path = self.place / "tables" / name
        vectors, seconds = extract_table(
            column.choice,
            self.group,
            path,
            self.settings,
            store=self.store,
            again=self.again,
            progress=self.progress,
        )
        return _TimedTable(path, column, {**seconds, **column.spent}), vectors

    def with_heads(self, table: _TimedTable, vectors: EmbeddingTable) -> list[_Outcome]:
        """Fit the chosen heads on one embedding table."""
        column = table.column
        fitted = self._fit(
            [vectors],
            column.heads,
            FitOptions(
                folder=self.place / "heads" / table.path.stem,
                seed=column.seed,
                approach=column.approach,
                title=vectors.extractor.backbone + column.apart,
            ),
            table.seconds,
        )
        # the record of a fine-tuned head includes its network
        checkpoint = [Path(column.choice.name)] if column.approach == "fine-tuned" else []
        outcomes = []
        for candidate, head in fitted:
            classifier = Classifier(column.choice.name, column.choice.weights, table.path, head)
            outcomes.append(_Outcome(candidate, [*files_of(head), *checkpoint], classifier))
        return outcomes

    def joined(self, tables: Sequence[_TimedTable]) -> list[_Outcome]:
        """Fit heads on several tables side by side, followed by catalog columns."""
        table_of: dict[tuple[str, str], _TimedTable] = {}
        for table in tables:
            # of several seeds, use the first one
            table_of.setdefault((table.column.approach, table.column.name), table)
        outcomes: list[_Outcome] = []
        for number, joint in enumerate(self.settings.joined):
            parts = [table_of[key] for key in joint.tables]
            approaches = [part.column.approach for part in parts]
            fitted = self._fit(
                [EmbeddingTable.read(part.path) for part in parts],
                self.settings.heads,
                FitOptions(
                    folder=self.place / "heads" / f"joined-{number:02d}",
                    seed=self.settings.seed,
                    columns=joint.columns,
                    # one table of a fine-tuned network makes the whole candidate fine-tuned
                    approach="fine-tuned" if "fine-tuned" in approaches else "frozen",
                ),
                _summed([part.seconds for part in parts]),
            )
            outcomes += [_Outcome(candidate, files_of(head)) for candidate, head in fitted]
        return outcomes

    def _fit(
        self,
        tables: Sequence[EmbeddingTable],
        heads: Sequence[HeadChoice],
        options: FitOptions,
        seconds: Mapping[str, float],
    ) -> list[tuple[Candidate, Path]]:
        """Fit heads with the settings that all heads of a run share."""
        settings = self.settings
        return fit_heads(
            tables,
            self.group.labels,
            self.fitting_split,
            heads,
            dataclasses.replace(
                options,
                jobs=settings.jobs,
                allow_seen=settings.allow_seen,
                progress=self.progress,
            ),
            split=self.group.split,
            catalog=self.group.catalog,
            seconds=seconds,
        )

    def report(self, outcomes: Sequence[_Outcome]) -> Report:
        """Rank the candidates, and test their differences."""
        group, settings = self.group, self.settings
        candidates = tuple(outcome.candidate for outcome in outcomes)
        comparison = compare(candidates, group.labels, seed=settings.seed)
        provenance = _provenance(settings, group)
        return Report(settings.name, candidates, comparison, group.labels, group.split, provenance)

    def curves(self, trained: Sequence[_Outcome], ranked: _Ranked) -> dict[str, Curve]:
        """Measure learning curves of networks, and of heads on the best table of each approach."""
        curves = {each.candidate.name: each.curve for each in trained if each.curve is not None}
        # go from worst to best, so that the best table of each approach remains in the dict
        best: dict[str, Path] = {}
        for candidate, classifier in reversed(ranked):
            if classifier.table is not None and self.settings.learning_curve:
                best[candidate.approach] = classifier.table
        for path in best.values():
            table = EmbeddingTable.read(path)
            curves |= learning_curves([table], self.group.labels, self.fitting_split, self.settings)
        return curves

    def label_sizes(self, tables: Sequence[_TimedTable]) -> LabelSizes | None:
        """Measure heads on frozen tables, and networks, on growing numbers of labels."""
        settings, group = self.settings, self.group
        if not settings.sizes:
            return None
        folder = self.place / SIZES

        def fitted(part: Split, size: int) -> list[Candidate]:
            place = place_of(folder, size)
            sample = dataclasses.replace(group, split=part, scored_split=part)
            smaller = dataclasses.replace(self, group=sample, place=place, tracker=None)
            candidates = []
            # one seed of each network: the curve is over labels, not over seeds
            for training in _trainings(settings):
                if training.first:
                    alone = training.network.model_copy(update={"members": 1})
                    plain = dataclasses.replace(training, network=alone)
                    candidates.append(smaller.trained(plain).candidate)
            # heads are fitted on the vectors of the whole run: no image is read again
            for table in tables:
                if table.column.approach == "frozen":
                    heads = [each.model_copy(update={"seeds": ()}) for each in table.column.heads]
                    column = dataclasses.replace(table.column, heads=tuple(heads))
                    timed = dataclasses.replace(table, column=column)
                    vectors = EmbeddingTable.read(table.path).select(part.ids)
                    candidates += [o.candidate for o in smaller.with_heads(timed, vectors)]
            return candidates

        curve = measure(group.labels, group.split, settings.sizes, settings.seed, fitted)
        curve.write(folder)
        return curve

    def explanations(self, ranked: _Ranked) -> list[Gallery]:
        """Explain the best head and the best network."""
        group, settings = self.group, self.settings
        wanted = settings.explain if group.labels.target == "classes" else 0
        if not wanted:
            return []
        firsts: dict[bool, tuple[Candidate, Classifier]] = {}
        for candidate, classifier in ranked:
            firsts.setdefault(candidate.head is None, (candidate, classifier))
        # False sorts first, so the best head comes before the best network
        best = [firsts[bare] for bare in sorted(firsts)]
        return [explain_pairing(*each, group, wanted, seed=settings.seed) for each in best]

    def map(self, ranked: _Ranked) -> tuple[Path | None, list[Gallery]]:
        """Draw the map of the best table, coloured by the best predictions of each approach."""
        best = _best_table(ranked)
        if best is None or not self.settings.map:
            return None, []
        # go from worst to best, so that the best candidate of each approach remains in the dict
        first_of = {scored.approach: scored for scored, _ in reversed(ranked)}
        predictions = {}
        for approach, candidate in first_of.items():
            predictions[f"{approach}, {candidate.name}"] = candidate.predictions
        page, pictures = draw_map(best, self.group, predictions, self.place, self.progress)
        return page, [pictures]

    def record(self, report: Report, outcomes: Sequence[_Outcome]) -> str | None:
        """Record each candidate and the comparison; return the address of the database."""
        if self.tracker is None:
            return None
        for outcome in outcomes:
            self.tracker.record_candidate(
                self.settings.name,
                outcome.candidate,
                outcome.artifacts,
                outcome.live,
            )
        self.tracker.comparison(self.settings.name, report, self.place)
        return self.tracker.uri


SIZES = "sizes"
"""Folder of a run with the learning curve over labels."""
_Ranked: TypeAlias = Sequence[tuple[Candidate, Classifier]]
"""Candidates that can be explained, best first, each with its model."""


def _explainable(report: Report, outcomes: Sequence[_Outcome]) -> _Ranked:
    """Return the candidates on a single table or of a network alone, best first.

    Those on joined tables cannot be explained.
    """
    classifiers = {}
    for outcome in outcomes:
        if outcome.classifier is not None:
            classifiers[outcome.candidate] = outcome.classifier
    ranked = (scored for _, scored in report.ranked if scored in classifiers)
    return [(candidate, classifiers[candidate]) for candidate in ranked]


def _best_table(ranked: _Ranked) -> Path | None:
    """Return the table of the best candidate that has one."""
    tables = (classifier.table for _, classifier in ranked if classifier.table is not None)
    return next(tables, None)


def _summed(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Add up the seconds of each step over several tables."""
    steps = dict.fromkeys(step for cost in costs for step in cost)
    return {step: sum(cost.get(step, 0.0) for cost in costs) for step in steps}


@dataclasses.dataclass(frozen=True)
class _Column:
    """Describe a backbone to extract: its settings, its heads, and the seconds spent before.

    `apart` tells it from another backbone of the same name.
    """

    name: str
    choice: FrozenBackbone
    heads: tuple[HeadChoice, ...]
    seed: int
    approach: Approach = "frozen"
    spent: Mapping[str, float] = dataclasses.field(default_factory=dict)
    apart: str = ""

    @classmethod
    def of(
        cls,
        network: NetworkChoice,
        checkpoint: Path,
        heads: tuple[HeadChoice, ...],
        seed: int,
        spent: float,
    ) -> _Column:
        """Return a trained network as a backbone to extract; its heads use the network's seed."""
        own_heads = (
            tuple(head.model_copy(update={"seeds": ()}) for head in heads)
            if network.seeds or network.members > 1
            else heads
        )
        return cls(
            network.name,
            FrozenBackbone(name=str(checkpoint)),
            own_heads,
            seed,
            "fine-tuned",
            {"train": spent},
        )


@dataclasses.dataclass(frozen=True)
class _TimedTable:
    """Hold the path of a backbone's embedding table, and the seconds spent by step."""

    path: Path
    column: _Column
    seconds: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """Hold a candidate with its files, its explanation and its MLflow run.

    Of a network also: the network as a backbone, and its learning curve.
    """

    candidate: Candidate
    artifacts: list[Path]
    classifier: Classifier | None = None
    live: Watch | None = None
    column: _Column | None = None
    curve: Curve | None = None


@dataclasses.dataclass(frozen=True)
class _Training:
    """Describe one training: folder name, network and seed.

    `apart` tells the network from others of its name; `first` is true for the first of its seeds,
    `last` for the last. `stem` is what the folders of all its seeds begin with.
    """

    folder: str
    network: NetworkChoice
    seed: int
    apart: str
    first: bool
    last: bool
    stem: str


def _untrained(settings: Experiment) -> list[_Column]:
    """Return the backbones that are used without further training."""
    every = zip(settings.backbones, _told_apart(settings.backbones), strict=True)
    heads, seed = settings.heads, settings.seed
    return [_Column(choice.name, choice, heads, seed, apart=apart) for choice, apart in every]


def _trainings(settings: Experiment) -> Iterator[_Training]:
    """Yield every network with every seed of its trainings."""
    every = zip(settings.networks, _told_apart(settings.networks), strict=True)
    for number, (network, apart) in enumerate(every):
        folder = f"{number:02d}-{slug(network.name)}"
        seeds = network.seeds_from(settings.seed)
        several = bool(network.seeds) or network.members > 1
        for seed in seeds:
            folder_of_seed = f"{folder}-seed{seed}" if several else folder
            first, last = seed == seeds[0], seed == seeds[-1]
            yield _Training(folder_of_seed, network, seed, apart, first, last, folder)


def _told_apart(choices: Sequence[FrozenBackbone | NetworkChoice]) -> list[str]:
    """Return a suffix for each name, by which equal names differ: settings, or a number."""
    names = [each.name for each in choices]
    counts: Counter[str] = Counter()
    suffixes = []
    for each in choices:
        # settings that differ from the plain backbone are the most informative suffix
        parts = [
            each.view,
            getattr(each, "layer", None),
            "dihedral" if getattr(each, "dihedral", False) else None,
        ]
        apart = "".join(f" {text}" for text in parts if text) if names.count(each.name) > 1 else ""
        # two equal choices differ only by a number
        counts[each.name + apart] += 1
        number = counts[each.name + apart]
        suffixes.append(f"{apart} {number}" if number > 1 else apart)
    return suffixes


def _starts(settings: Experiment) -> list[str]:
    """Return the names of backbones, and of backbones whose weights start a training."""
    starts = [each.name for each in settings.networks if each.weights != "none"]
    # only backbones have a record of the galaxies they were trained on
    starts = [name for name in starts if name in BACKBONES or Path(name).is_dir()]
    return [*(choice.name for choice in settings.backbones), *starts]


def _require_weights(settings: Experiment, progress: Progress) -> None:
    """Refuse missing weights before any training, without loading a network."""
    from gzfeatures.networks.extraction.spec import extractor_of

    for choice in settings.backbones:
        extractor_of(choice.name, weights=choice.weights, layer=choice.layer, progress=progress)


def compare_runs(
    places: Sequence[Path],
    metric: str | None = None,
    say: Callable[[str], object] | None = None,
) -> Comparison:
    """Compare the candidates of several finished runs.

    Parameters
    ----------
    places : sequence of Path
        Run folders, or experiment files whose default run folder `runs/<name>` is taken.
    metric : str, optional
        What to rank by and to test; default accuracy, or RMSE of vote fractions.
    say : callable, optional
        Takes lines on what the scores assume.

    Raises
    ------
    MissingFileError
        A run is not finished.
    InputError
        The runs do not share one split.
    """
    candidates: list[Candidate] = []
    for place in places:
        folder = Path("runs") / configs.load(place).name if place.is_file() else place
        more, labels, _ = read_pairings(folder)
        candidates += more
    if say is not None:
        for note in assumptions(candidates):
            say(f"note: {note}")
    return compare(candidates, labels, metric=metric)


def _provenance(settings: Experiment, group: LabelledSample) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "labels": group.labels.fingerprint,
        "split": group.split.fingerprint,
        "skipped": [list(item) for item in group.skipped],
        "grouped": str(group.grouping),
        "moved": list(group.moved),
        **surroundings(),
    }
