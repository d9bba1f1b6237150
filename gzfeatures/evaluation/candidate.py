"""Define a candidate model: a trained network, or a backbone with a head, and its test scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from gzfeatures.errors import InputError
from gzfeatures.evaluation.metrics import Scores, evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels

Approach: TypeAlias = Literal["frozen", "fine-tuned", "end-to-end"]


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """Store one model's predictions and scores on a split's test galaxies, with backbone and head.

    Parameters
    ----------
    approach : {"frozen", "fine-tuned", "end-to-end"}
        A head on a backbone used as it is, a head on a backbone trained on galaxies, or a network
        alone.
    backbone : str
        Name of the backbone, or of the network if `approach` is "end-to-end".
    head : str, optional
        Name of the head; None if `approach` is "end-to-end".
    scheme : str
        Name of the class scheme, which turned votes into the labels.
    split : str
        Hash of the split into training, validation and test galaxies.
    predictions : Predictions
        Predictions of the test galaxies.
    scores : Scores
        Scores of `predictions`.
    seconds : mapping of str to float
        Duration of each step: `extract`, `fit`, `predict`, `train`.
    parameters : mapping
        Hyper-parameters.
    seed : int
        Seed of the fit or the training.
    contaminated : bool
        Whether the backbone may have been trained on test galaxies, so that the scores may be too
        good; a ranking marks such a model with †.
    cost : mapping of str to float
        Costs other than time: `parameters` (how many numbers were learned), `bytes` (size on disk).
    calibration : mapping
        How good the probabilities are: scores `before` calibration (see `reliability.measured`),
        coverage of conformal `sets`, and `notes` on classes that could not be calibrated (see
        `conformal_sets.Conformal.coverage_report`).
    curve : tuple of float
        The network's validation score after each epoch, higher is better: accuracy, or RMSE with
        its sign changed. Empty for a backbone that was not trained here.

    Raises
    ------
    InputError
        An end-to-end model has a head, another model has none, or `scores` has another number of
        galaxies or other classes than `predictions`.
    """

    approach: Approach
    backbone: str
    head: str | None
    scheme: str
    split: str
    predictions: Predictions
    scores: Scores
    seconds: Mapping[str, float]
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    contaminated: bool = False
    cost: Mapping[str, float] = dataclasses.field(default_factory=dict)
    calibration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    curve: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if (self.head is None) != (self.approach == "end-to-end"):
            raise InputError(
                "candidate",
                where=self.name,
                rule="name a head unless it is end-to-end",
                found=self.head,
            )
        if (
            self.scores.n != len(self.predictions)
            or self.scores.classes != self.predictions.classes
        ):
            raise InputError(
                "scores are of other predictions",
                where=self.name,
                rule="be of the same galaxies and classes",
            )

    def at_level(self, labels: Labels, level: float) -> Candidate:
        """Return the candidate model with confidence intervals of its overall scores at a level.

        Parameters
        ----------
        labels : Labels
            True labels of the test galaxies.
        level : float
            Coverage of the confidence intervals, in (0, 1).

        Raises
        ------
        InputError
            Numbers are predicted, and their intervals have another level: they depend on groups of
            galaxies, which are unknown here.
        """
        if not self.scores.intervals or self.scores.level == level:
            return self
        if self.predictions.is_value:
            raise InputError(
                "intervals of scores have another level",
                where=self.name,
                rule=f"have level {level:g}",
                found=f"{self.scores.level:g}",
                remedy=f"evaluate the predictions with level={level:g}",
            )
        # volunteers' votes have no part in these intervals, and take long to compare with
        scores = evaluate(self.predictions, dataclasses.replace(labels, soft=None), level=level)
        changed = dataclasses.replace(self.scores, intervals=scores.intervals, level=level)
        return dataclasses.replace(self, scores=changed)

    @property
    def name(self) -> str:
        """Return `backbone + head`, or the network's name; it is the same for all seeds."""
        return self.backbone if self.head is None else f"{self.backbone} + {self.head}"

    @property
    def method(self) -> tuple[Approach, str, str | None]:
        """Return approach (such as frozen), backbone and head, which do not depend on the seed."""
        return self.approach, self.backbone, self.head


def assumptions(candidates: Iterable[Candidate]) -> list[str]:
    """Return notes on scores in which unknown numbers of volunteers are assumed, each note once."""
    ceilings = [each.scores.ceiling for each in candidates if each.scores.ceiling is not None]
    notes = [ceiling.assumption for ceiling in ceilings if ceiling.assumption is not None]
    return list(dict.fromkeys(notes))
