"""Networks in PyTorch: extraction, training and explanation. No other folder imports torch."""
