"""Networks compiled for this machine, and the private folder that keeps their code."""
