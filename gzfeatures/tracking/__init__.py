"""Record candidates, comparisons and models in MLflow; no other folder imports MLflow."""

from gzfeatures.tracking.runs import Tracking

__all__ = ["Tracking"]
