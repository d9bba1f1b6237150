"""Compute confidence intervals that contain the true score with a chosen probability."""
