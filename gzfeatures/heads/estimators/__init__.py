"""Define the estimators behind the names of heads: machines, calibration, transforms."""
