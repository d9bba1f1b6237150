"""Plan the steps of a run, and do them one after the other."""
