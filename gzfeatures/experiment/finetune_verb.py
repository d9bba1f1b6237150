"""Train a network for the command `finetune`, score it, show its errors, and record it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures import outputs
from gzfeatures.errors import InputError, NotFirstProcess, OutputError
from gzfeatures.evaluation.candidate import Candidate, assumptions
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.label_sizes import LabelSizes, measure, place_of
from gzfeatures.experiment.steps.session import Tracker
from gzfeatures.experiment.trained_networks import (
    TrainedNetwork,
    ensemble_name,
    mean_curve,
    validation_curve,
)
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import Ids
from gzfeatures.report.worst_errors import FILES as ERROR_FILES
from gzfeatures.report.worst_errors import write_worst_errors

if TYPE_CHECKING:
    from gzfeatures.networks.setup.options import TrainingOptions
    from gzfeatures.networks.training.members import JoinedTraining
    from gzfeatures.networks.training.preparation import TrainingGalaxies
    from gzfeatures.networks.training.result import Training

PICTURE = "predicted.png"
"""File name of the picture of predicted against true numbers, next to the checkpoint."""
EXPERIMENT = "finetune"
"""Name of the MLflow experiment in which trainings of this command are recorded."""


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuned:
    """Store the result of a fine-tuning: checkpoint folder, costs, and scores.

    Parameters
    ----------
    checkpoint : Path
        Folder of the network, or of the ensemble.
    figures : mapping
        Seconds, epochs, number of images and other facts on the training, as JSON values.
    candidate : Candidate or None
        Predictions and scores of the network; None if no galaxy was kept out of training.
    side : str or None
        Part of the split whose galaxies are scored: "test", or "validation" if no test galaxies
        exist.
    """

    checkpoint: Path
    figures: Mapping[str, Any]
    candidate: Candidate | None
    side: str | None

    def asdict(self) -> dict[str, Any]:
        """Return scores, costs and paths of a fine-tuned network as JSON values."""
        number = {}
        if self.candidate is not None and self.candidate.predictions.is_value:
            scores = self.candidate.scores
            number = {
                "target": scores.classes[0],
                "kind": scores.kind,
                "intervals": scores.intervals,
                "baselines": scores.baselines,
                "prediction_intervals": self.candidate.calibration.get("intervals"),
            }
        return {
            **({} if self.candidate is None else self.candidate.scores.metrics),
            **number,
            "scored_on": self.side,
            **self.figures,
            "checkpoint": self.checkpoint,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuning:
    """Train a network with given options on any training galaxies; score it and record it.

    Parameters
    ----------
    network : str
        Name of the network, as for `train`.
    options : TrainingOptions
        Options of the training, with the folder of the checkpoint.
    say : callable
        Function that shows a line of text to the user.
    members : int
        Number of networks, with different seeds, whose probabilities are averaged (ensemble); 1
        trains a single network.
    tracker : Tracker, optional
        Database in which the training is recorded, already while it runs. If recording fails, tell
        the user and continue.
    """

    network: str
    options: TrainingOptions
    say: Callable[[str], object]
    members: int = 1
    tracker: Tracker | None = None

    def of(self, galaxies: TrainingGalaxies) -> FineTuned:
        """Train on given galaxies, score the test galaxies, and write the worst errors.

        Raises
        ------
        NotFirstProcess
            Several processes trained together, and this is not the first one, which continues
            alone.
        GzError
            As `train`.
        """
        if self.members > 1:
            return self._of_members(galaxies)
        return self._single(galaxies, self.options)[1]

    def by_sizes(self, galaxies: TrainingGalaxies, sizes: Sequence[int], seed: int) -> LabelSizes:
        """Train networks on growing numbers of labels, and score all on the same galaxies.

        Parameters
        ----------
        galaxies : TrainingGalaxies
            Galaxies from which samples are drawn; the test galaxies are the same for all samples.
        sizes : sequence of int
            Numbers of labels, of training and validation galaxies together.
        seed : int
            Seed with which samples are drawn.

        Raises
        ------
        InputError
            A second target is given: galaxies that have only its label would be trained on without
            being counted.
        """
        if galaxies.also is not None:
            raise InputError(
                "second target of a learning curve",
                rule="be left out: its galaxies would train beside the labels that are counted",
            )

        def fitted(part: Split, size: int) -> list[Candidate]:
            options = dataclasses.replace(self.options, folder=place_of(self.options.folder, size))
            tuning = dataclasses.replace(self, options=options)
            tuned = tuning.of(dataclasses.replace(galaxies, split=part))
            return [] if tuned.candidate is None else [tuned.candidate]

        return measure(galaxies.labels, galaxies.split, sizes, seed, fitted)

    def _single(
        self, galaxies: TrainingGalaxies, options: TrainingOptions
    ) -> tuple[Training, FineTuned]:
        """Train one network, and record the metrics of each epoch in MLflow during the training."""
        from gzfeatures.networks.training.train import train

        name = options.folder.resolve().name
        recorded = self.tracker.training(EXPERIMENT, name) if self.tracker else nullcontext()
        with recorded as live:
            training = train(
                galaxies.images,
                galaxies.labels,
                galaxies.split,
                self.network,
                options,
                counts=galaxies.counts,
                also=galaxies.also,
                watch=live,
            )
        if not training.first:
            raise NotFirstProcess
        trained = TrainedNetwork(
            self._name,
            options.folder,
            training.seconds,
            _parameters(training, options),
            options.seed,
            validation_curve(training.history, galaxies.labels.target),
        )
        figures = _figures(training)
        return training, self._finished(galaxies, trained, training.predictions, figures, live)

    def _of_members(self, galaxies: TrainingGalaxies) -> FineTuned:
        """Train the members of an ensemble one after another, and join them into one network."""
        from gzfeatures.networks.training.members import train_members
        from gzfeatures.networks.training.result import Training

        joined = train_members(
            galaxies,
            self.network,
            self.options,
            self.members,
            lambda options: self._single(galaxies, options)[0],
        )
        # several processes may have trained together: only the first joins the
        # members, the others stop
        if isinstance(joined, Training):
            raise NotFirstProcess
        parameters = {"members": self.members, **_parameters(joined.members[0], self.options)}
        trained = TrainedNetwork(
            ensemble_name(self._name, self.members),
            self.options.folder,
            joined.seconds,
            parameters,
            self.options.seed,
            mean_curve(
                [validation_curve(m.history, galaxies.labels.target) for m in joined.members]
            ),
        )
        figures = {"members": self.members, **_figures_of_members(joined)}
        return self._finished(galaxies, trained, joined.predictions, figures, None)

    @property
    def _name(self) -> str:
        # drop the path of a checkpoint folder: it means nothing on another machine
        return Path(self.network).name if Path(self.network).is_dir() else self.network

    def _finished(
        self,
        galaxies: TrainingGalaxies,
        trained: TrainedNetwork,
        predictions: Predictions,
        figures: Mapping[str, Any],
        live: Any,
    ) -> FineTuned:
        """Score a trained network, write its worst errors, and record it in MLflow."""
        side, ids = _scored_side(galaxies.split, self.say)
        folder = trained.folder
        if side is None:
            return FineTuned(folder, figures, None, None)
        candidate = trained.candidate(predictions.select(ids), galaxies.labels, galaxies.split)
        for note in assumptions([candidate]):
            self.say(f"note: {note}")
        write_worst_errors(folder, candidate.predictions, galaxies.labels, galaxies.images, side)
        _draw_numbers(candidate, galaxies.labels, folder / PICTURE)
        if self.tracker is not None:
            files = [
                folder / name for name in ("curves.png", "history.json", PICTURE, *ERROR_FILES)
            ]
            present = [path for path in files if path.exists()]
            try:
                self.tracker.record_candidate(EXPERIMENT, candidate, [*present, folder], live)
            except OutputError as error:
                self.say(f"the training is not recorded: {error}")
        return FineTuned(folder, figures, candidate, side)


def _draw_numbers(candidate: Candidate, labels: Labels, path: Path) -> None:
    """Draw predicted against true numbers; for classes, only delete an earlier picture."""
    from gzfeatures.figures.predicted_numbers import write_numbers

    outputs.remove(path)
    if candidate.predictions.is_value:
        write_numbers(candidate.predictions, labels, candidate.scores, path)


def _scored_side(split: Split, say: Callable[[str], object]) -> tuple[str | None, Ids]:
    """Return the test galaxies, or if none exist the validation galaxies; tell the user which."""
    if len(split.test):
        return "test", split.test
    if len(split.validation):
        number = len(split.validation)
        say(f"the split has no test galaxies: scores are those of {number} validation galaxies")
        return "validation", split.validation
    say("the split has no test or validation galaxies: the network is not scored")
    return None, split.test


def _figures(training: Training) -> dict[str, Any]:
    """Return a training's seconds, number of images, epochs and best epoch, as JSON values."""
    return {
        "recipe": training.recipe.recipe if training.recipe else None,
        "epochs": training.epochs,
        "best_epoch": training.best_epoch,
        "images_seen": training.images_seen,
        "temperature": training.temperature,
        "seconds": training.seconds,
    }


def _figures_of_members(joined: JoinedTraining) -> dict[str, Any]:
    """Return an ensemble's costs as JSON values: seconds, and images that its members trained on.

    Also return each member's best epoch, and the number of epochs of the longest training.
    """
    first = joined.members[0]
    return {
        "recipe": first.recipe.recipe if first.recipe else None,
        "epochs": max(each.epochs for each in joined.members),
        "best_epoch": [each.best_epoch for each in joined.members],
        "images_seen": sum(each.images_seen for each in joined.members),
        "temperature": joined.temperature,
        "seconds": joined.seconds,
    }


def _parameters(training: Training, options: TrainingOptions) -> dict[str, Any]:
    """Return a training's settings: learning rate etc., epochs, view (crop, size), weights."""
    numbers = {} if training.recipe is None else dataclasses.asdict(training.recipe)
    return {
        **numbers,
        "epochs": training.epochs,
        "best_epoch": training.best_epoch,
        "images_seen": training.images_seen,
        "view": None if options.view is None else str(options.view),
        "weights": None if options.weights is None else str(options.weights),
    }
