"""Save results on disk if MLflow cannot be reached, and record them in MLflow later."""
