"""Plan the steps of a run, and execute them one after the other."""
