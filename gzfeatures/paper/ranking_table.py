"""Write a ranking as LaTeX, CSV or Markdown table, with confidence intervals."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable

from gzfeatures.brief import percent
from gzfeatures.errors import unknown
from gzfeatures.evaluation.comparison import Comparison
from gzfeatures.evaluation.rows import RankedRow
from gzfeatures.evaluation.statistics.interval_methods import INTERVAL_METHODS
from gzfeatures.paper.references import escape_latex
from gzfeatures.report.report import escape_markdown
from gzfeatures.report.titles import (
    DAGGER,
    UNTRAINED,
    metric_titles,
    signs_of,
    title_among,
    untrained_notes,
)

DIGITS = 3


def ranking_table(comparison: Comparison, form: str) -> str:
    """Return a ranking as a table in LaTeX, CSV or Markdown text.

    Parameters
    ----------
    comparison : Comparison
        Ranking with paired tests.
    form : {"latex", "csv", "markdown"}
        latex: a `table*` of page width, which needs no packages and works with every journal's
        class. csv: all digits, and a column for each end of an interval.

    Raises
    ------
    UnknownNameError
        `form` has another value.
    """
    if form not in FORMS:
        raise unknown("form of a table", form, FORMS)
    return FORMS[form](comparison)


def _legend(comparison: Comparison) -> str:
    """Return sentences that explain the brackets and marks (*, †, ‡) of the table."""
    level = percent(comparison.level)
    method = INTERVAL_METHODS.get(comparison.metric)
    how = f", of the first metric by the method of {method}" if method else ""
    text = (
        f"Brackets are {level} intervals{how}. *: not told apart from the first when all pairs are "
        f"tested as one family at {level}."
    )
    dagger = any(row.contaminated for row in comparison.ranking)
    text += f" †: {DAGGER}." if dagger else ""
    return text + "".join(f" {UNTRAINED}: {n}" for n in untrained_notes(comparison.ranking))


def _bounds(row: RankedRow, metric: str) -> tuple[float, float] | None:
    ends = row.interval(metric)
    return None if ends is None or any(math.isnan(end) for end in ends) else (ends[0], ends[1])


def _latex_number(row: RankedRow, metric: str) -> str:
    """Return a score in LaTeX, with the distances to its interval's ends as its two errors."""
    value, ends = row.metrics[metric], _bounds(row, metric)
    if ends is None:
        return f"${value:.{DIGITS}f}$"
    below, above = value - ends[0], ends[1] - value
    if below < 0 or above < 0:
        # print both ends of the interval, because ± errors are impossible: a measured calibration
        # error may lie outside its own interval
        return f"${value:.{DIGITS}f}$ (${ends[0]:.{DIGITS}f}$--${ends[1]:.{DIGITS}f}$)"
    return f"${value:.{DIGITS}f}_{{-{below:.{DIGITS}f}}}^{{+{above:.{DIGITS}f}}}$"


def _latex(comparison: Comparison) -> str:
    metrics = metric_titles(comparison)
    titles = ["", "Candidate", "Approach", *(escape_latex(title) for title in metrics.values())]
    lines = []
    for row in comparison.ranking:
        name = escape_latex(title_among(row, comparison.ranking))
        marks = r"$^{*}$" * row.tied + r"$^{\dagger}$" * row.contaminated
        marks += r"$^{\ddagger}$" * (row.untrained is not None)
        numbers = (_latex_number(row, metric) for metric in metrics)
        lines.append(" & ".join([str(row.rank), name + marks, row.approach, *numbers]) + r" \\")
    legend = escape_latex(_legend(comparison)).replace("†", r"$\dagger$")
    legend = legend.replace(UNTRAINED, r"$\ddagger$")
    return "\n".join(
        [
            r"\begin{table*}",
            rf"\caption{{Candidates on the same test galaxies. {legend}}}",
            rf"\begin{{tabular}}{{rll{'c' * len(metrics)}}}",
            r"\hline",
            " & ".join(titles) + r" \\",
            r"\hline",
            *lines,
            r"\hline",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def _markdown(comparison: Comparison) -> str:
    metrics = metric_titles(comparison)
    titles = ["#", "candidate", "approach", *metrics.values()]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for row in comparison.ranking:
        cells = [str(row.rank), escape_markdown(title_among(row, comparison.ranking)), row.approach]
        cells[1] += r" \*" * row.tied + signs_of(row)
        for metric in metrics:
            ends = _bounds(row, metric)
            bounds = "" if ends is None else f" ({ends[0]:.{DIGITS}f}–{ends[1]:.{DIGITS}f})"
            cells.append(f"{row.metrics[metric]:.{DIGITS}f}{bounds}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _legend(comparison).replace("*:", r"\*:"), ""])


def _csv(comparison: Comparison) -> str:
    metrics = metric_titles(comparison)
    ends = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "candidate", "approach", "seed", *ends, "level", "tied", "dagger"])
    for row in comparison.ranking:
        name = title_among(row, comparison.ranking)
        values: list[object] = [row.rank, name, row.approach, row.seed]
        for metric in metrics:
            values += [row.metrics[metric], *(_bounds(row, metric) or ("", ""))]
        writer.writerow([*values, comparison.level, row.tied, row.contaminated])
    return text.getvalue()


FORMS: dict[str, Callable[[Comparison], str]] = {
    "latex": _latex,
    "csv": _csv,
    "markdown": _markdown,
}
"""Form of a table → function that writes a ranking in this form."""
