"""Find how many labels a fine-tuned network needs to beat a head on an untouched backbone."""

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
    """Store the score of the best network minus that of the best head at one number of labels.

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
        """Return whether the best network beats the best head: the whole interval is above 0."""
        return self.interval[0] > 0


def payoffs(
    candidates: Mapping[int, Sequence[Candidate]], truth: Labels, metric: str
) -> list[Payoff]:
    """Compare the best network with the best head at each number of labels.

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
        # the test gives the difference of first and second of the ranking: change its sign if
        # needed, so that a positive difference means that the network is better
        turn = sign if comparison.ranking[0].head is None else -sign
        low, high = sorted(turn * end for end in test.interval)
        rows.append(Payoff(size, network.name, head.name, turn * test.difference, (low, high)))
    return rows


def answer(rows: Sequence[Payoff], metric: str, galaxies: int) -> str:
    """Return a sentence that says from how many labels on fine-tuning pays; "" if unknown.

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
    # find the smallest number of labels from which the network is better at all larger numbers too,
    # because a single success may be chance
    first = len(rows)
    while first and rows[first - 1].pays:
        first -= 1
    lucky = [f"{row.labels:,}" for row in rows if row.pays]
    if first < len(rows):
        verdict = f"fine-tuning pays from {rows[first].labels:,} labels on"
    elif lucky:
        verdict = f"fine-tuning pays at {', '.join(lucky)} labels alone, which may be chance"
    else:
        verdict = f"fine-tuning does not pay beyond chance up to {rows[-1].labels:,} labels"
    title = metric.replace("_", " ")
    # for error metrics write head minus network, so that positive means a better network
    first_of, second_of = ("head", "network") if metric in LOWER_IS_BETTER else ("network", "head")
    gains = "; ".join(
        f"at {row.labels:,} {row.advantage:+.3f} ({row.interval[0]:+.3f} to {row.interval[1]:+.3f})"
        for row in rows
    )
    return (
        f"{verdict} ({title} of the best {first_of} minus that of the best {second_of} on the "
        f"same {galaxies:,} galaxies, with its {LEVEL:.0%} interval: {gains})"
    )
