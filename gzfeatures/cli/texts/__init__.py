"""Print results of verbs as a person reads them on a terminal of 80 columns."""
