"""Pairings, comparisons and heads as MLflow runs and models; the only importer of MLflow."""

from gzfeatures.tracking.runs import Tracking

__all__ = ["Tracking"]
