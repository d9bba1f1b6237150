"""Save what MLflow could not record in the experiment's folder, and record it later."""
