"""Cutouts of galaxies from survey services: asked politely, verified, resumed."""
