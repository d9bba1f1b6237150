"""Turn votes of volunteers into labels, by class schemes and their conditions."""

from gzfeatures._moved import names_of

__getattr__ = names_of("galaxies.labels")
