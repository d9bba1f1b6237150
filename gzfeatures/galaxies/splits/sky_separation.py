"""Define the separation on the sky below which two positions belong to one galaxy.

The module imports nothing, so that the help text of a command appears at once.
"""

NEAR_ARCSEC = 3.0
"""Separation in arcsec: the width of an SDSS fibre, the least distance of two SDSS targets."""
