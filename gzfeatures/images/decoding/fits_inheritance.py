"""Copy celestial coordinates from a FITS file's first header to its extensions.

FITS 4.0, section 4.4.2.6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gzfeatures.images.decoding.alignment import celestial

if TYPE_CHECKING:
    from astropy.io.fits import Header

_MATRIX = re.compile(r"(CD|PC)\d+_\d+|(CD|PC)\d{6}|CDELT\d+|CROTA\d+")
_COORDINATES = re.compile(
    rf"{_MATRIX.pattern}|WCSAXES|(CTYPE|CRPIX|CRVAL|CUNIT)\d+|(PV|PS)\d+_\d+|LONPOLE|LATPOLE|"
    r"RADESYS|RADECSYS|EQUINOX|"
    r"EPOCH|[AB]P?_(ORDER|DMAX|\d+_\d+)"
)
_CELESTIAL = re.compile(r"RA--|DEC-|.LON|.LAT|..LN|..LT")
"""CTYPE prefixes of longitude and latitude (Calabretta & Greisen 2002).

Source: doi:10.1051/0004-6361:20021327."""


def with_sky(header: Header, first: Header) -> Header:
    """Return an image's FITS header; add the sky coordinates of the first header if it has none.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the FITS unit (HDU) with the image.
    first : astropy.io.fits.Header
        Header of the file's first unit. Its coordinates apply to the extensions if the first unit
        has no pixels, unless an extension has `INHERIT = F`.

    Returns
    -------
    astropy.io.fits.Header
        The same object if nothing is added. Otherwise a copy with the missing coordinate cards of
        the first header; an image header with axes that are no sky coordinates (CTYPE) gets all
        coordinate cards from the first header.

    Examples
    --------
    >>> with_sky(units["SCI"].header, units[0].header)["CTYPE1"]  # doctest: +SKIP
    'RA---TAN'
    """
    if header is first or first.get("NAXIS", 0) != 0 or header.get("INHERIT") is False:
        return header
    if (
        any(_CELESTIAL.match(str(kind)) for kind in header.get("CTYPE*", {}).values())
        or celestial(first) is None
    ):
        return header
    result = header.copy()
    if "CTYPE1" in header or "CTYPE2" in header:
        for key in [key for key in result if _COORDINATES.fullmatch(key)]:
            del result[key]
    # take pixel scale and matrix from one header, because a mixture would define a wrong
    # transformation
    whole = any(_MATRIX.fullmatch(key) for key in result)
    for card in first.cards:
        replaced = card.keyword in result or (whole and _MATRIX.fullmatch(card.keyword))
        if _COORDINATES.fullmatch(card.keyword) and not replaced:
            result[card.keyword] = card.value
    return result
