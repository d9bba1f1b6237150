"""Hold what the steps of a run know of a fitted head: options, calibration and files."""
