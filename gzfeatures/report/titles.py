"""Give the titles of metrics, costs and quantities, and names of methods, as reports show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gzfeatures.evaluation.statistics.training_state import WORDS

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.evaluation.comparison import Comparison
    from gzfeatures.evaluation.rows import RankedRow

COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "calibration error",
    "rmse": "RMSE",
    "bias": "bias",
    "sigma_nmad": "σ_NMAD",
    "outlier_share": "outliers",
}
"""Metrics in the ranking table: name → title."""
COSTS = {
    "extract_seconds": "extract (s)",
    "train_seconds": "train (s)",
    "fit_seconds": "fit (s)",
    "predict_seconds": "predict (s)",
    "end_to_end_seconds": "all (s)",
    "parameters": "numbers learned",
    "bytes": "bytes on disk",
}
"""Costs in the ranking table: name → title."""
DAGGER = "not a fair hold-out: this backbone may have been trained on some of the test galaxies"
UNTRAINED = "‡"
"""Mark after the name of a network that was not trained enough to be compared, or of its head."""
SLICES = {
    "agreement": "volunteers' agreement (0 even, 1 unanimous)",
    "redshift": "redshift",
    "magnitude": "absolute r magnitude",
    "size": "Petrosian radius (arcsec)",
}
"""Quantities in whose bins accuracy is shown: name → title."""


def metric_titles(comparison: Comparison) -> dict[str, str]:
    """Return metric → title; the metric that decides the ranking is first."""
    metric, ranked = comparison.metric, comparison.ranking[0].metrics
    titles = {key: title for key, title in COLUMNS.items() if key in ranked}
    return {metric: titles.get(metric, metric.replace("_", " "))} | titles


def signs_of(row: RankedRow) -> str:
    """Return the marks of a method: † perhaps trained on test galaxies, ‡ trained too little."""
    return " †" * row.contaminated + f" {UNTRAINED}" * (row.untrained is not None)


def untrained_notes(rows: Sequence[RankedRow]) -> list[str]:
    """Return sentences that list networks not trained enough to be compared, one for each reason.

    Heads on such a network are not listed separately. If the network was trained enough with other
    seeds, the sentence names the seeds that were not.
    """
    seeds: dict[str, dict[str, set[int]]] = {}
    for row in rows:
        if row.untrained is not None:
            seeds.setdefault(row.untrained, {}).setdefault(row.backbone, set()).add(row.seed)
    notes = []
    for reason, networks in seeds.items():
        names = []
        for backbone, untrained in networks.items():
            every = {r.seed for r in rows if r.backbone == backbone and r.approach != "frozen"}
            some = f" seed {', '.join(map(str, sorted(untrained)))}" if untrained < every else ""
            names.append(backbone + some)
        listed = ", ".join(names)
        notes.append(f"Untrained, and left out of comparisons: {listed} ({WORDS[reason]}).")
    return notes


def title_among(
    candidate: Candidate | RankedRow, candidates: Sequence[Candidate | RankedRow]
) -> str:
    """Return the name of a network or head, with approach and seed if it is not unique."""
    _, *name = candidate.method
    same = [each for each in candidates if list(each.method[1:]) == name]
    approach = f" ({candidate.approach})" if len({each.approach for each in same}) > 1 else ""
    seed = f", seed {candidate.seed}" if len({each.seed for each in same}) > 1 else ""
    return " + ".join(part for part in name if part) + approach + seed
