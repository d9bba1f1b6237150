"""Fit heads on embedding tables, save them, and score them on test galaxies."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures import outputs
from gzfeatures.errors import LeakError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.conformal_sets import require_reachable
from gzfeatures.evaluation.metrics import Scores, evaluate, headline
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.conformal_intervals import ValueIntervals
from gzfeatures.experiment.fitted_heads.calibration import (
    calibration_report,
    class_sets,
    class_shares,
    familiarity_of,
)
from gzfeatures.experiment.fitted_heads.files import picture_beside, trials_beside
from gzfeatures.experiment.fitted_heads.options import FitOptions
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.unlabelled.familiarity import Familiarity

if TYPE_CHECKING:
    from gzfeatures.experiment.config import Experiment, HeadChoice
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.heads.fit import Head


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
        Embeddings of all galaxies of the split; several tables are joined by galaxy id.
    labels : Labels
        Labels of these galaxies.
    fitting_split : Split
        Split whose training galaxies the heads are fitted on. Validation galaxies calibrate class
        sets, test galaxies give the scores.
    choices : sequence of HeadChoice
        Names, parameters and seeds of the heads.
    options : FitOptions, optional
        Options of fitting and scoring; by default made from `fields`.
    split : Split, optional
        Whole split, if `fitting_split` has only a part of its training galaxies. Heads with an
        equal whole split can be compared. By default `fitting_split`.
    catalog : Catalog, optional
        Catalog with the columns that heads read; scores are also given in bins of its redshift,
        magnitude and size.
    seconds : mapping of str to float, optional
        Seconds of earlier steps: `extract`, `train`.
    **fields
        Fields of `FitOptions`, instead of `options`.

    Returns
    -------
    list of (Candidate, Path)
        For each head, its predictions and scores, and its file.

    Raises
    ------
    LeakError
        A backbone was trained on a test galaxy, and `allow_seen` is False.
    """
    options = options or FitOptions(**fields)
    split = split or fitting_split
    # refuse test galaxies that the backbone was trained on: their scores would be too good
    if not options.allow_seen:
        _refuse_seen(tables, split)
    # keep these galaxies out of all fits: they calibrate class sets, and the measure of a new
    # galaxy's distance from the training galaxies
    promised_by = split.test if options.set_aside else split.validation
    kept_out = [table.select(promised_by) for table in tables]
    familiarity = familiarity_of(tables, kept_out, fitting_split)
    # refuse before the first fit a coverage that no class sets can reach
    if familiarity is not None and labels.target == "classes":
        require_reachable(options.coverage, remedy="choose a lower --coverage")
    bench = _Bench(
        tables,
        [table.select(split.test) for table in tables],
        kept_out,
        labels,
        fitting_split,
        split,
        catalog,
        familiarity,
        options,
    )
    candidates = []
    # fit each head with each of its seeds; a head without seeds is fitted with the run's seed
    for choice in choices:
        for seed in choice.seeds or (options.seed,):
            candidates.append(bench.candidate(choice, seed, seconds or {}))
    return candidates


@dataclasses.dataclass(frozen=True, eq=False)
class _Bench:
    """Fit one head after another on the same tables, labels and split."""

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
        """Return the catalog if the heads read catalog columns too, otherwise None."""
        return self.catalog if self.options.columns else None

    def candidate(
        self,
        choice: HeadChoice,
        seed: int,
        seconds: Mapping[str, float],
    ) -> tuple[Candidate, Path]:
        """Fit one head, save it, and score it on the test galaxies."""
        import gzfeatures.heads.fit  # noqa: F401  # scikit-learn is loaded before the clock starts

        start = time.perf_counter()
        title = f"fitting {choice.name} on {len(self.fitting_split.train):,} galaxies"
        with self.options.progress.busy(title):
            head = dataclasses.replace(self._fit(choice, seed), familiarity=self.familiarity)
        fitted = time.perf_counter()
        predictions = head.predict(self.tests, self.source)
        predicted = time.perf_counter()
        # if test galaxies that the backbone was trained on are allowed, score them too: remove
        # their mask, because of which `evaluate` would refuse them, and mark the head in the report
        saw_any = predictions.seen is not None and bool(predictions.seen.any())
        contaminated = self.options.allow_seen and saw_any
        predictions = predictions.without_seen() if contaminated else predictions
        # predict without calibration too: the report compares probabilities with and without it
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
            calibration=calibration_report(
                head,
                predictions,
                bare,
                self.labels,
                len(self.split.validation),
                crossed=self.options.set_aside,
            ),
            curve=self.options.curve,
        )
        return candidate, path

    def _fit(self, choice: HeadChoice, seed: int) -> Head:
        """Fit a head on the training galaxies, with the options of the run."""
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
        """Add conformal class sets to a head, or intervals if the head predicts numbers.

        A head that predicts classes also gets the mean probability of each class.
        """
        checked = head.predict(self.kept_out, self.source)
        if checked.is_value:
            intervals = ValueIntervals.of(
                checked, self.labels, self.options.coverage, self.split.groups
            )
            return dataclasses.replace(head, intervals=intervals)
        sets = class_sets(
            head,
            self.kept_out,
            checked,
            self.labels,
            self.options.coverage,
            self.options.sets_by,
        )
        return dataclasses.replace(head, sets=sets, shares=class_shares(checked))

    def _write(self, head: Head, choice: HeadChoice, seed: int) -> Path:
        """Write a head to a file, with a figure of its tuning beside it."""
        from gzfeatures.figures.tuning import draw_trials

        name = f"{choice.name}-seed{seed}" if choice.seeds else choice.name
        path = head.write(self.options.folder / f"{name}.skops")
        # remove the tuning figure of an earlier fit: it would be taken for one of this fit
        outputs.remove(trials_beside(path))
        if head.trials:
            draw_trials(head.trials, trials_beside(path))
        return path

    def _draw(self, predictions: Predictions, scores: Scores, head: Path) -> None:
        """Draw predicted against true numbers beside the head's file; draw nothing for classes."""
        from gzfeatures.figures.predicted_numbers import write_numbers

        # remove the figure of an earlier fit: it would be taken for one of this fit
        outputs.remove(picture_beside(head))
        if predictions.is_value:
            write_numbers(predictions, self.labels, scores, picture_beside(head))

    def _uncalibrated(self, head: Head) -> Predictions | None:
        """Return test predictions before calibration; None for a head without calibration."""
        if head.target != "classes" or head.parameters["calibration"] == "none":
            return None
        return head.predict(self.tests, self.source, calibrated=False)


def name_of(tables: Sequence[EmbeddingTable], columns: Sequence[str] = ()) -> str:
    """Return the name of a head's inputs: backbones and columns, such as `resnet50 & redshift`."""
    return " & ".join([*(table.extractor.backbone for table in tables), *columns])


def learning_curves(
    tables: Sequence[EmbeddingTable], labels: Labels, fitting_split: Split, settings: Experiment
) -> dict[str, list[tuple[int, float, float, float]]]:
    """Measure the accuracy of each head for growing numbers of labelled galaxies.

    Return for each name (backbone and head) a list of (number of galaxies, accuracy or RMSE, lower
    limit, upper limit).
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
