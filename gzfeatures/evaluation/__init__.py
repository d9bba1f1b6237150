"""Score predictions against labels: metrics, intervals, conformal sets, comparisons."""
