"""Measure what an encoder knows beyond morphology: nuisances such as redshift or seeing."""
