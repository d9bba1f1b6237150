"""List the statistical method that gives each metric's confidence interval."""

from __future__ import annotations

INTERVAL_METHODS: dict[str, str] = {
    "accuracy": "Clopper & Pearson 1934",
    "precision": "Clopper & Pearson 1934",
    "recall": "Clopper & Pearson 1934",
    "f1": "Clopper & Pearson 1934 of the Jaccard index",
    "balanced_accuracy": "Wilson 1927 per class, joined by MOVER (Zou & Donner 2008)",
    "macro_f1": "Wilson 1927 per class, joined by MOVER (Zou & Donner 2008)",
    "mcc": "Fisher's z with the variance of the delta method (Gorodkin 2004)",
    "log_loss": "Hall's transformation of t (Hall 1992)",
    "brier": "Hall's transformation of t (Hall 1992)",
    "auc": "DeLong+1988 with Hall's transformation of t; Newcombe 2006 near 1",
    "ece": "test inversion with folded normal bins (Carpenter 1999)",
    "rmse": "Hall's transformation of t (Hall 1992)",
    "bias": "Student's t over groups",
    "sigma_nmad": "bootstrap of groups (Field & Welsh 2007)",
    "outlier_share": "Clopper & Pearson 1934 with the effective number of galaxies",
}
"""Methods by metric, as `score_intervals` and `value_intervals_of_metrics` compute them."""
