"""Name the columns, costs and breakdowns of a report as a reader sees them."""

from __future__ import annotations

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
