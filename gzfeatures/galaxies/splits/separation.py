"""Define the separation on the sky below which two positions belong to one galaxy.

The module imports nothing, so that the help of a verb appears at once.
"""

NEAR_ARCSEC = 3.0
"""Arcsec; the width of a fibre of SDSS, whose survey has no two spectra closer than that of one
target."""
