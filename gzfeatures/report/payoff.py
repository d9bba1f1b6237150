"""Find how many labels a fine-tuned network needs to beat a head on an untouched backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from gzfeatures.brief import number_text, percent
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import compare
from gzfeatures.evaluation.metrics import LOWER_IS_BETTER
from gzfeatures.galaxies.labels.labels import Labels

LEVEL = 0.9
"""Confidence level of the intervals of score differences."""


@dataclasses.dataclass(frozen=True)
class Payoff:
    """Store by how much the best network beats the best head, at one number of labels.

    Parameters
    ----------
    labels : int
        Number of labelled training galaxies.
    network, head : str
        Names of the best network and of the best head. They are chosen by the metric on the same
        test galaxies on which they are then compared.
    advantage : float
        How much better the network is, in units of the metric; negative if the head is better.
    interval : tuple of float
        90 % interval of the advantage, paired over the test galaxies.
    """

    labels: int
    network: str
    head: str
    advantage: float
    interval: tuple[float, float]

    @property
    def pays(self) -> bool:
        """Return whether the network beats the head: the advantage's whole interval is above 0."""
        return self.interval[0] > 0


def payoffs(
    candidates: Mapping[int, Sequence[Candidate]], truth: Labels, metric: str
) -> list[Payoff]:
    """Compare the best network with the best head at each number of labels.

    Parameters
    ----------
    candidates : mapping of int to sequence of Candidate
        Number of labels → networks and heads, all scored on the same test galaxies.
    truth : Labels
        Labels of these test galaxies.
    metric : str
        Metric by which network and head are compared.

    Raises
    ------
    InputError
        With one number of labels, network and head were trained on different galaxies.
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
        # the test gives the score of the winner minus that of the loser: change its sign if needed,
        # so that a positive difference means that the network is better
        turn = sign if comparison.ranking[0].head is None else -sign
        low, high = sorted(turn * end for end in test.interval)
        rows.append(Payoff(size, network.name, head.name, turn * test.difference, (low, high)))
    return rows


def _gain_text(row: Payoff, metric: str) -> str:
    """Return a network's advantage at a number of labels, with its interval."""
    value, low, high = (
        number_text(each, metric, signed=True) for each in (row.advantage, *row.interval)
    )
    return f"at {row.labels:,} {value} ({low} to {high})"


def answer(rows: Sequence[Payoff], metric: str, galaxies: int) -> str:
    """Return a sentence that says how many labels fine-tuning needs to be better; "" if unknown.

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
    # find the smallest number of labels at which, and above which always, the network is better: a
    # single success at a smaller number may be chance
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
    # for errors such as RMSE write "head minus network", because then a positive difference means
    # that the network is better
    first_of, second_of = ("head", "network") if metric in LOWER_IS_BETTER else ("network", "head")
    gains = "; ".join(_gain_text(row, metric) for row in rows)
    return (
        f"{verdict} ({title} of the best {first_of} minus that of the best {second_of} on the "
        f"same {galaxies:,} galaxies, with its {percent(LEVEL)} interval: {gains})"
    )
