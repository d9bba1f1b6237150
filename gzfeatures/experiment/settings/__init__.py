"""Define the sections of an experiment file: galaxies, backbones, networks and heads."""
