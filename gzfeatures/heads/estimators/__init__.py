"""Define the classifiers and regressors that heads are made of, and their calibration."""
