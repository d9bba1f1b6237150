"""Score predictions against labels: metrics, confidence intervals, class sets, comparisons."""
