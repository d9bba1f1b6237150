"""Keep what could not be recorded in the run folder, and record it later."""
