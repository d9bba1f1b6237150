"""Measure a head's accuracy and a table's class shares on galaxies drawn at random.

The confidence intervals are Wilson's. Exact intervals (Clopper & Pearson) would be too wide: with
the twenty to a hundred galaxies that are set aside in a campaign of labelling, a 90 % interval
would contain the true value in at least 95 % of campaigns.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gzfeatures.evaluation.metrics import Scores, evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.evaluation.statistics.proportions import wilson
from gzfeatures.galaxies.labels.labels import Labels

LEVEL = 0.9


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Store an estimated number from 0 to 1, such as an accuracy, with its confidence interval.

    Parameters
    ----------
    value, low, high : float
        Estimated share, and ends of its interval, in [0, 1].
    """

    value: float
    low: float
    high: float

    @classmethod
    def of_share(cls, hits: int, n: int, level: float = LEVEL) -> Estimate:
        """Estimate the share hits / n with Wilson's interval (doi:10.1080/01621459.1927.10502953).

        Examples
        --------
        >>> Estimate.of_share(18, 20)
        Estimate(value=0.9, low=0.7383..., high=0.9663...)
        """
        low, high = wilson(hits / n, n, level)
        return cls(hits / n, max(0.0, low), min(1.0, high))


@dataclasses.dataclass(frozen=True)
class RandomSample:
    """Store a head's accuracy and a table's class shares, measured on a random sample.

    Parameters
    ----------
    n : int
        Number of labelled galaxies in the random sample.
    level : float
        Confidence level of all intervals.
    accuracy : Estimate
        Share of the table's galaxies that the head classifies correctly.
    shares : mapping of str to Estimate
        Class → share of the table's galaxies in this class.
    calibration_error : Estimate, optional
        Expected calibration error, minus what noise alone would give; None without probabilities.
    """

    n: int
    level: float
    accuracy: Estimate
    shares: dict[str, Estimate]
    calibration_error: Estimate | None

    @classmethod
    def of(
        cls, predictions: Predictions, labels: Labels, scores: Scores | None = None
    ) -> RandomSample:
        """Measure accuracy, calibration error and class shares on galaxies drawn at random.

        Parameters
        ----------
        predictions : Predictions
            Predicted classes of galaxies in the random sample, which all have a label.
        labels : Labels
            True classes of these galaxies.
        scores : Scores, optional
            Scores of the same predictions, if they were computed before.

        Raises
        ------
        LeakError, InputError
            As `evaluate`.
        """
        scores = scores or evaluate(predictions, labels, level=LEVEL)
        truth = labels.select(predictions.ids)
        n = len(truth)
        right = int((predictions.codes == truth.ordered(predictions.classes).codes).sum())
        error = None
        if scores.ece_debiased is not None and "ece" in scores.intervals:
            error = Estimate(scores.ece_debiased, *scores.intervals["ece"])
        shares = {name: Estimate.of_share(count, n) for name, count in truth.counts.items()}
        return cls(n, LEVEL, Estimate.of_share(right, n), shares, error)

    def asdict(self) -> dict[str, Any]:
        """Return accuracy, calibration error and class shares with intervals, as JSON values."""
        return dataclasses.asdict(self)

    @property
    def rows(self) -> list[dict[str, str]]:
        """Return accuracy, calibration error and class shares as rows of text, with intervals."""
        named = {"accuracy": self.accuracy}
        if self.calibration_error is not None:
            named["calibration error"] = self.calibration_error
        named |= {f"share of {name}": each for name, each in self.shares.items()}
        return [
            {
                "measured": name,
                "value": f"{each.value:.1%}",
                "90 % interval": f"{each.low:.1%} to {each.high:.1%}",
            }
            for name, each in named.items()
        ]


def too_few(n: int, fewest: int) -> str:
    """Return the sentence that tells the user that too few galaxies were drawn at random."""
    return (
        f"too few: {n} galaxies were drawn at random, and below {fewest} neither accuracy, class "
        "shares, calibration nor class sets are measured; answer more questions"
    )
