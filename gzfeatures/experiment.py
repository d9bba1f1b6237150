"""run(config): the recipe from catalogs to a ranking, top to bottom, both roads.

A run folder holds everything a run made: `experiment.json` (settings), `labels.csv` (labels and split), `networks/`
(checkpoints), `tables/`, `heads/`, `predictions/`, `report.html`, `map.html`. Running again goes on from what is there:
a network or table is taken as it is when nothing it depends on has changed; heads are fitted anew, they take seconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gzfeatures import cohort as cohorts
from gzfeatures import config as configs
from gzfeatures import outputs
from gzfeatures.cohort import Cohort
from gzfeatures.config import SETTINGS, Experiment, FrozenBackbone, HeadChoice, Network
from gzfeatures.errors import InputError
from gzfeatures.features.backbones import BACKBONES, backbone
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labelfile import write_labels
from gzfeatures.illustrations import FILES as MAP_FILES
from gzfeatures.illustrations import Classifier, draw_map, explain_pairing
from gzfeatures.pairings import files_of, fit_heads, learning_curves
from gzfeatures.results.comparison import Comparison, compare
from gzfeatures.results.figures import Curve
from gzfeatures.results.metrics import jsonable
from gzfeatures.results.pairing import Pairing, Road
from gzfeatures.results.provenance import surroundings
from gzfeatures.results.report import FILES as REPORT_FILES
from gzfeatures.results.report import Report
from gzfeatures.results.runfolder import LABELS, PAIRINGS, read_pairings, slug, write_pairings
from gzfeatures.roads import network_curve, tabulate, train_network

if TYPE_CHECKING:
    from gzfeatures.networks.checkpoint import Watch


class Tracker(Protocol):
    """Where runs are recorded; `gzfeatures.tracking.Tracking` is one."""

    uri: str

    def training(self, experiment: str, name: str) -> AbstractContextManager[Watch]:
        """The run of a training, filled while it is on: called with the history so far after every epoch."""
        ...

    def pairing(self, experiment: str, pairing: Pairing, artifacts: Sequence[Path], live: Any = None) -> str:
        """Record one pairing, as a new run or in that of its training; return the run id."""
        ...

    def comparison(self, experiment: str, report: Report, folder: Path) -> str:
        """Record the comparison of all pairings; return its run id."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Parameters
    ----------
    report : Report
        Ranking, tests, and everything behind them.
    folder : Path
        Where everything lies.
    table, map : Path or None
        Embedding table of the best pairing on a table, and the map of it.
    tracking_uri : str or None
        Where the runs are recorded.
    seconds : float
        Wall clock of the whole run.
    """

    report: Report
    folder: Path
    table: Path | None
    map: Path | None
    tracking_uri: str | None
    seconds: float

    def asdict(self) -> dict[str, Any]:
        """Outcome as JSON values, ranked pairings first."""
        return {
            "pairings": [_flat(row) for row in self.report.comparison.ranking],
            "table": self.table,
            "map": self.map,
            "report": self.folder / "report.html",
            "folder": self.folder,
            "tracking_uri": self.tracking_uri,
            "seconds": round(self.seconds, 1),
        }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
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
        Train and tabulate anew, whatever the folder holds.
    overwrite : bool
        Replace files in the folder that no run wrote there, or that were changed since; an input never.

    Raises
    ------
    OutputError
        A file of the folder is an input, or may not be replaced.
    GzError
        A step's own error; what was finished before it stays in the folder and is used by the next call.
    """
    settings = experiment if isinstance(experiment, Experiment) else configs.load(experiment)
    place = Path(folder) if folder is not None else Path("runs") / settings.name
    read = [Path(experiment)] if isinstance(experiment, (str, Path)) and Path(experiment).is_file() else []
    written = [place / name for name in (*REPORT_FILES, *MAP_FILES, PAIRINGS, LABELS, SETTINGS)]
    if _settings_of(place) == settings:
        written.remove(place / SETTINGS)  # it stays as it is, whoever wrote it
    with outputs.guarded("run", inputs=[*read, *settings.inputs], files=written, folders=[place], overwrite=overwrite):
        if place / SETTINGS in written:
            with written_whole(place / SETTINGS) as temporary:
                temporary.write_text(settings.model_dump_json(indent=1), encoding="utf-8")
        return _run(settings, place, store, tracker, again)


def _settings_of(place: Path) -> Experiment | None:
    """Settings of the last run in a folder; None where it had none, or they cannot be read."""
    try:
        return configs.load(place) if (place / SETTINGS).exists() else None
    except InputError:
        return None


def _run(settings: Experiment, place: Path, store: Store | None, tracker: Tracker | None, again: bool) -> Run:
    start = time.perf_counter()
    _require_weights(settings)
    records = () if settings.allow_seen else (backbone(name).trained_on for name in _starts(settings))
    group = cohorts.gather(settings.galaxies, settings.seed, place, TrainedOn.joined(records))
    write_labels(place / LABELS, group.labels, group.split)

    outcomes: list[_Outcome] = []
    curves: dict[str, Curve] = {}
    seen = group.split if settings.heads_on == "all" else group.own
    columns = [
        _Column(choice.name, choice, settings.heads, settings.seed, apart=apart)
        for choice, apart in zip(settings.backbones, _told_apart(settings.backbones), strict=True)
    ]
    for name, network, seed, apart in _trainings(settings):
        checkpoint = place / "networks" / name
        with tracker.training(settings.name, network.name + apart) if tracker else nullcontext() as live:
            pairing = train_network(network, group, checkpoint, settings, seed=seed, again=again, watch=live)
        pairing = dataclasses.replace(pairing, backbone=pairing.backbone + apart)
        if network.learning_curve and pairing.name not in curves:
            curves[pairing.name] = network_curve(network, group, checkpoint, settings, seed=seed, whole=pairing)
        files = [checkpoint / "curves.png", checkpoint / "history.json", checkpoint]
        outcomes.append(_Outcome(pairing, files, Classifier(str(checkpoint)), live))
        if network.as_backbone:
            column = _Column.of(network, checkpoint, settings.heads, seed, pairing.seconds["train"])
            columns.append(dataclasses.replace(column, apart=apart))
    common: dict[str, Any] = {
        "labels": group.labels, "seen": seen, "split": group.split, "catalog": group.catalog,
        "jobs": settings.jobs, "allow_seen": settings.allow_seen,
    }  # fmt: skip
    made: dict[tuple[str, str], tuple[Path, _Column, dict[str, float]]] = {}
    for number, column in enumerate(columns):
        path = place / "tables" / f"{number:02d}-{slug(Path(column.choice.name).name)}.parquet"
        table, seconds = tabulate(column.choice, group, path, settings, store=store, again=again)
        seconds |= column.spent
        made.setdefault((column.road, column.name), (path, column, seconds))
        fitted = fit_heads(
            [table], choices=column.heads, seed=column.seed, folder=place / "heads" / path.stem,
            road=column.road, seconds=seconds, title=table.extractor.backbone + column.apart, **common,
        )  # fmt: skip
        checkpoint_of = [Path(column.choice.name)] if column.road == "fine-tuned" else []
        for pairing, head in fitted:
            classifier = Classifier(column.choice.name, column.choice.weights, path, head)
            outcomes.append(_Outcome(pairing, [*files_of(head), *checkpoint_of], classifier))
    for number, joint in enumerate(settings.joined):
        paths, parts, costs = zip(*(made[key] for key in joint.tables), strict=True)
        fitted = fit_heads(
            [EmbeddingTable.read(path) for path in paths], choices=settings.heads, seed=settings.seed,
            folder=place / "heads" / f"joined-{number:02d}", columns=joint.columns,
            road=max((part.road for part in parts), key=("frozen", "fine-tuned").index),
            seconds={step: sum(cost.get(step, 0.0) for cost in costs) for cost in costs for step in cost}, **common,
        )  # fmt: skip
        outcomes += [_Outcome(pairing, files_of(head)) for pairing, head in fitted]

    pairings = [outcome.pairing for outcome in outcomes]
    comparison = compare(pairings, group.labels, seed=settings.seed)
    provenance = _provenance(settings, group)
    report = Report(settings.name, tuple(pairings), comparison, group.labels, group.split, provenance)
    classifiers = {outcome.pairing: outcome.classifier for outcome in outcomes if outcome.classifier is not None}
    ranked = [(pairing, classifiers[pairing]) for _, pairing in report.ranked if pairing in classifiers]
    tables = [(pairing.road, classifier.table) for pairing, classifier in ranked if classifier.table is not None]
    best = tables[0][1] if tables else None
    for path in dict(reversed(tables)).values() if settings.learning_curve else ():  # the best of each road
        curves |= learning_curves([EmbeddingTable.read(path)], group.labels, seen, settings)
    report = dataclasses.replace(report, curves=curves)
    write_pairings(place, pairings)
    wanted = settings.explain if group.labels.target == "classes" else 0
    firsts = {pairing.head is None: (pairing, classifier) for pairing, classifier in reversed(ranked) if wanted}
    shown = [explain_pairing(*firsts[bare], group, wanted, seed=settings.seed) for bare in sorted(firsts)]
    drawn = None
    if best is not None and settings.map:
        first_of = {pairing.road: pairing for pairing, _ in reversed(ranked)}
        said = {f"{road}, {pairing.name}": pairing.predictions for road, pairing in first_of.items()}
        drawn, pictures = draw_map(best, group, said, place)
        shown.insert(0, pictures)
    report.write(place, images=group.images, showcases=shown)
    if tracker is not None:
        for outcome in outcomes:
            tracker.pairing(settings.name, outcome.pairing, outcome.artifacts, outcome.live)
        tracker.comparison(settings.name, report, place)
    return Run(report, place, best, drawn, tracker.uri if tracker else None, time.perf_counter() - start)


@dataclasses.dataclass(frozen=True)
class _Column:
    """A backbone on its way to a table: as it is listed, whose heads follow, what was spent on it before, and what
    tells it from another of its name."""

    name: str
    choice: FrozenBackbone
    heads: tuple[HeadChoice, ...]
    seed: int
    road: Road = "frozen"
    spent: Mapping[str, float] = dataclasses.field(default_factory=dict)
    apart: str = ""

    @classmethod
    def of(cls, network: Network, checkpoint: Path, heads: tuple[HeadChoice, ...], seed: int, spent: float) -> _Column:
        """A network that was trained; of several, heads have the network's seed."""
        own = tuple(head.model_copy(update={"seeds": ()}) for head in heads) if network.seeds else heads
        return cls(network.name, FrozenBackbone(name=str(checkpoint)), own, seed, "fine-tuned", {"train": spent})


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """A pairing with the files to keep of it, what explains it (of one table), and the run of its training."""

    pairing: Pairing
    artifacts: list[Path]
    classifier: Classifier | None = None
    live: Watch | None = None


def _trainings(settings: Experiment) -> Iterator[tuple[str, Network, int, str]]:
    """Every network with every seed it is trained with, the name of its folder, and what tells it from others."""
    every = zip(settings.networks, _told_apart(settings.networks), strict=True)
    for number, (network, apart) in enumerate(every):
        name = f"{number:02d}-{slug(network.name)}"
        for seed in network.seeds or (settings.seed,):
            yield f"{name}-seed{seed}" if network.seeds else name, network, seed, apart


def _told_apart(listed: Sequence[FrozenBackbone | Network]) -> list[str]:
    """What follows the name of each so that no two are one: nothing, or what was chosen of it, or a number."""
    names = [each.name for each in listed]
    met: Counter[str] = Counter()
    found = []
    for each in listed:
        chosen = [each.view, getattr(each, "layer", None), "dihedral" if getattr(each, "dihedral", False) else None]
        apart = "".join(f" {text}" for text in chosen if text) if names.count(each.name) > 1 else ""
        met[each.name + apart] += 1
        number = met[each.name + apart]
        found.append(f"{apart} {number}" if number > 1 else apart)
    return found


def _starts(settings: Experiment) -> list[str]:
    """Names of the backbones, and of those whose weights a network starts from."""
    known = [each.name for each in settings.networks if each.weights != "none"]
    known = [name for name in known if name in BACKBONES or Path(name).is_dir()]
    return [*(choice.name for choice in settings.backbones), *known]


def _require_weights(settings: Experiment) -> None:
    """Say that weights are missing before anything is trained; hashes files, loads no network."""
    from gzfeatures.networks.spec import extractor_of

    for choice in settings.backbones:
        extractor_of(choice.name, weights=choice.weights, layer=choice.layer)


def compare_runs(places: Sequence[Path], metric: str | None = None) -> Comparison:
    """Compare the pairings of finished runs.

    Parameters
    ----------
    places : sequence of Path
        Run folders, or experiment files whose default run folder `runs/<name>` is taken.
    metric : str, optional
        What to rank by and to test; default accuracy, or RMSE of vote fractions.

    Raises
    ------
    MissingFileError
        A run is not finished.
    InputError
        The runs do not share one split.
    """
    pairings: list[Pairing] = []
    for place in places:
        folder = Path("runs") / configs.load(place).name if place.is_file() else place
        more, labels, _ = read_pairings(folder)
        pairings += more
    return compare(pairings, labels, metric=metric)


def _provenance(settings: Experiment, group: Cohort) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "labels": group.labels.fingerprint,
        "split": group.split.fingerprint,
        "skipped": [list(item) for item in group.skipped],
        "grouped": str(group.grouping),
        "moved": list(group.moved),
        **surroundings(),
    }
