"""Check the sizes that a FITS file declares, before another library allocates memory for them."""
