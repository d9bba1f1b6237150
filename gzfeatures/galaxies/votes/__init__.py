"""Read volunteers' votes: the decision tree, vote columns of campaigns, and class strings."""

from gzfeatures._moved import names_of

__getattr__ = names_of("galaxies.votes")
