"""Name the columns, costs and breakdowns of a report as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
"""Metrics of the ranking table, with their titles."""
COSTS = {
    "extract_seconds": "extract (s)",
    "train_seconds": "train (s)",
    "fit_seconds": "fit (s)",
    "predict_seconds": "predict (s)",
    "end_to_end_seconds": "all (s)",
    "parameters": "numbers learned",
    "bytes": "bytes on disk",
}
"""Costs of the ranking table, with their titles."""
DAGGER = "not a fair hold-out: this backbone may have been trained on some of the test galaxies"
SLICES = {
    "agreement": "volunteers' agreement (0 even, 1 unanimous)",
    "redshift": "redshift",
    "magnitude": "absolute r magnitude",
    "size": "Petrosian radius (arcsec)",
}
"""Quantities in whose bins accuracy is shown, with their titles."""


def metric_titles(comparison: Comparison) -> dict[str, str]:
    """Return the metrics of a ranking with their titles, first the metric that ranks."""
    metric, ranked = comparison.metric, comparison.ranking[0].metrics
    titles = {key: title for key, title in COLUMNS.items() if key in ranked}
    return {metric: titles.get(metric, metric.replace("_", " "))} | titles


def title_among(
    candidate: Candidate | RankedRow, candidates: Sequence[Candidate | RankedRow]
) -> str:
    """Return a candidate's name, with approach and seed if another candidate has this name."""
    _, *name = candidate.method
    same = [each for each in candidates if list(each.method[1:]) == name]
    approach = f" ({candidate.approach})" if len({each.approach for each in same}) > 1 else ""
    seed = f", seed {candidate.seed}" if len({each.seed for each in same}) > 1 else ""
    return " + ".join(part for part in name if part) + approach + seed
