"""Divide the sky into HEALPix pixels (partitions), and compute where a partition is."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import need
from gzfeatures.galaxies.catalogs.quantities import on_sky

INDEX = "_healpix_29"
"""Column that HATS sorts a partition by: the pixel of order 29 in nested order."""
FINEST = 29
"""Order of `INDEX`, whose pixels are 0.4 milliarcseconds wide."""
BOUNDARY = 16
"""Points along each edge of a pixel that measure how far it reaches."""
SLACK = 1.01
"""Factor on this distance, because the border between the points may lie farther out."""

Vectors = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, order=True)
class Partition:
    """Identify one partition of a catalog: a HEALPix pixel, by its order and its nested number.

    Parameters
    ----------
    order : int
        Order in 0…29; a pixel of order 0 is a twelfth of the sky.
    pixel : int
        Number in 0…12·4^order - 1.
    """

    order: int
    pixel: int

    @property
    def range(self) -> tuple[int, int]:
        """Return the range of order-29 pixel numbers inside this HEALPix pixel, end excluded."""
        shift = 2 * (FINEST - self.order)
        return self.pixel << shift, (self.pixel + 1) << shift

    @property
    def path(self) -> str:
        """Return the path of the partition's file below the folder `dataset`, by HATS 1.0."""
        folder = self.pixel // 10_000 * 10_000
        return f"Norder={self.order}/Dir={folder}/Npix={self.pixel}.parquet"

    @cached_property
    def circle(self) -> tuple[Vectors, float]:
        """Return a circle around the HEALPix pixel: unit vector of its centre, and radius.

        The radius is in radians.
        """
        nested = need("cdshealpix.nested", extra="hats")
        lon, lat = nested.healpix_to_lonlat([self.pixel], self.order)
        centre = unit_vectors(lon.deg, lat.deg)[0]
        lon, lat = nested.vertices([self.pixel], self.order, BOUNDARY)
        corners = unit_vectors(lon.deg.ravel(), lat.deg.ravel())
        return centre, float(angles(corners, centre).max() * SLACK)


def unit_vectors(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> Vectors:
    """Convert sky positions (ra, dec) in degrees to unit vectors, shape (n, 3)."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def known_vectors(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> Vectors:
    """Convert sky positions of a catalog to unit vectors, shape (n, 3); NaN for an unknown one.

    Sentinels such as −9999 are no positions (see `quantities.on_sky`).

    Examples
    --------
    >>> known_vectors(np.array([-9999.0]), np.array([-9999.0])).tolist()
    [[nan, nan, nan]]
    """
    return np.where(on_sky(ra, dec)[:, None], unit_vectors(ra, dec), np.nan)


def angles(vectors: Vectors, centre: Vectors) -> npt.NDArray[np.float64]:
    """Return the angles in radians between unit vectors and the vector `centre`, shape (n,)."""
    # compute angles from chord lengths, because the cosine loses digits for small angles
    chords = np.linalg.norm(vectors - centre, axis=1)
    return np.asarray(2 * np.arcsin(np.minimum(chords / 2, 1)))


def index_of(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the HEALPix numbers (order 29, nested) of sky positions in degrees, shape (n,).

    Raises
    ------
    MissingExtraError
        The library hats is not installed.
    """
    pixels = need("hats.pixel_math", extra="hats").compute_spatial_index(ra, dec)
    return np.asarray(pixels, dtype=np.int64)


def divided(index: npt.NDArray[np.int64], most_rows: int) -> list[tuple[Partition, int, int]]:
    """Divide sorted sky positions into partitions of at most `most_rows` rows.

    Parameters
    ----------
    index : ndarray of int64
        `INDEX` of each row, ascending.
    most_rows : int
        A pixel with more rows is divided into its four smaller pixels; rows with equal `INDEX` stay
        together.

    Returns
    -------
    list of (Partition, int, int)
        Partitions that contain rows, each with its first row and the first row after it; in the
        order of `index`.
    """
    found: list[tuple[Partition, int, int]] = []
    waiting = [Partition(0, pixel) for pixel in reversed(range(12))]
    while waiting:
        partition = waiting.pop()
        start, stop = np.searchsorted(index, partition.range)
        if stop - start > most_rows and partition.order < FINEST:
            parts = range(4 * partition.pixel, 4 * partition.pixel + 4)
            waiting += [Partition(partition.order + 1, pixel) for pixel in reversed(parts)]
        elif stop > start:
            found.append((partition, int(start), int(stop)))
    return found
