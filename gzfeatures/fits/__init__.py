"""Check the sizes that FITS headers state, before another library allocates memory for them."""
