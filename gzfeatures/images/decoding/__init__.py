"""Decode the bytes of image files to pictures, images in several bands, and grey levels."""
