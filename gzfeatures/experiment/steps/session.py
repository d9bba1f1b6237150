"""Carry out the steps of a run: train networks, extract embeddings, fit heads, draw, record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.experiment.approaches import (
    extract_table,
    join_members,
    network_curve,
    train_network,
)
from gzfeatures.experiment.candidates import fit_heads, learning_curves
from gzfeatures.experiment.config import Experiment
from gzfeatures.experiment.figures import Classifier, draw_map, explain_candidate
from gzfeatures.experiment.fitted_heads.files import files_of
from gzfeatures.experiment.fitted_heads.options import FitOptions
from gzfeatures.experiment.folder import slug
from gzfeatures.experiment.label_sizes import LabelSizes, measure, place_of
from gzfeatures.experiment.provenance import surroundings
from gzfeatures.experiment.sample import LabelledSample
from gzfeatures.experiment.settings.approaches import HeadChoice
from gzfeatures.experiment.steps.outcome import Outcome, Ranked, TimedTable, best_table, summed
from gzfeatures.experiment.steps.plan import PlannedTable, PlannedTraining, planned_trainings
from gzfeatures.experiment.trained_networks import ensemble_name, mean_curve
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.figures.gallery import Gallery
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.progress import Progress
from gzfeatures.report.figures import Curve
from gzfeatures.report.report import Report
from gzfeatures.report.worst_errors import FILES as ERROR_FILES

if TYPE_CHECKING:
    from gzfeatures.networks.training.checkpoint import Watch


class Tracker(Protocol):
    """Define the methods of a database of runs; `gzfeatures.tracking.Tracking` implements them."""

    @property
    def uri(self) -> str | None:
        """Return the address of the database of runs; None if recording failed."""
        ...

    def training(self, experiment: str, name: str) -> AbstractContextManager[Watch]:
        """Open one training's record; yield a function that stores the metrics of each epoch."""
        ...

    def record_candidate(
        self, experiment: str, candidate: Candidate, artifacts: Sequence[Path], live: Any = None
    ) -> str | None:
        """Record a network or head in its training's MLflow run or a new one; return the id."""
        ...

    def comparison(self, experiment: str, report: Report, folder: Path) -> str | None:
        """Record the comparison of all networks and heads; return the id of its MLflow run."""
        ...


def every_network(session: RunSession) -> list[Outcome]:
    """Train every network with every seed, and join the members of each ensemble."""
    from gzfeatures.networks.training.members import require_mean

    for network in session.settings.networks:
        # an ensemble averages the predictions of its networks; for some training targets, the mean
        # cannot be written as logits of one network: refuse these targets before hours of training
        if network.members > 1:
            require_mean(network.options.get("target") or session.group.labels.target)
    outcomes: list[Outcome] = []
    # a network's seeds are trained one after another: join the ensemble after the last seed
    for training in planned_trainings(session.settings):
        outcomes.append(session.trained(training))
        if training.network.members > 1 and training.last:
            outcomes.append(session.joined_members(training, outcomes[-training.network.members :]))
    return outcomes


@dataclasses.dataclass(frozen=True)
class RunSession:
    """Carry out the steps of an experiment, with its settings, galaxies, folder and database."""

    settings: Experiment
    group: LabelledSample
    place: Path
    store: Store
    tracker: Tracker | None
    again: bool
    progress: Progress

    @property
    def fitting_split(self) -> Split:
        """Return the split whose training galaxies the heads are fitted on."""
        return self.group.split if self.settings.heads_on == "all" else self.group.scored_split

    def trained(self, training: PlannedTraining) -> Outcome:
        """Train one network with one seed, score it, and record it during the training."""
        settings, network, seed = self.settings, training.network, training.seed
        checkpoint = self.place / "networks" / training.folder
        named = network.name + training.apart
        recorded = self.tracker.training(settings.name, named) if self.tracker else nullcontext()
        # open the record before the training: MLflow then shows it from the first epoch on
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
        # a learning curve takes a training for each number of labels: measure it for one seed only
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
        # the trained network becomes a backbone: heads are fitted to its embeddings and ranked too
        if network.as_backbone:
            spent = candidate.seconds["train"]
            column = PlannedTable.of(network, checkpoint, settings.heads, seed, spent)
            column = dataclasses.replace(column, apart=training.apart, curve=candidate.curve)
        files = [checkpoint / name for name in ("curves.png", "history.json", *ERROR_FILES)]
        files = [*(path for path in files if path.exists()), checkpoint]
        return Outcome(candidate, files, Classifier(str(checkpoint)), live, column, curve)

    def joined_members(self, last: PlannedTraining, members: Sequence[Outcome]) -> Outcome:
        """Join the members of an ensemble into one network, and score that network."""
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
            curve=mean_curve([member.candidate.curve for member in members]),
            progress=self.progress,
        )
        candidate = dataclasses.replace(candidate, backbone=candidate.backbone + last.apart)
        column = None
        if network.as_backbone:
            column = PlannedTable.of(network, folder, settings.heads, candidate.seed, spent)
            name = ensemble_name(network.name, network.members)
            column = dataclasses.replace(column, name=name, apart=last.apart, curve=candidate.curve)
        files = [path for name in ERROR_FILES if (path := folder / name).exists()]
        return Outcome(candidate, [*files, folder], Classifier(str(folder)), None, column)

    def table(self, number: int, column: PlannedTable) -> tuple[TimedTable, EmbeddingTable]:
        """Extract a backbone's embedding table, or read the table if an earlier run finished it."""
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
        return TimedTable(path, column, {**seconds, **column.spent}), vectors

    def with_heads(self, table: TimedTable, vectors: EmbeddingTable) -> list[Outcome]:
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
                curve=column.curve,
            ),
            table.seconds,
        )
        # a head is useless without its network: record the trained network with each head
        checkpoint = [Path(column.choice.name)] if column.approach == "fine-tuned" else []
        outcomes = []
        for candidate, head in fitted:
            classifier = Classifier(column.choice.name, column.choice.weights, table.path, head)
            outcomes.append(Outcome(candidate, [*files_of(head), *checkpoint], classifier))
        return outcomes

    def joined(self, tables: Sequence[TimedTable]) -> list[Outcome]:
        """Fit heads on several embedding tables joined side by side, with catalog columns."""
        table_of: dict[tuple[str, str], TimedTable] = {}
        for table in tables:
            # a network with several seeds has several tables: `setdefault` keeps that of the first
            table_of.setdefault((table.column.approach, table.column.name), table)
        outcomes: list[Outcome] = []
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
                    # a head on joined tables counts as fine-tuned if one of its networks is
                    approach="fine-tuned" if "fine-tuned" in approaches else "frozen",
                    curve=next((p.column.curve for p in parts if p.column.curve), ()),
                ),
                summed([part.seconds for part in parts]),
            )
            outcomes += [Outcome(candidate, files_of(head)) for candidate, head in fitted]
        return outcomes

    def _fit(
        self,
        tables: Sequence[EmbeddingTable],
        heads: Sequence[HeadChoice],
        options: FitOptions,
        seconds: Mapping[str, float],
    ) -> list[tuple[Candidate, Path]]:
        """Fit heads on embedding tables, with the settings that all heads of a run share."""
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

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Rank networks and heads by score, and test if their differences are significant."""
        group, settings = self.group, self.settings
        candidates = tuple(outcome.candidate for outcome in outcomes)
        comparison = compare(candidates, group.labels, seed=settings.seed)
        provenance = _provenance(settings, group)
        return Report(settings.name, candidates, comparison, group.labels, group.split, provenance)

    def curves(self, trained: Sequence[Outcome], ranked: Ranked) -> dict[str, Curve]:
        """Measure learning curves of networks, and of heads on the best table of each approach."""
        curves = {each.candidate.name: each.curve for each in trained if each.curve is not None}
        # from worst to best: later entries replace earlier ones, so that the best table of each
        # approach (frozen, fine-tuned) stays
        best: dict[str, Path] = {}
        for candidate, classifier in reversed(ranked):
            if classifier.table is not None and self.settings.learning_curve:
                best[candidate.approach] = classifier.table
        for path in best.values():
            table = EmbeddingTable.read(path)
            curves |= learning_curves([table], self.group.labels, self.fitting_split, self.settings)
        return curves

    def label_sizes(self, tables: Sequence[TimedTable]) -> LabelSizes | None:
        """Score networks, and heads on embeddings, for growing numbers of labels."""
        settings, group = self.settings, self.group
        if not settings.sizes:
            return None
        folder = self.place / SIZES

        def fitted(part: Split, size: int) -> list[Candidate]:
            place = place_of(folder, size)
            sample = dataclasses.replace(group, split=part, scored_split=part)
            smaller = dataclasses.replace(self, group=sample, place=place, tracker=None)
            candidates = []
            # one seed per network is enough, because the curve compares numbers of
            # labels, not seeds
            for training in planned_trainings(settings):
                if training.first:
                    alone = training.network.model_copy(update={"members": 1})
                    plain = dataclasses.replace(training, network=alone)
                    candidates.append(smaller.trained(plain).candidate)
            # fit heads on the embeddings of the run's tables: no image has to be read again
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

    def explanations(self, ranked: Ranked) -> list[Gallery]:
        """Draw which parts of test images decide what the best head and best network predict."""
        group, settings = self.group, self.settings
        wanted = settings.explain if group.labels.target == "classes" else 0
        if not wanted:
            return []
        firsts: dict[bool, tuple[Candidate, Classifier]] = {}
        for candidate, classifier in ranked:
            firsts.setdefault(candidate.head is None, (candidate, classifier))
        # show the best head before the best network: False (not a bare network) sorts before True
        best = [firsts[bare] for bare in sorted(firsts)]
        return [explain_candidate(*each, group, wanted, seed=settings.seed) for each in best]

    def map(self, ranked: Ranked) -> tuple[Path | None, list[Gallery]]:
        """Draw a map of the best embedding table, coloured by predictions of the best models."""
        best = best_table(ranked)
        if best is None or not self.settings.map:
            return None, []
        # from worst to best: later entries replace earlier ones, so that the best network or head
        # of each approach (frozen, fine-tuned, end-to-end) stays
        first_of = {scored.approach: scored for scored, _ in reversed(ranked)}
        predictions = {}
        for approach, candidate in first_of.items():
            predictions[f"{approach}, {candidate.name}"] = candidate.predictions
        page, pictures = draw_map(
            best, self.group, predictions, self.place, self.progress, title=self.settings.name
        )
        return page, [pictures]

    def record(self, report: Report, outcomes: Sequence[Outcome]) -> str | None:
        """Record networks, heads and their comparison in MLflow; return its database's address."""
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
"""Subfolder of a run's folder for the learning curve over numbers of labels."""


def _provenance(settings: Experiment, group: LabelledSample) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "labels": group.labels.fingerprint,
        "split": group.split.fingerprint,
        "skipped": [list(item) for item in group.skipped],
        "left_out": dict(group.left_out),
        "grouped": str(group.grouping),
        "moved": list(group.moved),
        **surroundings(),
    }
