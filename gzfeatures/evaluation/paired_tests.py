"""Test whether two methods make equally many errors on the same galaxies."""

from __future__ import annotations


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute McNemar's exact two-sided p from the galaxies that only one method classifies right.

    It is 1 where no galaxy tells the methods apart.

    Examples
    --------
    >>> round(mcnemar(9, 1), 4), mcnemar(0, 0)
    (0.0215, 1.0)
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
