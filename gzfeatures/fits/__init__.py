"""Check the sizes that a FITS file declares before a parser allocates memory for them."""
