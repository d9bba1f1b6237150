"""Record trained models and their comparison in MLflow; register models for later predictions.

Only this folder imports MLflow.
"""

from gzfeatures.tracking.runs import Tracking

__all__ = ["Tracking"]
