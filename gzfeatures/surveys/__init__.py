"""Download cutouts of galaxies from the services of surveys."""
