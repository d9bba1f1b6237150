"""Bytes of image files to pixels: pictures, bands, grey levels."""
