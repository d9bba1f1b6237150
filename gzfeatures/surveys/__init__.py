"""Download images of galaxies (cutouts) from web services of sky surveys."""
