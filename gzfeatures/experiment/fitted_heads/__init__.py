"""Define options, calibration and file names for the heads that a run fits."""
