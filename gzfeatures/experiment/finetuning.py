"""Train one network as the verb `finetune` does: score it, show its errors, record it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzfeatures.errors import NotFirstProcess, OutputError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.experiment.run import Tracker
from gzfeatures.experiment.trained_networks import TrainedNetwork
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.ids import Ids
from gzfeatures.report.worst_errors import write_worst_errors

if TYPE_CHECKING:
    from gzfeatures.networks.setup.options import TrainingOptions
    from gzfeatures.networks.training.preparation import TrainingGalaxies
    from gzfeatures.networks.training.train import Training

EXPERIMENT = "finetune"
"""Name in MLflow under which trainings of the verb are recorded."""


@dataclasses.dataclass(frozen=True, eq=False)
class FineTuned:
    """The result of `fine_tune`.

    Parameters
    ----------
    training : Training
        The trained network.
    candidate : Candidate or None
        It, scored; None where no galaxy was kept out of training.
    side : str or None
        Side of the split it is scored on: test, else validation.
    """

    training: Training
    candidate: Candidate | None
    side: str | None

    def asdict(self) -> dict[str, Any]:
        """Return scores, costs and paths as JSON values."""
        training = self.training
        return {
            **({} if self.candidate is None else self.candidate.scores.metrics),
            "scored_on": self.side,
            "recipe": training.recipe.recipe if training.recipe else None,
            "epochs": training.epochs,
            "best_epoch": training.best_epoch,
            "images_seen": training.images_seen,
            "temperature": training.temperature,
            "seconds": training.seconds,
            "checkpoint": training.checkpoint,
        }


def fine_tune(
    galaxies: TrainingGalaxies,
    network: str,
    options: TrainingOptions,
    *,
    tracker: Tracker | None = None,
    say: Callable[[str], object],
) -> FineTuned:
    """Train a network, score it on the test galaxies, and write its worst errors.

    Parameters
    ----------
    galaxies : TrainingGalaxies
        What it is trained and scored on.
    network : str
        As for `train`.
    options : TrainingOptions
        How it is trained, and its folder.
    tracker : Tracker, optional
        Where the run is recorded, while it trains too. What cannot be recorded is said; it never
        stops the training.
    say : callable
        Takes lines for the user.

    Raises
    ------
    NotFirstProcess
        Several processes trained together, and this is not the one to go on.
    GzError
        As `train`.
    """
    from gzfeatures.networks.training.train import train

    name = options.folder.resolve().name
    recorded = tracker.training(EXPERIMENT, name) if tracker else nullcontext()
    with recorded as live:
        training = train(
            galaxies.images,
            galaxies.labels,
            galaxies.split,
            network,
            options,
            counts=galaxies.counts,
            also=galaxies.also,
            watch=live,
        )
    if not training.first:
        raise NotFirstProcess
    side, ids = _scored_side(galaxies.split, say)
    if side is None:
        return FineTuned(training, None, None)
    candidate = _candidate(training, galaxies, network, options, ids)
    written = write_worst_errors(
        options.folder, candidate.predictions, galaxies.labels, galaxies.images, side
    )
    if tracker is not None:
        files = [options.folder / "curves.png", options.folder / "history.json", *written]
        try:
            tracker.record_candidate(EXPERIMENT, candidate, [*files, options.folder], live)
        except OutputError as error:
            say(f"the training is not recorded: {error}")
    return FineTuned(training, candidate, side)


def _scored_side(split: Split, say: Callable[[str], object]) -> tuple[str | None, Ids]:
    """Return the side of the split that is scored: test, or else validation, which is said."""
    if len(split.test):
        return "test", split.test
    if len(split.validation):
        number = len(split.validation)
        say(f"no galaxy is on the test side: scores are those of {number} validation galaxies")
        return "validation", split.validation
    say("no galaxy is on the test or validation side: the network is not scored")
    return None, split.test


def _candidate(
    training: Training,
    galaxies: TrainingGalaxies,
    network: str,
    options: TrainingOptions,
    ids: Ids,
) -> Candidate:
    """Return the trained network as a candidate, with all numbers of its recipe."""
    # a checkpoint folder is called by its name alone: its path says nothing elsewhere
    name = Path(network).name if Path(network).is_dir() else network
    numbers = {} if training.recipe is None else dataclasses.asdict(training.recipe)
    trained = TrainedNetwork(
        name,
        training.checkpoint,
        training.seconds,
        {
            **numbers,
            "epochs": training.epochs,
            "best_epoch": training.best_epoch,
            "images_seen": training.images_seen,
            "view": None if options.view is None else str(options.view),
            "weights": None if options.weights is None else str(options.weights),
        },
        options.seed,
    )
    return trained.candidate(training.predictions.select(ids), galaxies.labels, galaxies.split)
