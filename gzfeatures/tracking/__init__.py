"""Record models and their comparison in MLflow; register the models for later predictions.

No other folder imports MLflow.
"""

from gzfeatures.tracking.runs import Tracking

__all__ = ["Tracking"]
