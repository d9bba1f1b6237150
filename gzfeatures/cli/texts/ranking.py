"""Print a ranking of networks and heads for a terminal of 80 characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from gzfeatures.brief import IN_UNITS, number_text, percent, wrapped
from gzfeatures.cli.console import print_table

if TYPE_CHECKING:
    from gzfeatures.evaluation.comparison import Comparison
    from gzfeatures.evaluation.rows import PairTest, RankedRow

FEW_TEST, FEW_CALIBRATION = 100, 20
"""Numbers of test and of calibration galaxies below which the user is warned."""
BESIDE = ("accuracy", "macro_f1", "log_loss", "bias", "sigma_nmad", "outlier_share")
"""Metrics to print beside the one that ranks; the first `MOST_BESIDE` of them are printed."""
MOST_BESIDE = 3


def print_ranking(
    comparison: Comparison, n: int | None = None, *, names: Sequence[str] = ()
) -> None:
    """Print networks and heads, best first, with intervals, and mark those as good as the first.

    Parameters
    ----------
    comparison : Comparison
        Ranking of networks and heads that predict the same test galaxies.
    n : int, optional
        Number of test galaxies; by default it is not printed.
    names : sequence of str
        Name of each network or head, in the order of the ranking; by default backbone + head.
    """
    from gzfeatures.report.titles import (
        DAGGER,
        UNTRAINED,
        metric_titles,
        signs_of,
        title_among,
        untrained_notes,
    )

    rows, titles = comparison.ranking, metric_titles(comparison)
    names = names or [title_among(row, rows) for row in rows]
    beside = [each for each in BESIDE if each in titles and each != comparison.metric]
    of = "" if n is None else f" of {n:,} test galaxies"
    typer.echo(
        f"{titles[comparison.metric]}{of}, best first, with {percent(comparison.level)} intervals:"
    )
    lines = []
    for row, name in zip(rows, names, strict=True):
        # mark ties by a sign beside the rank, which needs less room than a column of its own
        tied = "=" if _is_tied(row) else " "
        line = {"#": f"{tied}{row.rank}", "candidate": name + signs_of(row)}
        line[titles[comparison.metric]] = score_text(row, comparison.metric)
        line |= {
            titles[each]: number_text(row.metrics[each], each) for each in beside[:MOST_BESIDE]
        }
        line["seconds"] = _seconds(row)
        lines.append(line)
    print_table(lines)
    if any(map(_is_tied, rows)):
        typer.echo(
            f"= cannot be told apart from the first (all pairs tested as one family at "
            f"{percent(comparison.level)})"
        )
    if single := _single_trainings(comparison):
        typer.echo(single)
    if any(row.contaminated for row in rows):
        typer.echo(wrapped(f"† {DAGGER}"))
    for note in untrained_notes(rows):
        typer.echo(wrapped(f"{UNTRAINED} {note}"))


def _is_tied(row: RankedRow) -> bool:
    """Return whether a model ranked below the best is fully trained and not significantly worse."""
    return row.tied and row.rank > 1 and row.untrained is None


def _single_trainings(comparison: Comparison) -> str:
    """Return a note on networks that were trained with only one seed; "" if there are none."""
    number = len(comparison.single_trainings)
    if not number or len(comparison.ranking) == 1:
        return ""
    return (
        f"Trained with one seed: {number} of the methods. These trainings are compared, and\n"
        "another seed may change their order; three seeds compare the methods."
    )


def print_tests(comparison: Comparison) -> None:
    """Print how far the first method is ahead of each other method, with p values."""
    if not comparison.tests:
        return
    from gzfeatures.report.titles import metric_titles

    # the tests of the first method come first, because pairs are in the order of the ranking
    first, *others = dict.fromkeys(row.method for row in comparison.ranking)
    led = list(zip(others, comparison.tests, strict=False))
    against = [test for other, test in led if other not in comparison.untrained]
    # print no differences to a network that was not trained enough, because it may still improve
    if not against or first in comparison.untrained:
        return
    title = metric_titles(comparison)[comparison.metric]
    rows = [
        {
            "other": test.second,
            title: _difference_text(test, comparison.metric),
            "p in family": f"{test.p_family:.3f}",
        }
        for test in against
    ]
    print_table(rows, title=f"{against[0].first} less the others")
    if len(comparison.tests) > len(led):
        typer.echo(f"{len(comparison.tests) - len(led)} pairs without it are tested too (--json)")


def _difference_text(test: PairTest, metric: str) -> str:
    """Return a difference of scores with its interval, each number with its sign."""
    value, low, high = (
        number_text(each, metric, signed=True) for each in (test.difference, *test.interval)
    )
    return f"{value} ({low} to {high})"


def score_text(row: RankedRow, metric: str) -> str:
    """Return a score with its interval, three decimals each.

    A score has no interval if a class has fewer than ten test galaxies.
    """
    ends = row.interval(metric)
    # write "to" between numbers with signs, because a dash would look like one more minus sign
    to = " to " if metric in IN_UNITS else "–"
    bounds = "" if ends is None else f" ({to.join(number_text(end, metric) for end in ends)})"
    return f"{number_text(row.metrics[metric], metric)}{bounds}"


def _seconds(row: RankedRow) -> str:
    """Return as text the seconds that extraction, fit or training, and prediction took together."""
    known = [value for key, value in row.costs.items() if key.endswith("_seconds") and value]
    whole = row.costs.get("end_to_end_seconds") or sum(known)
    return f"{whole:.1f}" if whole < 100 else f"{whole:,.0f}"


def few_galaxies(test: int, calibration: int) -> list[str]:
    """Return warnings about scores that rest on few galaxies.

    Parameters
    ----------
    test, calibration : int
        Number of test galaxies, which give the scores, and of calibration galaxies, with which
        probabilities and class sets are calibrated.

    Examples
    --------
    >>> few_galaxies(40, 300)
    ['40 test galaxies are few: below 100 the intervals are wide, and most heads look alike']
    """
    lines = []
    if test < FEW_TEST:
        lines.append(
            f"{test} test galaxies are few: below {FEW_TEST} the intervals are wide, and most "
            "heads look alike"
        )
    if calibration < FEW_CALIBRATION:
        lines.append(
            f"{calibration} calibration galaxies are few: below {FEW_CALIBRATION} probabilities "
            "and class sets are rough"
        )
    return lines
