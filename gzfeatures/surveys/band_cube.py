"""Write the images of one galaxy in several bands to a single FITS cube."""

from __future__ import annotations

import io

import numpy as np

from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.decoding.warning_filter import without_warnings


def cube_of(bands: Bands) -> bytes:
    """Return images in several bands as a FITS cube with band names and celestial coordinates.

    Parameters
    ----------
    bands : Bands
        Images; their header has celestial coordinates, and a missing pixel is NaN.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    with without_warnings():
        header = WCS(bands.header, naxis=2).to_header()
        # also write band names of one letter into the header card BANDS, in which other programs
        # expect them since the Legacy Surveys use it
        if all(len(name) == 1 for name in bands.names):
            header["BANDS"] = "".join(bands.names)
        for k, name in enumerate(bands.names):
            header[f"BAND{k}"] = name
        file = io.BytesIO()
        fits.PrimaryHDU(bands.flux.astype(np.float32), header).writeto(file)
    return file.getvalue()
