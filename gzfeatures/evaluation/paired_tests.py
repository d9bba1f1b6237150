"""Paired test of two methods on the same galaxies."""

from __future__ import annotations


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p that two methods err alike, from the galaxies that one alone has right; 1 if there are none."""
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
