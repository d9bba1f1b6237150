"""Fit heads on embedding tables, save them, and score them as candidates."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gzfeatures import outputs
from gzfeatures.errors import LeakError
from gzfeatures.evaluation.candidate import Approach, Candidate
from gzfeatures.evaluation.conformal import Conformal, Method, calibrate_sets
from gzfeatures.evaluation.metrics import Scores, evaluate, headline
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.reliability import measured
from gzfeatures.evaluation.statistics.value_intervals import ValueIntervals, too_few
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import among
from gzfeatures.progress import SILENT, Progress
from gzfeatures.unlabelled.familiarity import LEVEL, ROWS, Familiarity
from gzfeatures.unlabelled.shift import Shares

if TYPE_CHECKING:
    from gzfeatures.experiment.config import Experiment, HeadChoice
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.heads.fit import Head


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
    set_aside: bool = False
    progress: Progress = SILENT


def fit_heads(
    tables: Sequence[EmbeddingTable],
    labels: Labels,
    fitting_split: Split,
    choices: Sequence[HeadChoice],
    options: FitOptions | None = None,
    *,
    split: Split | None = None,
    catalog: Catalog | None = None,
    seconds: Mapping[str, float] | None = None,
    **fields: Any,
) -> list[tuple[Candidate, Path]]:
    """Fit heads on the training galaxies, save them, and score them on the test galaxies.

    Parameters
    ----------
    tables : sequence of EmbeddingTable
        Each holds every galaxy of the split; several are joined by id.
    labels : Labels
        Their labels.
    fitting_split : Split
        Heads see its training side only, promise sets of classes by its validation side, and are
        scored on its test side.
    choices : sequence of HeadChoice
        Names, parameters and seeds.
    options : FitOptions, optional
        How they are fitted; by default those that `fields` make.
    split : Split, optional
        The whole split, where heads see only a part of its training side: what the comparison is
        on.
    catalog : Catalog, optional
        Holds `columns`; scores are given along its redshift, magnitude and size.
    seconds : mapping of str to float, optional
        What was spent before: `extract`, `train`.
    **fields
        In place of `options`: fields of `FitOptions`.

    Returns
    -------
    list of (Candidate, Path)
        Each head as a candidate, and its file.

    Raises
    ------
    LeakError
        A backbone was trained on a test galaxy, and that is not allowed.
    """
    options = options or FitOptions(**fields)
    split = split or fitting_split
    # a test galaxy that the backbone was trained on would make the score too good
    if not options.allow_seen:
        _refuse_seen(tables, split)
    # validation galaxies calibrate class sets and familiarity, so no head is fitted on them
    promised_by = split.test if options.set_aside else split.validation
    kept_out = [table.select(promised_by) for table in tables]
    bench = _Bench(
        tables,
        [table.select(split.test) for table in tables],
        kept_out,
        labels,
        fitting_split,
        split,
        catalog,
        familiarity_of(tables, kept_out, fitting_split),
        options,
    )
    candidates = []
    # read and compare the tables once for all heads and seeds
    for choice in choices:
        for seed in choice.seeds or (options.seed,):
            candidates.append(bench.candidate(choice, seed, seconds or {}))
    return candidates


@dataclasses.dataclass(frozen=True, eq=False)
class _Bench:
    """Hold what several heads have in common, and fit one head after another."""

    tables: Sequence[EmbeddingTable]
    tests: Sequence[EmbeddingTable]
    kept_out: Sequence[EmbeddingTable]
    labels: Labels
    fitting_split: Split
    split: Split
    catalog: Catalog | None
    familiarity: Familiarity | None
    options: FitOptions

    @property
    def source(self) -> Catalog | None:
        """Return the catalog if the heads also read catalog columns, otherwise None."""
        return self.catalog if self.options.columns else None

    def candidate(
        self,
        choice: HeadChoice,
        seed: int,
        seconds: Mapping[str, float],
    ) -> tuple[Candidate, Path]:
        """Fit one head, save it, and score it as a candidate."""
        import gzfeatures.heads.fit  # noqa: F401  # scikit-learn is loaded before the clock starts

        start = time.perf_counter()
        head = dataclasses.replace(self._fit(choice, seed), familiarity=self.familiarity)
        fitted = time.perf_counter()
        predictions = head.predict(self.tests, self.source)
        predicted = time.perf_counter()
        # galaxies that the backbone was trained on are scored only if the options allow it
        saw_any = predictions.seen is not None and bool(predictions.seen.any())
        contaminated = self.options.allow_seen and saw_any
        predictions = predictions.without_seen() if contaminated else predictions
        # probabilities before calibration show what the calibration changed
        bare = self._uncalibrated(head)
        head = self._with_sets(head)
        path = self._write(head, choice, seed)
        scores = evaluate(
            predictions,
            self.labels,
            catalog=self.catalog,
            groups=self.split.groups,
            train=self.fitting_split.train,
        )
        self._draw(predictions, scores, path)
        candidate = Candidate(
            approach=self.options.approach,
            backbone=self.options.title or name_of(self.tables, self.options.columns),
            head=choice.name,
            scheme=self.labels.scheme,
            split=self.split.fingerprint,
            predictions=predictions,
            scores=scores,
            seconds={**seconds, "fit": fitted - start, "predict": predicted - fitted},
            parameters=head.parameters,
            seed=seed,
            contaminated=contaminated,
            cost={"parameters": float(head.numbers), "bytes": float(path.stat().st_size)},
            calibration=_calibration(
                head,
                predictions,
                bare,
                self.labels,
                len(self.split.validation),
                crossed=self.options.set_aside,
            ),
        )
        return candidate, path

    def _fit(self, choice: HeadChoice, seed: int) -> Head:
        """Fit a head on the training galaxies."""
        from gzfeatures.heads.fit import fit

        return fit(
            self.tables,
            self.labels,
            choice.name,
            split=self.fitting_split,
            seed=seed,
            tune=choice.tune,
            catalog=self.source,
            columns=self.options.columns,
            jobs=self.options.jobs,
            progress=self.options.progress,
            **choice.parameters,
        )

    def _with_sets(self, head: Head) -> Head:
        """Add class sets and shares, or intervals, to a head, measured on validation galaxies."""
        checked = head.predict(self.kept_out, self.source)
        if checked.is_value:
            intervals = ValueIntervals.of(
                checked, self.labels, self.options.coverage, self.split.groups
            )
            return dataclasses.replace(head, intervals=intervals)
        sets = _sets(
            head,
            self.kept_out,
            checked,
            self.labels,
            self.options.coverage,
            self.options.sets_by,
        )
        return dataclasses.replace(head, sets=sets, shares=_shares(checked))

    def _write(self, head: Head, choice: HeadChoice, seed: int) -> Path:
        """Write a head to a file, with a figure of its tuning beside it."""
        from gzfeatures.figures.tuning import draw_trials

        name = f"{choice.name}-seed{seed}" if choice.seeds else choice.name
        path = head.write(self.options.folder / f"{name}.skops")
        # remove the figure of an earlier fit, which would look like one of this fit
        outputs.remove(_trials_beside(path))
        if head.trials:
            draw_trials(head.trials, _trials_beside(path))
        return path

    def _draw(self, predictions: Predictions, scores: Scores, head: Path) -> None:
        """Draw predicted against true numbers next to the head; draw nothing for classes."""
        from gzfeatures.figures.predicted_numbers import write_numbers

        # remove the picture of an earlier fit, which would look like one of this fit
        outputs.remove(picture_beside(head))
        if predictions.is_value:
            write_numbers(predictions, self.labels, scores, picture_beside(head))

    def _uncalibrated(self, head: Head) -> Predictions | None:
        """Return the predictions before calibration; None for a head without calibration."""
        if head.target != "classes" or head.parameters["calibration"] == "none":
            return None
        return head.predict(self.tests, self.source, calibrated=False)


def familiarity_of(
    tables: Sequence[EmbeddingTable], kept_out: Sequence[EmbeddingTable], split: Split
) -> Familiarity | None:
    """Learn how far galaxies lie from the training galaxies of a split.

    Parameters
    ----------
    tables : sequence of EmbeddingTable
        What heads read, joined by id.
    kept_out : sequence of EmbeddingTable
        The same tables of galaxies that no head is trained on; those that a backbone was trained on
        are left out, since a network places the galaxies it was trained on otherwise than new ones.
    split : Split
        Its training side is what galaxies are compared with.

    Returns
    -------
    Familiarity or None
        None where no galaxy was kept out, or there are too few to learn from.
    """
    from gzfeatures.heads.inputs import Inputs

    skipped = {name for table in tables for name, _ in table.skipped}
    train = np.sort(split.train)
    train = train[~among(train, skipped)] if skipped else train
    # evenly spaced galaxies are enough, and need no copy of a large table
    train = train[:: max(1, len(train) // ROWS)]
    # a galaxy that a backbone was trained on is recognised by its file, picture or id
    trained_on = np.concatenate([table.seen_ids for table in kept_out])
    fresh = kept_out[0].ids[~among(kept_out[0].ids, trained_on)]
    # the distance needs two training galaxies, and its calibration one other galaxy
    if len(train) < 2 or not len(fresh):
        return None
    training = Inputs.of([table.select(train) for table in tables]).matrix
    return Familiarity.of(training, Inputs.of([table.select(fresh) for table in kept_out]).matrix)


def _sets(
    head: Head,
    kept_out: Sequence[EmbeddingTable],
    predictions: Predictions,
    labels: Labels,
    coverage: float,
    method: Method,
) -> Conformal | None:
    """Calibrate class sets on validation galaxies; unfamiliar ones count as missed."""
    from gzfeatures.heads.inputs import Inputs

    if head.familiarity is not None:
        # compare each calibration galaxy only with the others, because it is similar to itself
        p = head.familiarity.p_values_of_calibration(Inputs.of(kept_out).matrix)
        predictions = dataclasses.replace(predictions, unfamiliar=p < LEVEL)
    return calibrate_sets(predictions, labels, coverage, method)


def _shares(kept_out: Predictions) -> Shares | None:
    """Measure the class shares that a head predicts for galaxies outside any training."""
    fresh = (
        kept_out.probabilities if kept_out.seen is None else kept_out.probabilities[~kept_out.seen]
    )
    return Shares.of(fresh) if kept_out.kind == "classes" and len(fresh) else None


def files_of(head: Path) -> list[Path]:
    """Return the files that exist after a fit: the head, and the pictures next to it."""
    return [path for path in _files(head) if path.exists()]


def named(folder: Path, choices: Sequence[HeadChoice]) -> list[Path]:
    """Return every file that `fit_heads` may write into a folder."""
    names = [name for choice in choices for name in _names(choice)]
    return [path for name in names for path in _files(folder / f"{name}.skops")]


def _names(choice: HeadChoice) -> list[str]:
    return [f"{choice.name}-seed{seed}" for seed in choice.seeds] or [choice.name]


def _files(head: Path) -> list[Path]:
    """Return every file that a fit may write: the head, and its two pictures."""
    return [head, _trials_beside(head), picture_beside(head)]


def picture_beside(head: Path) -> Path:
    """Return the path of a head's picture of predicted against true numbers."""
    return head.with_name(f"{head.stem}-predicted.png")


def _trials_beside(head: Path) -> Path:
    return head.with_name(f"{head.stem}-trials.png")


def name_of(tables: Sequence[EmbeddingTable], columns: Sequence[str] = ()) -> str:
    """Return the name of a candidate's inputs, such as `resnet50 & redshift`."""
    return " & ".join([*(table.extractor.backbone for table in tables), *columns])


def learning_curves(
    tables: Sequence[EmbeddingTable], labels: Labels, fitting_split: Split, settings: Experiment
) -> dict[str, list[tuple[int, float, float, float]]]:
    """Measure the accuracy of each head against the number of labelled galaxies.

    Returns candidate name → (galaxies, accuracy or RMSE, lower end, upper end).
    """
    from gzfeatures.heads.learning_curve import curve, learning_curve

    heads = [choice.name for choice in settings.heads]
    rows = learning_curve(
        tables,
        labels,
        fitting_split,
        heads,
        settings.learning_curve,
        allow_seen=settings.allow_seen,
    )
    return {
        f"{name_of(tables)} + {head}": curve(rows, head, headline(labels.target)) for head in heads
    }


def _calibration(
    head: Head,
    predictions: Predictions,
    uncalibrated: Predictions | None,
    labels: Labels,
    kept_out: int,
    *,
    crossed: bool = False,
) -> dict[str, Any]:
    """Return errors before calibration, coverage of class sets or intervals, and notes."""
    calibration: dict[str, Any] = (
        {} if uncalibrated is None else {"before": measured(uncalibrated.without_seen(), labels)}
    )
    notes = [
        f"{name} cannot be calibrated: all its training galaxies share one group, so that "
        "none was held back in a fold;"
        " its probabilities are the classifier's own"
        for name in head.uncalibrated_classes
    ]
    if head.familiarity is not None and head.familiarity.why_none_flagged:
        notes.append(head.familiarity.why_none_flagged)
    if head.intervals is not None:
        calibration["intervals"] = head.intervals.coverage_report(predictions, labels)
    elif predictions.is_value:
        notes.append(too_few(kept_out))
    if head.sets is not None:
        report = head.sets.crossed_report if crossed else head.sets.coverage_report
        calibration["sets"] = report(predictions, labels)
        notes += calibration["sets"]["notes"]
    return calibration | ({"notes": notes} if notes else {})


def _refuse_seen(tables: Sequence[EmbeddingTable], split: Split) -> None:
    for table in tables:
        extractor, tested = table.extractor, table.select(split.test)
        seen = tested.among(TrainedOn.joined([extractor.trained_on]))
        if seen.any():
            raise LeakError(
                f"backbone was trained on {int(seen.sum())} of {len(split.test)} test galaxies",
                where=extractor.backbone,
                found=str(split.test[seen.argmax()]),
                remedy=(
                    "score it on galaxies it has not seen, or with allow_seen "
                    "(--allow-seen) and a dagger in the report"
                ),
            )
