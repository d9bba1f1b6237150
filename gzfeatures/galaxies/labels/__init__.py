"""Labels of galaxies: class schemes, their conditions, and what they make of votes."""

from gzfeatures._moved import names_of

__getattr__ = names_of("galaxies.labels")
