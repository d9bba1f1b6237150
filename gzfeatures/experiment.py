"""run(config): the recipe from catalogs to a ranking, top to bottom, both roads.

A run folder holds everything a run made: `experiment.json` (settings), `labels.csv` (labels and split), `networks/`
(checkpoints), `tables/`, `heads/`, `predictions/`, `report.html`, `map.html`. Running again goes on from what is there:
a network or table is taken as it is when nothing it depends on has changed; heads are fitted anew, they take seconds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gzfeatures import cohort as cohorts
from gzfeatures import config as configs
from gzfeatures.cohort import Cohort
from gzfeatures.config import Experiment, FrozenBackbone, Network
from gzfeatures.features.store import Store
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labelfile import write_labels
from gzfeatures.illustrations import Source, draw_map, explain_pairing
from gzfeatures.results.comparison import Comparison, Pairing, Road, compare
from gzfeatures.results.metrics import jsonable
from gzfeatures.results.provenance import surroundings
from gzfeatures.results.report import Report
from gzfeatures.results.runfolder import LABELS, read_pairings, slug, write_pairings
from gzfeatures.roads import fit_heads, learning_curves, tabulate, train_network

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

    Raises
    ------
    GzError
        A step's own error; what was finished before it stays in the folder and is used by the next call.
    """
    start = time.perf_counter()
    settings = experiment if isinstance(experiment, Experiment) else configs.load(experiment)
    place = Path(folder) if folder is not None else Path("runs") / settings.name
    _require_weights(settings)
    with written_whole(place / "experiment.json") as temporary:
        temporary.write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    group = cohorts.gather(settings.galaxies, settings.seed, place)
    write_labels(place / LABELS, group.labels, group.split)

    pairings: list[Pairing] = []
    artifacts: list[tuple[list[Path], Watch | None]] = []
    sources: dict[Pairing, Source] = {}
    seen = group.split if settings.heads_on == "all" else group.own
    frozen: list[tuple[FrozenBackbone, Road, int, dict[str, float]]]
    frozen = [(choice, "frozen", settings.seed, {}) for choice in settings.backbones]
    tuned = frozen[:0]
    for name, network, seed in _trainings(settings):
        checkpoint = place / "networks" / name
        with tracker.training(settings.name, network.name) if tracker else nullcontext() as live:
            pairing = train_network(network, group, checkpoint, settings, seed=seed, again=again, watch=live)
        sources[pairing] = Source(str(checkpoint))
        pairings.append(pairing)
        artifacts.append(([checkpoint / "curves.png", checkpoint / "history.json"], live))
        if network.as_backbone:
            spent = {"train": pairing.seconds["train"]}
            tuned.append((FrozenBackbone(name=str(checkpoint)), "fine-tuned", seed, spent))
    for number, (choice, road, seed, spent) in enumerate([*frozen, *tuned]):
        path = place / "tables" / f"{number:02d}-{slug(Path(choice.name).name)}.parquet"
        table, seconds = tabulate(choice, group, path, settings, store=store, again=again)
        heads = place / "heads" / path.stem
        fitted = fit_heads(
            table, group.labels, seen, settings.heads, seed=seed, folder=heads, road=road,
            seconds=spent | seconds, catalog=group.catalog, split=group.split, allow_seen=settings.allow_seen,
        )  # fmt: skip
        pairings += fitted
        checkpoint_of = [Path(choice.name)] if road == "fine-tuned" else []
        artifacts += [([heads / f"{pairing.head}.skops", *checkpoint_of], None) for pairing in fitted]
        sources |= {p: Source(choice.name, choice.weights, path, heads / f"{p.head}.skops") for p in fitted}

    comparison = compare(pairings, group.labels, seed=settings.seed)
    provenance = _provenance(settings, group)
    report = Report(settings.name, tuple(pairings), comparison, group.labels, group.split, provenance)
    ranked = [pairing for _, pairing in report.ranked]
    best = next((sources[pairing].table for pairing in ranked if pairing.head), None)
    if best is not None and settings.learning_curve:
        report = dataclasses.replace(report, curves=learning_curves(best, group.labels, seen, settings))
    write_pairings(place, pairings)
    wanted = settings.explain if group.labels.target == "classes" else 0
    firsts = {pairing.head is None: pairing for pairing in reversed(ranked) if wanted}
    shown = [explain_pairing(one, sources[one], group, wanted, seed=settings.seed) for _, one in sorted(firsts.items())]
    drawn = None
    if best is not None and settings.map:
        first_of = {pairing.road: pairing for pairing in reversed(ranked)}
        said = {f"{road}, {pairing.name}": pairing.predictions for road, pairing in first_of.items()}
        drawn, pictures = draw_map(best, group, said, place)
        shown.insert(0, pictures)
    report.write(place, images=group.images, showcases=shown)
    if tracker is not None:
        for pairing, (files, live) in zip(pairings, artifacts, strict=True):
            tracker.pairing(settings.name, pairing, files, live)
        tracker.comparison(settings.name, report, place)
    seconds_all = time.perf_counter() - start
    return Run(report, place, best, drawn, tracker.uri if tracker else None, seconds_all)


def _trainings(settings: Experiment) -> Iterator[tuple[str, Network, int]]:
    """Every network with every seed it is trained with, and the name of its folder."""
    for number, network in enumerate(settings.networks):
        name = f"{number:02d}-{slug(network.name)}"
        for seed in network.seeds or (settings.seed,):
            yield f"{name}-seed{seed}" if network.seeds else name, network, seed


def _require_weights(settings: Experiment) -> None:
    """Say that weights are missing before anything is trained; hashes files, loads no network."""
    from gzfeatures.networks.extract import extractor_of

    for choice in settings.backbones:
        extractor_of(choice.name, weights=choice.weights, layer=choice.layer)


def compare_runs(places: Sequence[Path]) -> Comparison:
    """Compare the pairings of finished runs.

    Parameters
    ----------
    places : sequence of Path
        Run folders, or experiment files whose default run folder `runs/<name>` is taken.

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
    return compare(pairings, labels)


def _provenance(settings: Experiment, group: Cohort) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "labels": group.labels.fingerprint,
        "split": group.split.fingerprint,
        "skipped": [list(item) for item in group.skipped],
        **surroundings(),
    }
