"""Separation on the sky below which two positions are one galaxy. Imports nothing, so that help appears at once."""

NEAR_ARCSEC = 3.0
"""Arcsec; the width of a fibre of SDSS, whose survey has no two spectra closer than that of one
target."""
