"""Define the classifiers and regressors that heads consist of, and their calibration."""
