"""Hold the options, the calibration and the file names of fitted heads."""
