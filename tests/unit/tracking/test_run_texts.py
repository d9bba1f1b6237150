"""Scores of predicted numbers as text, in any unit."""

from __future__ import annotations

import numpy as np
import pytest

from gzfeatures.cli.texts.ranking import print_tests
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.comparison import Comparison, compare
from gzfeatures.evaluation.metrics import evaluate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import as_ids
from gzfeatures.report.payoff import answer, payoffs
from gzfeatures.tracking.run_contents import interval_text, summary_line


def compared(unit: float) -> tuple[list[Candidate], Labels, Comparison]:
    """A network and a head that predict numbers with errors of .3 and .6 units."""
    rng = np.random.default_rng(0)
    true = rng.normal(10, 1, 80)
    truth = Labels(
        as_ids([f"g{row}" for row in range(80)]), ("flux",), true[:, None] * unit, "value"
    )
    several = []
    for head, scatter in ((None, 0.3), ("ridge", 0.6)):
        said = (true + scatter * rng.normal(size=80))[:, None] * unit
        predictions = Predictions(truth.ids, said, ("flux",), "value")
        scores = evaluate(predictions, truth)
        approach = "end-to-end" if head is None else "frozen"
        several.append(Candidate(approach, "net", head, "flux", "x", predictions, scores, {}))
    return several, truth, compare(several, truth, resamples=200)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_scores_with_a_unit_have_three_digits(
    unit: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """With three decimals a difference of 3e-7 would be +0.000 (+0.000 to +0.000)."""
    several, truth, comparison = compared(unit)
    (test,) = comparison.tests
    shown = [f"{each:+#.3g}" for each in (test.difference, *test.interval)]
    print_tests(comparison)
    printed = capsys.readouterr().out
    sentence = answer(payoffs({80: several}, truth, "rmse"), "rmse", 80)
    gain = [f"{each:+#.3g}" for each in (-test.difference, -test.interval[1], -test.interval[0])]
    assert all(text in printed for text in shown)
    assert f"{gain[0]} ({gain[1]} to {gain[2]})" in sentence
    row = comparison.ranking[0]
    low, high = row.intervals["rmse"]
    assert interval_text(row, "rmse") == f"{low:#.3g} to {high:#.3g}"
    assert f"rmse {row.metrics['rmse']:#.3g} ({low:#.3g} to {high:#.3g})" in summary_line(
        several[0]
    )
    assert f"{row.metrics['rmse']:#.3g}" in comparison._repr_html_()
