"""Say from how many labels on a fine-tuned network is better than a head on frozen vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.metrics import LOWER_IS_BETTER
from gzfeatures.galaxies.labels.labels import Labels

LEVEL = 0.9
"""Coverage of the intervals."""


@dataclasses.dataclass(frozen=True)
class Payoff:
    """The best network compared with the best head on one number of labels.

    Parameters
    ----------
    labels : int
    network, head : str
        The best of each by the metric, on the galaxies that are compared too.
    advantage : float
        How much better the network is, in units of the metric; negative where the head is better.
    interval : tuple of float
        90 % interval of that, paired over the test galaxies.
    """

    labels: int
    network: str
    head: str
    advantage: float
    interval: tuple[float, float]

    @property
    def pays(self) -> bool:
        """Tell whether the network is better beyond chance."""
        return self.interval[0] > 0


def payoffs(
    candidates: Mapping[int, Sequence[Candidate]], truth: Labels, metric: str
) -> list[Payoff]:
    """Compare the best network with the best head on each number of labels that has both.

    Parameters
    ----------
    candidates : mapping of int to sequence of Candidate
        Number of labels → methods, all scored on the same test galaxies.
    truth : Labels
        Of those galaxies.
    metric : str
        What is compared.

    Raises
    ------
    InputError
        Candidates of one number of labels were trained on other galaxies than one another.
    """
    sign = -1 if metric in LOWER_IS_BETTER else 1
    rows = []
    for size, methods in sorted(candidates.items()):
        ranked = sorted(methods, key=lambda each: -sign * each.scores.metrics[metric])
        network = next((each for each in ranked if each.head is None), None)
        head = next((each for each in ranked if each.head is not None), None)
        if network is None or head is None:
            continue
        comparison = compare([network, head], truth, metric=metric, level=LEVEL)
        (test,) = comparison.tests
        # a test has the first of the ranking minus the second; here it is network minus head, and
        # of an error less is more
        turn = sign if comparison.ranking[0].head is None else -sign
        low, high = sorted(turn * end for end in test.interval)
        rows.append(Payoff(size, network.name, head.name, turn * test.difference, (low, high)))
    return rows


def answer(rows: Sequence[Payoff], metric: str, galaxies: int) -> str:
    """Say from how many labels fine-tuning pays; empty without a comparison.

    Examples
    --------
    >>> rows = [
    ...     Payoff(100, "resnet18", "resnet18 + svm", -0.02, (-0.03, -0.01)),
    ...     Payoff(300, "resnet18", "resnet18 + svm", 0.02, (0.01, 0.03)),
    ... ]
    >>> answer(rows, "accuracy", 500).partition(" (")[0]
    'fine-tuning pays from 300 labels on'
    """
    if not rows:
        return ""
    # it pays from a number on where it pays at every larger one too
    first = len(rows)
    while first and rows[first - 1].pays:
        first -= 1
    lucky = [f"{row.labels:,}" for row in rows if row.pays]
    if first < len(rows):
        verdict = f"fine-tuning pays from {rows[first].labels:,} labels on"
    elif lucky:
        verdict = f"fine-tuning pays at {', '.join(lucky)} labels alone, which may be chance"
    else:
        verdict = f"fine-tuning does not pay up to {rows[-1].labels:,} labels"
    gains = "; ".join(
        f"{row.labels:,}: {row.advantage:+.3f} ({row.interval[0]:+.3f} to {row.interval[1]:+.3f})"
        for row in rows
    )
    title = metric.replace("_", " ")
    sense = f"how much less {title}" if metric in LOWER_IS_BETTER else f"how much more {title}"
    return (
        f"{verdict} ({sense} the best network has than the best head on the same {galaxies:,} "
        f"galaxies, {LEVEL:.0%} interval; labels: {gains})"
    )
