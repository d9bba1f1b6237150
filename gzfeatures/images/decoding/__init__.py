"""Decode the bytes of image files: pictures, bands, grey levels."""
