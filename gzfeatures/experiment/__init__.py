"""Run experiments: from a configuration to ranked candidates, with figures and provenance."""

from gzfeatures._moved import names_of

__getattr__ = names_of("experiment")
