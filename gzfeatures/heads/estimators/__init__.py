"""Estimators behind the names of heads: machines, calibration, transforms."""
