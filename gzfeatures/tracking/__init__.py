"""Record trained candidates, their comparison and their models in MLflow databases.

No other folder imports MLflow.
"""

from gzfeatures.tracking.runs import Tracking

__all__ = ["Tracking"]
