"""Compute confidence intervals that contain the true score as often as promised."""
