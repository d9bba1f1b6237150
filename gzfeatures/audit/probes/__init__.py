"""Measure what vectors tell of nuisances, by linear probes on galaxies they have not seen."""
