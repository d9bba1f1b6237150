"""Files of predictions: their formats, and what each column holds."""
