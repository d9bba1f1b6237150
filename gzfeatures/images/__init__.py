"""Pixels: files, archives, cutouts, views, and a synthetic survey."""
