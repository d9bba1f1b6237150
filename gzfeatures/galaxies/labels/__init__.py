"""Turn volunteers' votes into labels by the rules of class schemes."""

from gzfeatures._moved import names_of

__getattr__ = names_of("galaxies.labels")
