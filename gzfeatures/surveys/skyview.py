"""Download images in the SDSS bands from NASA's SkyView through astroquery, as one FITS cube."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from gzfeatures.errors import InputError, need
from gzfeatures.images.decoding.band_files import read_fits, stacked
from gzfeatures.images.decoding.bands import Bands
from gzfeatures.images.decoding.decode_rgb import MAX_PIXELS
from gzfeatures.surveys._compat_astroquery import refuse_redirects
from gzfeatures.surveys.band_cube import cube_of
from gzfeatures.web.outcomes import BadAnswer, NoAnswer, Unanswered
from gzfeatures.web.polite_http import Service
from gzfeatures.web.redirects import followed, is_public


class SkyView:
    """Download images from NASA's SkyView; the library astroquery fills in the website's form.

    Parameters
    ----------
    url : str
        Web address of SkyView's form.
    service : Service
        Sends requests, with a limited rate and with retries.

    Raises
    ------
    MissingExtraError
        astroquery is not installed.
    """

    def __init__(self, url: str, service: Service) -> None:
        self._form = need("astroquery.skyview", extra="skyview").SkyViewClass()
        self._form.URL = url
        self._form.TIMEOUT = service.timeout
        refuse_redirects(self._form)
        self._service, self._url, self._lock = service, url, threading.Lock()

    def get(self, ra: float, dec: float, scale: float, pixels: int, bands: Sequence[str]) -> bytes:
        """Return a position's image as a FITS cube (bands, pixels, pixels) with sky coordinates.

        Parameters
        ----------
        ra, dec : float
            Centre in degrees.
        scale : float
            Arcsec per pixel.
        pixels : int
            Side of the image in pixels.
        bands : sequence of str
            SDSS bands, such as "g".

        Raises
        ------
        BadAnswer
            The answer cannot be used; another attempt may help.
        NoAnswer
            SkyView has no image of this position in a band, or links to a private address.
        """
        parts = [self._band(ra, dec, scale, pixels, band) for band in bands]
        return cube_of(stacked(parts, where="SkyView"))

    def _band(self, ra: float, dec: float, scale: float, pixels: int, band: str) -> Bands:
        """Return SkyView's image of one position in one SDSS band."""
        # check the link before its image is downloaded: it comes from a web page, and could lead to
        # a private address
        found = self._link(ra, dec, scale, pixels, f"SDSS{band}")
        host = urlsplit(self._url).hostname
        link = self._service.waits_for(lambda: followed(self._url, found, is_public(host)))
        try:
            return read_fits(
                self._service.get(link), where=f"band {band}", max_pixels=MAX_PIXELS, names=(band,)
            )
        except InputError as error:
            raise BadAnswer(str(error)) from error

    def _link(self, ra: float, dec: float, scale: float, pixels: int, survey: str) -> str:
        """Send SkyView's query form, and return the web address of the image that it makes."""
        from astropy import units
        from astropy.coordinates import SkyCoord
        from astroquery import cache_conf
        from requests import ConnectionError, RequestException, Timeout

        place, side = SkyCoord(ra, dec, unit="deg"), scale * pixels * units.arcsec
        try:
            # let one thread at a time use astroquery, because all threads share its object for
            # SkyView. Switch astroquery's cache off: even with `cache=False` below, it would write
            # pickle files to the user's cache folder
            with self._lock, cache_conf.set_temp("cache_active", False):
                # astroquery's own request cannot be cancelled: `waits_for` stops waiting for it
                # when the download is stopped or after a time limit
                links: list[Any] = self._service.waits_for(
                    lambda: self._form.get_image_list(
                        place, [survey], pixels=str(pixels), width=side, height=side, cache=False
                    )
                )
        except (ConnectionError, Timeout) as error:
            raise Unanswered(f"connection failed: {type(error).__name__}") from error
        except RequestException as error:
            status = getattr(error.response, "status_code", None)
            raise BadAnswer(
                f"HTTP {status}" if status else f"SkyView: {type(error).__name__}"
            ) from error
        except (ValueError, AttributeError, TypeError) as error:
            raise BadAnswer(f"SkyView's page cannot be read: {error}") from error
        if len(links) != 1:
            raise NoAnswer(f"SkyView has no image of {survey} here")
        return str(links[0])
