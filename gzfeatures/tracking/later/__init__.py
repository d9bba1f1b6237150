"""Keep what MLflow could not record in the run folder, and record it later."""
