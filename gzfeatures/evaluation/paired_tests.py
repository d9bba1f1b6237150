"""Test whether two methods classify equally many of the same galaxies correctly."""

from __future__ import annotations


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p value of McNemar's test of two methods.

    The inputs are the numbers of galaxies that only the first and only the second classifies
    correctly.

    It is 1 where no galaxy tells the methods apart.

    Examples
    --------
    >>> round(mcnemar(9, 1), 4), mcnemar(0, 0)
    (0.0215, 1.0)
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
