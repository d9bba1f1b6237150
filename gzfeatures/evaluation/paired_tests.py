"""Test whether two methods classify equally many of the same galaxies correctly."""

from __future__ import annotations


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p value of McNemar's test of two methods.

    The arguments are the number of galaxies that only the first method classifies correctly, and
    the number that only the second does. If both are 0, the p value is 1.

    Examples
    --------
    >>> round(mcnemar(9, 1), 4), mcnemar(0, 0)
    (0.0215, 1.0)
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
