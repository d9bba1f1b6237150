"""Download cut-outs of galaxies from survey services."""
