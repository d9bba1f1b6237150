"""Predictions and their scores: metrics, intervals, class sets, comparisons."""
