"""Check the sizes that a FITS file declares, before a parser believes them."""
