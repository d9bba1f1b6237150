"""Check the sizes stated in FITS headers, before astropy allocates memory of these sizes."""
