"""Decode the bytes of image files to pictures, bands and grey levels."""
