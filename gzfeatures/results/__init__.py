"""What came out: predictions, scores, comparisons, maps and reports."""
